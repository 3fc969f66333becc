"""Pictures of a model's runs, drawn from plain values as the store holds them.

Each function takes rows (dicts, or a pandas frame), one an interval, with ``interval_start`` and
``interval_end``, and gives an Altair chart: shown as it is in a notebook, as text by :func:`svg` in a
page, in a file by :func:`save`. Units and sample sizes are on the axes. No row of data comes here;
``distributions`` makes the values of two of the pictures.
"""

from rescore.report.drawing import save, svg
from rescore.report.drift_charts import drift_heatmap, feature_distribution
from rescore.report.run_charts import extracted_rows, realised_performance, score_distribution

__all__ = [
    "drift_heatmap",
    "extracted_rows",
    "feature_distribution",
    "realised_performance",
    "save",
    "score_distribution",
    "svg",
]
