"""A comparison as a value: what the declared rule says of it, and its text for the person who decides.

Nothing is measured here; all of it follows from the report, so that it can be said again at any time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rescore.comparison.resampling import MIN_BLOCKS
from rescore.performance import METRICS

__all__ = ["Comparison"]


@dataclass(frozen=True)
class Comparison:
    """Champion and challenger on the same rows.

    Attributes
    ----------
    comparison_id : int or None
        Its row in the store; None where there is no champion to compare with.
    report : dict
        Everything that was found; see the guide *Champion and challenger*.
    """

    comparison_id: int | None
    report: dict[str, Any]

    def by_rule(self) -> tuple[bool, list[str]]:
        """Whether the challenger may replace the champion without a person, and why or why not.

        All of these have to hold: the code was committed; the hold-out has at least
        :data:`~rescore.comparison.resampling.MIN_BLOCKS` days; the gain in the metric is at least
        ``promotion.smallest_gain`` and the whole of its interval lies above 0; no segment that is
        large enough to be judged loses more than ``promotion.largest_segment_loss``.

        Returns
        -------
        bool
            The verdict.
        list of str
            What speaks against it; if nothing does, what speaks for it.
        """
        against = [*self._unclean(), *self._no_gain(), *self._lost_segments()]
        if against:
            return False, against
        if self.report["champion"] is None:
            return True, ["there is no champion: this would be the first package", "its code is committed"]
        metric = self.report["metric"]
        return True, [
            f"{metric} is better by {self._amount(self._main)}",
            f"no segment loses more than {self._bound('largest_segment_loss')}",
            "its code is committed",
        ]

    def markdown(self) -> str:
        """The comparison for a person: what decides first, then what supports it."""
        report = self.report
        new, old = report["challenger"], report["champion"]
        passes, reasons = self.by_rule()
        verdict = f"**By rule: {'yes' if passes else 'no'}.** " + "; ".join(reasons) + "."
        if old is None:
            recorded = ", ".join(
                f"{name} {value:.4f}" for name, value in new["metrics"].items() if value is not None
            )
            return "\n\n".join(
                [
                    f"**{report['model']} {new['version']}**: no package is pinned yet, so there is nothing "
                    f"to compare it with. Its recorded metrics, measured again to the last bit: {recorded}.",
                    verdict,
                ]
            )
        return "\n".join(self._lines(verdict))

    def _lines(self, verdict: str) -> Iterator[str]:
        report = self.report
        new, old, held = report["challenger"], report["champion"], report["holdout"]
        blocks, days = report["bootstrap"]["blocks"], report["blocks"]
        yield f"**{report['model']} {new['version']}** (challenger) against {old['version']} (champion) on "
        yield f"{held['rows']:,} rows of {blocks} days, {days[0]['block']} to {days[-1]['block']}, that "
        yield "neither was fitted on. The recorded metrics of both were measured again first, and hold."
        yield ""
        yield verdict
        yield ""
        yield f"| metric | champion {old['version']} | challenger {new['version']} | gain (95 % interval) |"
        yield "|---|---|---|---|"
        for name, one in sorted(report["metrics"].items(), key=lambda one: one[0] != report["metric"]):
            label = f"**{name}**" if name == report["metric"] else name
            yield (
                f"| {label} ({one['better']} is better) | {_number(one['champion'])} "
                f"| {_number(one['challenger'])} | {_gain(one)} |"
            )
        errors = [report["calibration"][side]["error"] for side in ("champion", "challenger")]
        yield f"| calibration error (lower is better) | {_number(errors[0])} | {_number(errors[1])} | |"
        yield ""
        for column, segments in report["segments"].items():
            yield f"| {column} | rows | champion | challenger | gain in {report['metric']} |"
            yield "|---|---|---|---|---|"
            for one in segments:
                note = "" if one["judged"] else ", too small to judge"
                yield (
                    f"| {one['value']} | {one['rows']:,} | {_number(one['champion'])} "
                    f"| {_number(one['challenger'])} | {_gain(one)}{note} |"
                )
            yield ""
        yield self._movement()

    def _movement(self) -> str:
        moved = self.report["movement"]
        if not moved["rows"]:
            return "No live rows could be scored with both" + (
                f": {moved['left_out'][0]}." if moved["left_out"] else ": nothing has been published yet."
            )
        changed = moved["label_changed"]
        label = "" if changed is None else f", the label of {changed:.1%} would change"
        return (
            f"On {moved['rows']:,} live rows of the last {moved['runs']} runs, scores would move by "
            f"{_number(moved['mean_absolute'])} on average (nine in ten between "
            f"{_signed(moved['p05'])} and {_signed(moved['p95'])}){label}."
        )

    @property
    def _main(self) -> Mapping[str, Any]:
        main: Mapping[str, Any] = self.report["metrics"][self.report["metric"]]
        return main

    @property
    def _relative(self) -> bool:
        """Whether gains and losses are shares of the champion's value."""
        return METRICS[self.report["metric"]].in_target_unit

    def _unclean(self) -> Iterator[str]:
        revision = self.report["challenger"]["code_revision"]
        if revision == "unknown" or revision.endswith("+dirty"):
            yield f"its code revision is {revision}, and only committed code is promoted by rule"

    def _no_gain(self) -> Iterator[str]:
        if self.report["champion"] is None:
            return
        blocks, metric, main = self.report["bootstrap"]["blocks"], self.report["metric"], self._main
        if blocks < MIN_BLOCKS:
            yield f"the hold-out has {blocks} days, and the rule decides from {MIN_BLOCKS} on"
        if main["gain"] is None or main["low"] is None:
            yield f"{metric} can't be measured with an interval on this hold-out"
            return
        if main["low"] <= 0:
            yield f"the gain in {metric}, {self._amount(main)}, may be chance"
        smallest = self.report["promotion"]["smallest_gain"]
        if self._scaled(main["gain"], main) < smallest:
            yield f"{metric} gains {self._amount(main)}; at least {self._bound('smallest_gain')} is declared"

    def _lost_segments(self) -> Iterator[str]:
        if self.report["champion"] is None:
            return
        largest = self.report["promotion"]["largest_segment_loss"]
        for column, segments in self.report["segments"].items():
            for one in segments:
                if not one["judged"]:
                    continue
                if one["gain"] is None:
                    yield f"{column} {one['value']}: {self.report['metric']} can't be measured"
                elif -self._scaled(one["gain"], one) > largest:
                    yield (
                        f"{column} {one['value']} ({one['rows']:,} rows) loses {self._amount(one)}; "
                        f"at most {self._bound('largest_segment_loss')} is declared"
                    )

    def _scaled(self, gain: float, one: Mapping[str, Any]) -> float:
        if not self._relative:
            return gain
        return gain / one["champion"] if one["champion"] else 0.0

    def _bound(self, name: str) -> str:
        value = self.report["promotion"][name]
        return f"{value:.2%} of the champion's" if self._relative else f"{value:g}"

    def _amount(self, one: Mapping[str, Any]) -> str:
        share = f", {self._scaled(one['gain'], one):+.2%} of the champion's" * self._relative
        return _gain(one) + share


def _gain(one: Mapping[str, Any]) -> str:
    if one["gain"] is None:
        return "not defined"
    if one["low"] is None:
        return _signed(one["gain"])
    return f"{_signed(one['gain'])} ({_signed(one['low'])} to {_signed(one['high'])})"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.4f}" if abs(value) < 1_000 else f"{value:,.0f}"


def _signed(value: float) -> str:
    return f"{value:+,.4f}" if abs(value) < 1_000 else f"{value:+,.0f}"
