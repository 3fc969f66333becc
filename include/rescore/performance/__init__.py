"""How good a model is: every metric, realised with labels or estimated without them.

Pure functions of tables and arrays: no database, no files, no clock.
"""

from rescore.performance.estimate import ScoreCalibration, estimated_accuracy, estimated_performance
from rescore.performance.labels import label_texts, positive_text
from rescore.performance.metrics import (
    METRICS,
    auc_interval,
    main_metric,
    point_metrics,
    realised_metric,
    row_losses,
)
from rescore.performance.realised import (
    Outcomes,
    measure,
    outcomes,
    pool,
    positives,
    realised,
    realised_losses,
    segment_texts,
)
from rescore.performance.report import (
    Calibration,
    LatestPerformance,
    Measure,
    PerformanceReport,
    PerformanceWeek,
    Segment,
    ShadowRun,
    measures_of,
)
from rescore.performance.verdict import MAX_FIRST, OwnBound, adopted_bound, judged
from rescore.performance.watched_measures import CameTrue, Unusual, unusual, watched

__all__ = [
    "MAX_FIRST",
    "METRICS",
    "Calibration",
    "CameTrue",
    "LatestPerformance",
    "Measure",
    "Outcomes",
    "OwnBound",
    "PerformanceReport",
    "PerformanceWeek",
    "ScoreCalibration",
    "Segment",
    "ShadowRun",
    "Unusual",
    "adopted_bound",
    "auc_interval",
    "estimated_accuracy",
    "estimated_performance",
    "judged",
    "label_texts",
    "main_metric",
    "measure",
    "measures_of",
    "outcomes",
    "point_metrics",
    "pool",
    "positive_text",
    "positives",
    "realised",
    "realised_losses",
    "realised_metric",
    "row_losses",
    "segment_texts",
    "unusual",
    "watched",
]
