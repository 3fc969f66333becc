"""What the declared rule says of a comparison.

Nothing is measured here; all of it follows from the report, so that it can be said again at any time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from rescore.comparison.error_budget import ERROR_A_YEAR
from rescore.comparison.report import ComparisonReport, FirstReport, Rule, SureGain
from rescore.comparison.resampling import MIN_BLOCKS, MIN_EFFECTIVE
from rescore.comparison.wording import gain_in_words, said_of_shadow
from rescore.performance import METRICS
from rescore.shown_text import number_of

__all__ = ["decide", "in_shadow", "ruled"]

Report = TypeVar("Report", ComparisonReport, FirstReport)


def ruled(report: Report) -> Report:
    """The report with what the rule says of it, for readers that only show it."""
    return report.model_copy(update={"rule": decide(report)})


def decide(report: ComparisonReport | FirstReport) -> Rule:
    """Whether the challenger may replace the champion without a person, and why or why not.

    All of these have to hold: the code was committed; the hold-out has at least
    :data:`~rescore.comparison.resampling.MIN_BLOCKS` days, worth
    :data:`~rescore.comparison.resampling.MIN_EFFECTIVE` independent ones; the gain in the metric is at least
    ``promotion.smallest_gain`` and lies above 0 but for the chance that the year's budget of errors has
    left for this comparison, or live days have shown so in the shadow, whatever days are; no segment that is
    large enough to be judged loses more than ``promotion.largest_segment_loss``.

    Returns
    -------
    Rule
        Its reasons are what speaks against the challenger; if nothing does, what speaks for it.
    """
    unclean = list(_unclean(report.challenger.code_revision))
    if isinstance(report, FirstReport):
        for_it = ("there is no champion: this would be the first package", "its code is committed")
        return Rule(passes=not unclean, reasons=tuple(unclean) or for_it)
    shown = report.shadow is not None and report.shadow.proved is not None
    chance = () if shown else _chance(report)
    against = [*unclean, *chance, *_small_gain(report), *_lost_segments(report)]
    if against:
        return Rule(passes=False, reasons=tuple(against))
    return Rule(
        passes=True,
        reasons=(
            f"{report.metric} is better by {_amount(report, report.main)}",
            f"no segment loses more than {_bound(report, report.promotion.largest_segment_loss)}",
            "its code is committed",
            *([said_of_shadow(report)] if shown else []),
        ),
    )


def in_shadow(report: ComparisonReport) -> bool:
    """Whether nothing but chance speaks against the challenger, so that live days may decide.

    A challenger that would not be promoted whatever they show is not looked at.
    """
    if report.terms is None or report.shadow is not None or report.main.gain is None:
        return False
    if not any(_chance(report)):
        return False
    return not any(
        (*_unclean(report.challenger.code_revision), *_small_gain(report), *_lost_segments(report))
    )


def _unclean(revision: str) -> Iterator[str]:
    if revision == "unknown" or revision.endswith("+dirty"):
        yield f"its code revision is {revision}, and only committed code is promoted by rule"


def _chance(report: ComparisonReport) -> Iterator[str]:
    if report.shadow is not None and report.shadow.decided is not None:
        yield f"live days show it if they stay as they are, so a person decides: {said_of_shadow(report)}"
        return
    metric, main = report.metric, report.main
    if report.bootstrap.blocks < MIN_BLOCKS:
        yield (
            f"the hold-out has {number_of(report.bootstrap.blocks, 'day')}, and the rule decides "
            f"from {MIN_BLOCKS} on"
        )
    elif report.bootstrap.worth < MIN_EFFECTIVE:
        yield (
            f"the hold-out's {number_of(report.bootstrap.blocks, 'day')} may be worth as few as "
            f"{report.bootstrap.worth:.1f} independent ones, and the rule decides from {MIN_EFFECTIVE:g} on"
        )
    if main.gain is None or main.low is None:
        yield f"{metric} can't be measured with an interval on this hold-out"
    elif main.low <= 0:
        yield f"the gain in {metric}, {_amount(report, main)}, may be chance"
    elif report.bootstrap.floor is not None and report.bootstrap.floor <= 0:
        yield (
            f"the gain in {metric}, {_amount(report, main)}, may be the luck of one among many: this is "
            f"comparison {report.bootstrap.place} of a year, to which {report.bootstrap.error or 0:.2g} of "
            f"the year's error of {ERROR_A_YEAR:g} is left"
            f"{'' if report.terms is None else ', and as much to live days'}"
        )


def _small_gain(report: ComparisonReport) -> Iterator[str]:
    metric, main, smallest = report.metric, report.main, report.promotion.smallest_gain
    if main.gain is not None and _scaled(report, main) < smallest:
        yield (f"{metric} gains {_amount(report, main)}; at least {_bound(report, smallest)} is declared")


def _lost_segments(report: ComparisonReport) -> Iterator[str]:
    largest = report.promotion.largest_segment_loss
    for column, segments in report.segments.items():
        for segment in segments:
            if not segment.judged:
                continue
            if segment.gain is None:
                yield f"{column} {segment.value}: {report.metric} can't be measured"
            elif -_scaled(report, segment) > largest:
                yield (
                    f"{column} {segment.value} ({number_of(segment.rows, 'row')}) loses "
                    f"{_amount(report, segment)}; at most {_bound(report, largest)} is declared"
                )


def _relative(report: ComparisonReport) -> bool:
    """Whether gains and losses are shares of the champion's value."""
    return METRICS[report.metric].in_target_unit


def _scaled(report: ComparisonReport, gain: SureGain) -> float:
    value = gain.gain or 0.0
    if not _relative(report):
        return value
    return value / gain.champion if gain.champion else 0.0


def _bound(report: ComparisonReport, value: float) -> str:
    return f"{value:.2%} of the champion's" if _relative(report) else f"{value:g}"


def _amount(report: ComparisonReport, gain: SureGain) -> str:
    share = f", {_scaled(report, gain):+.2%} of the champion's" if _relative(report) else ""
    return gain_in_words(gain) + share
