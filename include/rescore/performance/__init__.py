"""How good a model is: every metric, realised with labels or estimated without them.

Pure functions of tables and arrays: no database, no files, no clock.
"""

from rescore.performance.estimate import ScoreCalibration, estimated_performance
from rescore.performance.interval_metrics import auc_interval
from rescore.performance.point_metrics import metrics
from rescore.performance.realised import Outcomes, main_metric, measure, outcomes, pool, positives, realised

__all__ = [
    "Outcomes",
    "ScoreCalibration",
    "auc_interval",
    "estimated_performance",
    "main_metric",
    "measure",
    "metrics",
    "outcomes",
    "pool",
    "positives",
    "realised",
]
