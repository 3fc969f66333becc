"""Drift as a calibrated statement: reference profile, comparison, verdict, performance.

``build_reference`` makes the profile that a package carries; ``compare`` judges a window by it;
``realised`` and ``estimated_performance`` say how well the model does with and without labels. Pure
functions of tables and bytes: no database, no files, no clock.
"""

from rescore.drift.comparison import compare
from rescore.drift.joint import TrainingRows, sample_rows
from rescore.drift.performance import (
    Outcomes,
    ScoreCalibration,
    auc_interval,
    estimated_performance,
    main_metric,
    measure,
    outcomes,
    pool,
    realised,
)
from rescore.drift.reference import build_reference
from rescore.drift.report import DriftReport, FeatureDrift

__all__ = [
    "DriftReport",
    "FeatureDrift",
    "Outcomes",
    "ScoreCalibration",
    "TrainingRows",
    "auc_interval",
    "build_reference",
    "compare",
    "estimated_performance",
    "main_metric",
    "measure",
    "outcomes",
    "pool",
    "realised",
    "sample_rows",
]
