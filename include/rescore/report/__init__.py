"""Read-only views of the store for the page, the command line and notebooks.

What changes anything lives in ``pipeline``. Importing this package imports no drawing library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rescore.lazy_names import lazy_names

if TYPE_CHECKING:
    from rescore.report.comparison_page import (
        comparison_html,
        comparison_values,
    )
    from rescore.report.days import (
        Day,
        days_of,
        days_said,
    )
    from rescore.report.drawing import (
        save,
        svg,
    )
    from rescore.report.drift_charts import (
        drift_heatmap,
        feature_distribution,
    )
    from rescore.report.from_store import (
        calibration_of,
        drift_heatmap_of,
        extracted_rows_of,
        feature_distribution_of,
        model_pictures,
        performance_of,
        performance_rows,
        score_distribution_of,
    )
    from rescore.report.heat import (
        HeatRow,
        heat_rows,
        heat_said,
    )
    from rescore.report.model_states import (
        ModelState,
        concerns_said,
        read_model_states,
    )
    from rescore.report.performance_charts import (
        calibration,
        realised_performance,
    )
    from rescore.report.run_charts import (
        extracted_rows,
        score_distribution,
    )
    from rescore.report.run_list import (
        RunLine,
        run_lines,
        run_lines_of,
    )
    from rescore.report.stored_windows import (
        DriftWindow,
        PerformancePoint,
        agreement,
        drift_report_of,
        drift_windows,
        latest_performance_of,
    )
    from rescore.report.text_charts import (
        bar,
        sparkline,
        strip,
    )
    from rescore.report.wording import (
        age,
        duration,
        percent,
        plain,
        short,
        span,
        with_interval,
    )

__all__ = [
    "Day",
    "DriftWindow",
    "HeatRow",
    "ModelState",
    "PerformancePoint",
    "RunLine",
    "age",
    "agreement",
    "bar",
    "calibration",
    "calibration_of",
    "comparison_html",
    "comparison_values",
    "concerns_said",
    "days_of",
    "days_said",
    "drift_heatmap",
    "drift_heatmap_of",
    "drift_report_of",
    "drift_windows",
    "duration",
    "extracted_rows",
    "extracted_rows_of",
    "feature_distribution",
    "feature_distribution_of",
    "heat_rows",
    "heat_said",
    "latest_performance_of",
    "model_pictures",
    "percent",
    "performance_of",
    "performance_rows",
    "plain",
    "read_model_states",
    "realised_performance",
    "run_lines",
    "run_lines_of",
    "save",
    "score_distribution",
    "score_distribution_of",
    "short",
    "span",
    "sparkline",
    "strip",
    "svg",
    "with_interval",
]

if not TYPE_CHECKING:  # or each name that is misspelt would be one for it
    __getattr__ = lazy_names(__name__, __file__)
