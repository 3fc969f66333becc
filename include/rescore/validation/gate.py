"""Whether a run may go on after validation."""

from __future__ import annotations

from rescore.errors import ValidationError
from rescore.spec import ModelSpec
from rescore.validation.report import ValidationReport
from rescore.validation.wording import percent

__all__ = ["gate"]


def gate(report: ValidationReport, spec: ModelSpec) -> None:
    """Stop a run whose rows are not fit to be scored.

    Rejected rows count as well as quarantined ones: both are set aside, and a run that silently
    scored a tenth of its rows would be as wrong one way as the other.

    Raises
    ------
    ValidationError
        A critical expectation failed, or more rows were set aside than
        ``validation.max_quarantined_fraction`` allows. Its ``data`` is the whole report.
    """
    critical = report.failed("critical")
    if critical:
        plural = "s" * (len(critical) > 1)
        raise ValidationError(
            f"{len(critical)} critical expectation{plural} failed: nothing is scored",
            where=f"model {spec.name}, {report.rows:,} rows",
            expected=f"all critical ones among {len(report.results)} expectations met",
            examples=[result.message for result in critical],
            fix="mend the rows in the source and run again, or correct expectations.py where it is wrong",
            data=report.to_dict(),
        )
    allowed = spec.validation.max_quarantined_fraction
    if report.set_aside_fraction > allowed:
        reasons = report.to_dict()["reasons"]
        counts = {**reasons["quarantined"], **reasons["rejected"]}
        raise ValidationError(
            f"{report.rows - report.scored:,} of {report.rows:,} rows "
            f"({percent(report.set_aside_fraction)}) can't be scored: nothing is scored",
            where=f"model {spec.name}: {len(report.quarantined):,} rows quarantined, "
            f"{len(report.rejected):,} rejected",
            expected=f"at most {percent(allowed)} (validation.max_quarantined_fraction in model.yaml)",
            examples=[
                f"{count:,} rows: {reason}"
                for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
            ],
            fix="mend the rows in the source and run again, or declare a larger fraction",
            data=report.to_dict(),
        )
