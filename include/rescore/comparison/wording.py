"""A comparison as text for the person who decides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from rescore.comparison.error_budget import ERROR_A_YEAR
from rescore.comparison.report import ComparisonReport, FirstReport, Gain, MovedScores, SureGain
from rescore.comparison.shadow import Shadow
from rescore.shown_text import number_of

__all__ = ["Comparison", "gain_in_words", "number_in_words", "said_of_shadow", "signed_in_words"]


@dataclass(frozen=True)
class Comparison:
    """Champion and challenger on the same rows.

    Attributes
    ----------
    comparison_id : int or None
        Its row in the store; None where there is no champion to compare with.
    report : ComparisonReport or FirstReport
        Everything that was found; see the guide *Champion and challenger*.
    """

    comparison_id: int | None
    report: ComparisonReport | FirstReport

    def markdown(self) -> str:
        """The comparison for a person: what decides first, then what supports it."""
        report = self.report
        verdict = f"**By rule: {'yes' if report.rule.passes else 'no'}.** {'; '.join(report.rule.reasons)}."
        if isinstance(report, ComparisonReport):
            return "\n".join(_lines(report, verdict))
        new = report.challenger
        recorded = ", ".join(
            f"{name} {value:.4f}" for name, value in new.metrics.items() if value is not None
        )
        return (
            f"**{report.model} {new.version}**: no package is pinned yet, so there is nothing "
            f"to compare it with. Its recorded metrics, measured again to the last bit: {recorded}."
            f"\n\n{verdict}"
        )


def _lines(report: ComparisonReport, verdict: str) -> Iterator[str]:
    new, old, days = report.challenger, report.champion, report.blocks
    yield f"**{report.model} {new.version}** (challenger) against {old.version} (champion) on "
    found = report.bootstrap
    worth = f" (worth {found.worth:.1f} independent ones)" if found.worth < found.blocks else ""
    yield (
        f"{number_of(report.holdout.rows, 'row')} of {number_of(found.blocks, 'day')}{worth}, "
        f"{days[0].block} to "
    )
    yield f"{days[-1].block}, that neither was fitted on. The recorded metrics of both were measured again "
    yield "first, and hold."
    yield ""
    yield verdict
    yield ""
    yield f"| metric | champion {old.version} | challenger {new.version} | gain (95 % interval) |"
    yield "|---|---|---|---|"
    for name, gain in report.main_first():
        label = f"**{name}**" if name == report.metric else name
        yield f"| {label} ({gain.better} is better) | {_both(gain)} | {gain_in_words(gain)} |"
    errors = [number_in_words(report.calibration[side].error) for side in ("champion", "challenger")]
    yield f"| calibration error (lower is better) | {errors[0]} | {errors[1]} | |"
    yield ""
    if found.detectable is not None and found.error is not None:
        yield (
            f"By the spread of these days, a gain of {number_in_words(found.detectable)} in {report.metric} "
            f"is found in 8 of 10 comparisons. Of a year's error of {ERROR_A_YEAR:g}, this one may take "
            f"{found.error:.2g}: it is number {found.place} in 365 days."
        )
        yield ""
    if report.terms is not None:
        yield (
            f"As much is left to live days, by their mean {report.terms.loss}: a challenger that only chance "
            f"speaks against is looked at in the shadow until {report.terms.until[:10]}."
        )
        yield ""
    for column, segments in report.segments.items():
        yield f"| {column} | rows | champion | challenger | gain in {report.metric} |"
        yield "|---|---|---|---|---|"
        for segment in segments:
            note = "" if segment.judged else ", too small to judge"
            by = gain_in_words(segment) + note
            yield f"| {segment.value} | {segment.rows:,} | {_both(segment)} | {by} |"
        yield ""
    yield _movement(report)


def said_of_shadow(report: ComparisonReport, shadow: Shadow | None = None) -> str:
    """In one line where a challenger stands in the shadow; by default as it was decided."""
    terms, found = report.terms, shadow or report.shadow
    if terms is None or found is None:
        return "not in the shadow"
    said = (
        f"in the shadow since {terms.since[:10]}: {number_of(found.days, 'day')}, evidence "
        f"{found.evidence:.3g}, decides from {terms.limit:.3g}"
    )
    if found.decided is not None:
        surely = "" if found.proved is None else f", and whatever days are on {found.proved}"
        return f"{said}, beyond it on {found.decided}{surely}"
    if found.last is None or found.more is None:
        return f"{said}, ends undecided on {terms.until[:10]} as it stands"
    expected = date.fromisoformat(found.last) + timedelta(days=found.more)
    if expected > date.fromisoformat(terms.until[:10]):
        return f"{said}, ends undecided on {terms.until[:10]} as it stands"
    return f"{said}, expected to decide about {expected.isoformat()}"


def _movement(report: ComparisonReport) -> str:
    moved = report.movement
    if not isinstance(moved, MovedScores):
        return "No live rows could be scored with both" + (
            f": {moved.left_out[0]}." if moved.left_out else ": nothing has been published yet."
        )
    changed = moved.label_changed
    label = "" if changed is None else f", the label of {changed:.1%} would change"
    return (
        f"On {number_of(moved.rows, 'live row')} of the last {number_of(moved.runs, 'run')}, scores "
        f"would move by {number_in_words(moved.mean_absolute)} on average (nine in ten between "
        f"{signed_in_words(moved.p05)} and {signed_in_words(moved.p95)}){label}."
    )


def _both(gain: Gain) -> str:
    return f"{number_in_words(gain.champion)} | {number_in_words(gain.challenger)}"


def gain_in_words(gain: SureGain) -> str:
    """A gain with its interval, as far as there is one."""
    if gain.gain is None:
        return "not defined"
    if gain.low is None or gain.high is None:
        return signed_in_words(gain.gain)
    return f"{signed_in_words(gain.gain)} ({signed_in_words(gain.low)} to {signed_in_words(gain.high)})"


def number_in_words(value: float | None) -> str:
    """Four decimals, none from a thousand on."""
    return "–" if value is None else f"{value:,.4f}" if abs(value) < 1_000 else f"{value:,.0f}"


def signed_in_words(value: float) -> str:
    """The same with its sign."""
    return f"{value:+,.4f}" if abs(value) < 1_000 else f"{value:+,.0f}"
