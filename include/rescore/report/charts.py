"""Pictures of a model's runs, drawn from plain values as the store holds them.

Each function takes rows (dicts, or a pandas frame), one an interval, with ``interval_start`` and
``interval_end``, and gives an Altair chart: shown as it is in a notebook, as text by :func:`svg` in a
page, in a file by :func:`save`. Units and sample sizes are on the axes. No row of data comes here;
``from_store`` reads the values.
"""

from rescore.report.drawing import save, svg
from rescore.report.drift_charts import drift_heatmap, feature_distribution
from rescore.report.performance_charts import calibration, realised_performance
from rescore.report.run_charts import extracted_rows, score_distribution

__all__ = [
    "calibration",
    "drift_heatmap",
    "extracted_rows",
    "feature_distribution",
    "realised_performance",
    "save",
    "score_distribution",
    "svg",
]
