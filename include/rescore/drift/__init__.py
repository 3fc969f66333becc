"""Drift as a calibrated statement: reference profile, comparison of a window with it, verdict.

``build_reference`` makes the profile that a package carries; ``compare`` judges a window by it. Pure
functions of tables and bytes: no database, no files, no clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rescore.lazy_names import lazy_names

if TYPE_CHECKING:
    from rescore.drift.compare_window import compare
    from rescore.drift.joint_classifier import TrainingRows, sample_rows
    from rescore.drift.reference import build_reference, came_true_of, resolution_of
    from rescore.drift.report import DriftReport, FeatureDrift, Histogram, alarm_of
    from rescore.drift.resolution import Resolution
    from rescore.drift.volume import WindowRows

__all__ = [
    "DriftReport",
    "FeatureDrift",
    "Histogram",
    "Resolution",
    "TrainingRows",
    "WindowRows",
    "alarm_of",
    "build_reference",
    "came_true_of",
    "compare",
    "resolution_of",
    "sample_rows",
]

if not TYPE_CHECKING:  # or each name that is misspelt would be one for it
    __getattr__ = lazy_names(__name__, __file__)
