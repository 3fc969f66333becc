"""The report of a comparison as one page that needs nothing else: for the person who decides.

The console shows the same findings by the same templates, in a frame of its own.
"""

from __future__ import annotations

from typing import Any

import jinja2

from rescore.comparison import (
    ComparisonReport,
    FirstReport,
    gain_in_words,
    number_in_words,
    signed_in_words,
)
from rescore.report import comparison_pictures as pictures

__all__ = ["comparison_html", "comparison_values"]

_FACTS = (
    ("Trained on", "window"),
    ("Rows", "rows"),
    ("Code", "code_revision"),
    ("File", "sha256"),
    ("Snapshot", "snapshot_digest"),
)
_FITS = {
    "final": "its final fit, which ended before the hold-out",
    "evaluation": "its fit on the rows before the hold-out",
}


def comparison_values(report: ComparisonReport | FirstReport) -> dict[str, Any]:
    """What ``comparison_findings.html`` shows of a comparison."""
    values: dict[str, Any] = {
        "r": report,
        "facts": _FACTS,
        "fits": _FITS,
        "number": number_in_words,
        "signed": signed_in_words,
        "gain": gain_in_words,
    }
    if isinstance(report, ComparisonReport):
        values |= {
            "metrics": report.main_first(),
            "gains": pictures.gains(report),
            "days": pictures.gains_by_day(report),
            "reliability": pictures.reliability(report),
            "moved": pictures.moved_scores(report),
        }
    return values


def comparison_html(report: ComparisonReport | FirstReport) -> str:
    """Write the page of a comparison.

    Returns
    -------
    str
        HTML with pictures and styles inside, for light and dark screens; no script, and nothing is loaded.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rescore.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("comparison_page.html").render(comparison_values(report))
