"""Challengers in the shadow: what they would have made of each published run, kept until it decides.

Their scores are made from the rows that runs froze, and are never staged nor published. What is kept are sums
of loss, in the performance report of the run; the decision is one more comparison of the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from rescore import performance
from rescore.comparison import (
    ComparisonReport,
    Shadow,
    ShadowTerms,
    in_shadow,
    ruled,
    said_of_shadow,
    shadow_after,
)
from rescore.errors import NotFoundError
from rescore.folder import ModelFolder
from rescore.interval import Interval, parse_moment
from rescore.performance import Outcomes, PerformanceReport, ShadowRun
from rescore.pipeline.compare.proved_packages import predicted
from rescore.pipeline.context import Context
from rescore.pipeline.monitoring.performance import labels_of_runs
from rescore.pipeline.packages.opening import open_package
from rescore.pipeline.packages.pinning import pin, pin_evidence
from rescore.store import RunPerformance, ScoredRun, StoredComparison

__all__ = ["Shadowed", "follow_shadows", "outcomes_of_both", "shadows_of"]

#: So many comparisons are looked through; so many runs are scored in one call.
LAST_COMPARISONS, MAX_RUNS = 30, 30
#: A run counts once so many of its rows have a label.
LEAST_COVERAGE = 0.5


@dataclass(frozen=True)
class Shadowed:
    """A challenger that is looked at beside the champion.

    Attributes
    ----------
    model, version, sha256 : str
        The challenger.
    report : ComparisonReport
        Of its last comparison with the champion.
    found : Shadow
        Where it stands.
    new : bool
        Whether this look decided, or showed for the first time that the rule may pin.
    pinned : bool
        Whether the rule has made it the champion.
    """

    model: str
    version: str
    sha256: str
    report: ComparisonReport
    found: Shadow
    new: bool = False
    pinned: bool = False

    @property
    def sentence(self) -> str:
        """Since when, how many days, evidence and limit, when it may decide; in one line."""
        return f"{self.version} is {said_of_shadow(self.report, self.found)}"


def shadows_of(ctx: Context, model_name: str, now: datetime) -> list[Shadowed]:
    """The challengers in the shadow of the champion, the most evidence first, as the store knows them.

    Of each the newest comparison with the champion counts. It is in the shadow if nothing but chance spoke
    against it; until ``promotion.shadow`` has passed, its package is withdrawn, or a package is pinned. Empty
    where ``promotion.shadow`` is not declared.
    """
    found = []
    for stored, report, terms in _open(ctx, model_name, now):
        stands = report.shadow
        if stands is None or not _settled(stands, terms):
            looked_at = _looked_at(_measured(ctx, model_name, stored, terms), stored, terms)
            newer = shadow_after(terms, looked_at)
            stands = newer if stands is None or newer.decided else stands
        challenger = report.challenger
        found.append(Shadowed(model_name, challenger.version, challenger.sha256, report, stands))
    return sorted(found, key=lambda one: (-one.found.evidence, one.version))


def follow_shadows(
    ctx: Context, model_name: str, now: datetime, *, tell: Callable[[Shadowed], object] | None = None
) -> list[Shadowed]:
    """Score what was measured since with each challenger in the shadow, and decide where evidence suffices.

    With ``promotion.approval: auto`` a challenger is pinned that is better whatever days are. One that is so
    if days stay as they were waits for a person, and goes on to be looked at.

    Parameters
    ----------
    ctx : Context
        Store, archive and the source's labels.
    model_name : str
        The model.
    now : datetime
        Aware; labels known by then count. A run is looked at once: labels that come later change nothing.
    tell : callable, optional
        Called with a challenger that waits for a person, before that is stored: what ends in between tells
        twice rather than never.

    Returns
    -------
    list of Shadowed
        As of :func:`shadows_of`.

    Raises
    ------
    SourceError, IntegrityError, DigestMismatchError
        Labels, a package or frozen rows can't be read.
    """
    folder = ctx.model(model_name)
    for stored, report, terms in _open(ctx, model_name, now):
        stands = report.shadow
        over = now > parse_moment(terms.until) or (stands is not None and _settled(stands, terms))
        if not over:
            _score(ctx, folder, stored, terms, now)
    found = shadows_of(ctx, model_name, now)
    for place, one in enumerate(found):
        if one.found.decided is not None:
            found[place] = _decided(ctx, folder, one, tell)
            if found[place].pinned:
                return found[: place + 1]  # the others were compared with another champion
    return found


def _open(
    ctx: Context, model_name: str, now: datetime
) -> Iterator[tuple[StoredComparison, ComparisonReport, ShadowTerms]]:
    pinned = ctx.store.pins.current(model_name) if ctx.model(model_name).spec.promotion.shadow else None
    if pinned is None:
        return
    newest: dict[str, StoredComparison] = {}
    for one in ctx.store.comparisons.of_model(model_name, last=LAST_COMPARISONS):
        if one.champion_sha256 == pinned.sha256 != one.challenger_sha256:
            newest.setdefault(one.challenger_sha256, one)
    withdrawn = ctx.store.deletions.of_packages(newest) if newest else {}
    for sha256, one in newest.items():
        report = ctx.read_stored(ComparisonReport, one.report, f"{model_name}: a comparison")
        terms = None if report is None else report.terms
        if report is None or terms is None or sha256 in withdrawn:
            continue
        if not (in_shadow(report) or report.shadow):
            continue
        # A pin since then, of whatever package, was a decision: it is not turned round by what led to it.
        if parse_moment(terms.since) > pinned.pinned_at and (
            report.shadow is not None or now <= parse_moment(terms.until)
        ):
            yield one, report, terms


def _settled(shadow: Shadow, terms: ShadowTerms) -> bool:
    """Whether more days could change nothing."""
    return shadow.proved is not None or not math.isfinite(terms.worst)


def _measured(
    ctx: Context, model_name: str, stored: StoredComparison, terms: ShadowTerms
) -> list[tuple[RunPerformance, PerformanceReport]]:
    """All runs that may count: with a bound on their number, an hourly model would forget as it goes."""
    rows = ctx.store.history.performance_of_package(
        model_name, stored.champion_sha256, parse_moment(terms.begins)
    )
    read = (
        (row, ctx.read_stored(PerformanceReport, row.report, f"{model_name}: {row.interval}")) for row in rows
    )
    return [(row, report) for row, report in read if report is not None]


def _looked_at(
    measured: Sequence[tuple[RunPerformance, PerformanceReport]], stored: StoredComparison, terms: ShadowTerms
) -> list[ShadowRun]:
    pair = (stored.champion_sha256, stored.challenger_sha256, terms.loss)
    kept = (run for _, report in measured for run in report.shadow)
    return [run for run in kept if (run.champion, run.challenger, run.loss) == pair]


def _score(
    ctx: Context, folder: ModelFolder, stored: StoredComparison, terms: ShadowTerms, now: datetime
) -> None:
    """Score new runs with the challenger, oldest first, and keep its loss beside the champion's.

    A run of a day that was bet on, or of one before it, is left: it would change what was known before a bet.
    """
    every = _measured(ctx, folder.name, stored, terms)
    looked_at = _looked_at(every, stored, terms)
    measured = {
        row.run_id: (row, report) for row, report in every if (report.coverage or 0.0) >= LEAST_COVERAGE
    }
    seen = {run.starts for run in looked_at}
    last = max((run.day for run in looked_at), default="")
    over = any(run.closes for run in looked_at if run.day == last)
    begins, scored = parse_moment(terms.begins), 0
    runs = ctx.store.runs.published(
        folder.name,
        ended_after=begins,
        ended_by=now - folder.spec.target.delay,
        package_sha256=stored.champion_sha256,
    )
    for run in runs:
        if run.run_id not in measured or run.interval.start < begins or scored == MAX_RUNS:
            continue
        day, _ = _day(run.interval, folder.spec.schedule.timezone)
        if day < last or (day == last and over) or run.interval.start in seen:
            continue
        both = outcomes_of_both(ctx, folder, run, stored.challenger_sha256, now)
        found = None if both is None else _run(folder, run, stored, terms, both)
        if found is not None:
            scored += 1
            row, report = measured[run.run_id]
            kept = report.model_copy(update={"shadow": (*report.shadow, found)})
            ctx.store.reports.record_performance(
                run.run_id, row.as_of, kept.to_dict(), label_coverage=row.label_coverage
            )


def outcomes_of_both(
    ctx: Context, folder: ModelFolder, run: ScoredRun, challenger_sha256: str, now: datetime
) -> tuple[Outcomes, Outcomes] | None:
    """What came of a run's published scores, and of the challenger's; None if it can't score its rows."""
    challenger = open_package(ctx, folder.name, challenger_sha256)
    target, names = challenger.manifest.target, challenger.manifest.feature_names
    try:
        rows = ctx.kept_rows(run)
    except NotFoundError as gone:
        ctx.progress(f"{run.interval}: not looked at in the shadow: {gone.what}")
        return None
    if missing := [name for name in names if name not in rows.column_names]:
        ctx.progress(f"{run.interval}: not looked at in the shadow: no {', '.join(missing)} in what it froze")
        return None
    said = predicted(ctx, challenger, "final", [rows])[0]
    scores = ctx.store.scores.of_run(run)
    column = pa.array(said.raw if said.named is None else said.raw[:, 1])
    others = scores.set_column(scores.column_names.index("score"), "score", column)
    if said.named is not None and target.kind == "multiclass":
        named = pa.array([target.labels[place] for place in said.named], pa.string())
        others = others.set_column(others.column_names.index("label"), "label", named)
    labels = next(labels_of_runs(ctx, folder, [run], now))
    came, would_come = (
        performance.outcomes(table, labels, folder.spec, trained_on=target.labels or None)
        for table in (scores, others)
    )
    return came, would_come


def _run(
    folder: ModelFolder,
    run: ScoredRun,
    stored: StoredComparison,
    terms: ShadowTerms,
    both: Sequence[Outcomes],
) -> ShadowRun | None:
    known = both[0].known & both[1].known
    if not known.any():
        return None
    lost = [performance.realised_losses(terms.loss, folder.spec.target.kind, one, known) for one in both]
    day, closes = _day(run.interval, folder.spec.schedule.timezone)
    return ShadowRun(
        champion=stored.champion_sha256,
        challenger=stored.challenger_sha256,
        loss=terms.loss,
        starts=run.interval.start,
        day=day,
        closes=closes,
        rows=int(known.sum()),
        champion_loss=float(np.sum(lost[0])),
        challenger_loss=float(np.sum(lost[1])),
    )


def _day(interval: Interval, timezone: str) -> tuple[str, bool]:
    """The local day on which an interval starts, and whether it ends with that day or later."""
    zone = ZoneInfo(timezone)
    day = interval.start.astimezone(zone).date()
    return day.isoformat(), interval.end >= datetime.combine(day + timedelta(days=1), time.min, zone)


def _decided(
    ctx: Context, folder: ModelFolder, one: Shadowed, tell: Callable[[Shadowed], object] | None
) -> Shadowed:
    """Keep the decision as a comparison, once, and pin where the rule may."""
    before = one.report.shadow
    new = before is None or (before.proved is None and one.found.proved is not None)
    report = ruled(one.report.model_copy(update={"shadow": one.found}))
    pins = report.rule.passes and folder.spec.promotion.approval == "auto"
    if new and not pins and tell is not None:
        tell(replace(one, report=report, new=True))
    if new:
        ctx.store.comparisons.add(
            model=folder.name,
            champion_sha256=report.champion.sha256,
            challenger_sha256=one.sha256,
            snapshot_digest=report.holdout.snapshot_digest,
            report=report.to_dict(),
        )
        ctx.progress(f"{folder.name} {one.sentence}")
    if pins:
        evidence = pin_evidence(ctx, folder.name, one.sha256)
        why = "; ".join(report.rule.reasons)
        pin(ctx, folder.name, one.sha256, who="rule", why=why, evidence=evidence)
    return replace(one, report=report, new=new, pinned=pins)
