"""Whether a run may go on after validation."""

from __future__ import annotations

from collections.abc import Mapping

from rescore.errors import ValidationError
from rescore.interval import Interval
from rescore.shown_text import number_of
from rescore.spec import ModelSpec
from rescore.validation.report import Validation
from rescore.validation.wording import percent

__all__ = ["gate", "gate_each"]


def gate(validation: Validation, spec: ModelSpec) -> None:
    """Stop a run whose rows are not fit to be scored.

    Rejected rows count as well as quarantined ones: both are set aside, and scoring a tenth of the rows in
    silence is wrong, whichever way the others were set aside.

    Raises
    ------
    ValidationError
        A critical expectation failed, or more rows were set aside than
        ``validation.max_quarantined_fraction`` allows. Its ``data`` is the whole report.
    """
    report = validation.report()
    critical = validation.failed("critical")
    if critical:
        plural = "s" * (len(critical) > 1)
        raise ValidationError(
            f"{len(critical)} critical expectation{plural} failed: nothing is scored",
            where=f"model {spec.name}, {number_of(report.rows, 'row')}",
            expected=f"all critical ones among {number_of(len(report.results), 'expectation')} met",
            examples=[result.message for result in critical],
            fix="correct the rows in the source and run again, or correct expectations.py where it is wrong",
            data=report.to_dict(),
        )
    if not validation.success:
        allowed = percent(validation.allowed_fraction)
        raise ValidationError(
            f"{report.rows - report.scored:,} of {number_of(report.rows, 'row')} "
            f"({percent(validation.set_aside_fraction)}) are set aside, more than is allowed: "
            "nothing is scored",
            where=f"model {spec.name}: {number_of(report.quarantined, 'row')} quarantined, "
            f"{report.rejected:,} rejected",
            expected=f"at most {allowed} (validation.max_quarantined_fraction in model.yaml)",
            examples=report.reasons.most_first(),
            fix="correct the rows in the source and run again, or declare a larger fraction",
            data=report.to_dict(),
        )


def gate_each(validations: Mapping[Interval, Validation], spec: ModelSpec) -> None:
    """Stop a training on intervals that scoring would have stopped at.

    Raises
    ------
    ValidationError
        Names those intervals, each with what failed there. Its ``data`` has their reports.
    """
    stopped = {interval: one for interval, one in validations.items() if not one.success}
    if not stopped:
        return
    raise ValidationError(
        f"{len(stopped)} of {len(validations)} training intervals would not have been scored: "
        "nothing is trained",
        where=f"model {spec.name}",
        expected="each interval of the window meets the expectations by itself, as when it is scored",
        examples=[f"{interval}: {_why_stopped(one)}" for interval, one in stopped.items()],
        fix="correct the rows in the source, or expectations.py where it is wrong; or train on a window "
        "without these intervals (--start, --end)",
        data={"intervals": {str(interval): one.report().to_dict() for interval, one in stopped.items()}},
    )


def _why_stopped(validation: Validation) -> str:
    critical = [result.message for result in validation.failed("critical")]
    if critical:
        return "; ".join(critical)
    rows, aside = validation.rows, validation.rows - validation.scored
    return (
        f"{aside:,} of {number_of(rows, 'row')} ({percent(validation.set_aside_fraction)}) are set "
        "aside, at most "
        f"{percent(validation.allowed_fraction)} may be (validation.max_quarantined_fraction): "
        f"{'; '.join(validation.report().reasons.most_first())}"
    )
