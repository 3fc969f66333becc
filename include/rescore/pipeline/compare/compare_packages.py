"""Champion and challenger on the same frozen rows, which neither was trained on.

Both are proved first (see ``compare_proof``); what does not hold is refused. The hold-out is part of a
frozen, labelled snapshot; each package scores it with a fit that ended before it begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from rescore import source
from rescore.comparison import (
    ERROR_A_YEAR,
    Asked,
    ComparedPackage,
    Comparison,
    ComparisonReport,
    FirstPackage,
    FirstReport,
    HoldOut,
    Judging,
    Promotion,
    Reproduced,
    ShadowTerms,
    Side,
    daily_gains,
    detectable_before,
    error_of,
    loss_of,
    measured,
    movement,
    place_in_year,
    ruled,
)
from rescore.errors import NotFoundError, ParameterError, RescoreError
from rescore.folder import ModelFolder
from rescore.model import Predictions, one_thread, truth_for
from rescore.pipeline.compare.proved_packages import Fit, Rival, predicted, proved, reproduced, rows_since
from rescore.pipeline.context import Context, utc_now
from rescore.pipeline.training.training_rows import train_snapshot
from rescore.store import Snapshot, StoredComparison

__all__ = ["compare_packages"]

#: Live rows are those of so many of the last published runs, and at most so many.
LIVE_RUNS = 7
LIVE_ROWS = 200_000


def compare_packages(
    ctx: Context,
    model_name: str,
    challenger: str,
    champion: str | None = None,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    as_of: datetime | None = None,
) -> Comparison:
    """Compare two packages of a model on the same frozen hold-out; the comparison is stored.

    Parameters
    ----------
    ctx : Context
        Store and archive; the source, too, if a window is named.
    model_name : str
        The model.
    challenger : str
        A version or sha256.
    champion : str, optional
        A version or sha256; default is the pinned package.
    start, end : datetime, optional
        A window to extract, label and freeze as the hold-out. Default: the hold-out of the
        challenger's own training snapshot, from where the champion has not seen it.
    as_of : datetime, optional
        Labels known by then are used; only with a window.

    Returns
    -------
    Comparison
        Stored, unless there is no champion yet.

    Raises
    ------
    DigestMismatchError
        A file or a manifest is not what was recorded; says which part.
    MetricMismatchError
        A recorded metric is not what its package gives on its snapshot; holds both values.
    ParameterError
        The two are one package, predict other things, or no row is unseen by both.
    """
    folder = ctx.model(model_name)
    if champion is None:
        pinned = ctx.store.pins.current(model_name)
        champion = None if pinned is None else pinned.sha256
    new = proved(ctx, model_name, challenger)
    ctx.progress(f"{model_name} {new.package.version}: file and manifest are as recorded")
    if champion is None:
        return _alone(ctx, folder, new)
    old = proved(ctx, model_name, champion)
    _refuse_unlike(new, old)
    window = None if start is None and end is None else (start, end)
    snapshot, rows = _hold_out(ctx, folder, new, old, window, as_of)
    since = rows["interval_start"][0].as_py()
    judging = Judging.of(folder.spec)
    asked = Asked(
        old.package.sha256,
        new.package.sha256,
        snapshot.digest,
        judging.metric,
        bool(folder.spec.promotion.shadow),
    )
    place = _place(ctx, model_name, asked)
    error = error_of(place.number, shadow=asked.shadow)
    live = _live(ctx, model_name, (new, old))
    scored: dict[Side, _Scored] = {}
    rivals: tuple[tuple[Side, Rival], ...] = (("champion", old), ("challenger", new))
    for name, rival in rivals:
        scored[name] = _scored(ctx, rival, rival.fit_before(since) or "evaluation", rows, live.rows)
        said = scored[name].proof.refused or "its recorded metrics are reproduced"
        ctx.progress(f"{rival.package.version}: {said}")
        if name == "champion" and place.detectable is None and not scored[name].proof.refused:
            _say_detectable(ctx, rival, scored[name].own, judging, error)
    target = old.manifest.target
    truth = truth_for(target.name, target.kind, target.labels, rows[target.name])
    on_live = {name: one.live for name, one in scored.items() if one.live is not None}
    with one_thread():
        on_holdout = {name: one.holdout for name, one in scored.items()}
        found = measured(rows, truth, on_holdout, judging, place=place.number, shadow=asked.shadow)
        gains = daily_gains(rows, truth, on_holdout, judging) if asked.shadow else ()
        moved = movement(target.kind, on_live, runs=live.runs, left_out=tuple(live.left_out))
    report = ruled(
        ComparisonReport(
            **dict(found),
            model=model_name,
            kind=target.kind,
            target=target,
            output=old.manifest.output,
            timezone=folder.spec.schedule.timezone,
            promotion=_promotion(folder),
            champion=_compared(old, scored["champion"]),
            challenger=_compared(new, scored["challenger"]),
            holdout=HoldOut(
                snapshot_digest=snapshot.digest,
                as_of=snapshot.as_of.isoformat(),
                start=since.isoformat(),
                end=snapshot.interval.end.isoformat(),
                origin="the challenger's hold-out" if window is None else "the window named",
                rows=rows.num_rows,
            ),
            movement=moved,
            terms=_terms(folder, error, place.since, gains, (new.snapshot, old.snapshot, snapshot))
            if asked.shadow
            else None,
        )
    )
    stored = ctx.store.comparisons.add(
        model=model_name,
        champion_sha256=old.package.sha256,
        challenger_sha256=new.package.sha256,
        snapshot_digest=snapshot.digest,
        report=report.to_dict(),
    )
    return Comparison(stored, report)


def _alone(ctx: Context, folder: ModelFolder, new: Rival) -> Comparison:
    """A package that there is nothing to compare with: what it recorded of itself is made again."""
    proof = reproduced(new, predicted(ctx, new.package, "evaluation", [new.held_out])[0])
    if proof.erased:
        raise NotFoundError(
            f"{folder.name} {new.package.version}: {proof.refused}",
            where=str(new.snapshot.digest),
            expected="a hold-out that is whole: there is no other package to compare with",
            fix="train the model anew",
        )
    return Comparison(None, ruled(_first_report(folder, new)))


@dataclass(frozen=True)
class _Place:
    """Which comparison of a year this is, since when it is asked, and what the last one could find."""

    number: int
    since: datetime
    detectable: float | None


def _place(ctx: Context, model_name: str, asked: Asked) -> _Place:
    """Which comparison of a year this is; what it can find is said before it is made."""
    stored = [
        (
            one,
            ctx.read_stored(
                ComparisonReport, one.report, f"{model_name}: what comparison {one.comparison_id} found"
            ),
        )
        for one in ctx.store.comparisons.of_model(model_name)
    ]
    before = [(_asked(one, report), one.recorded_at) for one, report in stored]
    now = utc_now()
    number = place_in_year(asked, before, now)
    error, live = error_of(number, shadow=asked.shadow), ", and live days in as much" if asked.shadow else ""
    ctx.progress(
        f"comparison {number} of the last 365 days: it may err in {error:.2g}{live}, all of a year in "
        f"{ERROR_A_YEAR:g}"
    )
    last = next((report for _, report in stored if report is not None), None)
    detectable = None if last is None else last.bootstrap.detectable
    if last is not None and detectable is not None:
        ctx.progress(
            f"on as many days as the last time, a gain of {detectable:.4g} in {last.metric} "
            "is found in 8 of 10"
        )
    return _Place(number, min([now, *(at for one, at in before if one == asked)]), detectable)


def _asked(stored: StoredComparison, report: ComparisonReport | None) -> Asked:
    """What a comparison asked; one that can't be read counts as another question, which allows less error."""
    return Asked(
        stored.champion_sha256,
        stored.challenger_sha256,
        stored.snapshot_digest,
        f"that of comparison {stored.comparison_id}" if report is None else report.metric,
        report is not None and report.terms is not None,
    )


def _say_detectable(ctx: Context, champion: Rival, own: Predictions, judging: Judging, error: float) -> None:
    """Before a first comparison: what could be found on as many days as the champion's hold-out has."""
    target, rows = champion.manifest.target, champion.held_out
    if judging.metric not in champion.manifest.metrics:
        return  # a metric of another kind of target, which is refused once both are scored
    with one_thread():
        truth = truth_for(target.name, target.kind, target.labels, rows[target.name])
        found = detectable_before(rows, truth, own, judging, error)
    if found is not None:
        ctx.progress(
            f"by the days of {champion.package.version}'s own hold-out, a gain of {found:.4g} in "
            f"{judging.metric} is found in 8 of 10 if the challenger does badly on other days, and a smaller "
            "one if on the same"
        )


def _terms(
    folder: ModelFolder, error: float, since: datetime, gains: Sequence[float], seen: Sequence[Snapshot]
) -> ShadowTerms:
    """By what live days judge the challenger; a question that is put again does not begin anew."""
    return ShadowTerms(
        loss=loss_of(folder.spec.target.kind, Judging.of(folder.spec).metric),
        error=error,
        since=since.isoformat(),
        until=(since + folder.spec.promotion.shadow).isoformat(),
        begins=max(one.interval.end for one in seen).isoformat(),
        holdout=tuple(gains),
    )


def _refuse_unlike(new: Rival, old: Rival) -> None:
    if new.package.sha256 == old.package.sha256:
        raise ParameterError(
            f"{new.package.name} {new.package.version} is champion and challenger at once",
            expected="two packages",
            fix=f"name another one: `rescore packages list {new.package.name}`",
        )
    if new.manifest.target != old.manifest.target:
        raise ParameterError(
            f"{new.package.version} and {old.package.version} do not predict the same thing",
            expected=str(old.manifest.target.to_dict()),
            examples=[str(new.manifest.target.to_dict())],
            fix="a model that predicts something else is another model: a person decides about it",
        )


def _hold_out(
    ctx: Context,
    folder: ModelFolder,
    new: Rival,
    old: Rival,
    window: tuple[datetime | None, datetime | None] | None,
    as_of: datetime | None,
) -> tuple[Snapshot, pa.Table]:
    """The rows that neither has seen."""
    if window is None:
        snapshot, rows, since = new.snapshot, new.rows, new.held_out_from
    else:
        digest = train_snapshot(ctx, folder.name, start=window[0], end=window[1], as_of=as_of)
        snapshot = ctx.store.snapshots.of_model(folder.name, kind="training", digest=digest)[0]
        rows = ctx.frozen_table(digest)[1]
        since = snapshot.interval.start
    for rival in (new, old):
        if rival.fit_before(since) is None:
            since = max(since, rival.held_out_from)
    unseen = rows_since(rows, since)
    if not unseen.num_rows:
        raise ParameterError(
            "there are no rows that neither package has seen",
            where=f"snapshot {snapshot.digest}, {snapshot.interval}",
            expected=f"rows from {since.isoformat()} on: "
            f"{old.package.version} was measured on rows from {old.held_out_from.isoformat()} on, "
            f"{new.package.version} from {new.held_out_from.isoformat()} on",
            fix="name a later window with labels (--start and --end), or train the challenger on one",
        )
    return snapshot, unseen


@dataclass(frozen=True)
class _Live:
    rows: pa.Table | None
    runs: int
    left_out: list[str]


def _live(ctx: Context, model_name: str, rivals: Sequence[Rival]) -> _Live:
    """What the last published runs scored, as it was frozen."""
    names = list(dict.fromkeys(name for one in rivals for name in one.manifest.feature_names))
    parts: list[pa.Table] = []
    left_out = []
    for run in reversed(ctx.store.runs.published(model_name, last=LIVE_RUNS)):
        try:
            rows = ctx.frozen_rows(run)
        except RescoreError as error:
            left_out.append(f"{run.interval}: {error.what}")
            continue
        missing = [name for name in names if name not in rows.column_names]
        if missing:
            left_out.append(f"{run.interval}: its frozen input has no {', '.join(missing)}")
        elif sum(part.num_rows for part in parts) + rows.num_rows <= LIVE_ROWS or not parts:
            parts.append(source.without(rows, ctx.store.excluded.positions(run)).select(names))
    if not parts:
        return _Live(None, 0, left_out)
    return _Live(pa.concat_tables(parts, promote_options="permissive"), len(parts), left_out)


@dataclass(frozen=True)
class _Scored:
    """What a package says of hold-out and live rows, by which fit, and the proof of its recorded metrics."""

    fit: Fit
    proof: Reproduced
    own: Predictions
    holdout: Predictions
    live: Predictions | None


def _scored(ctx: Context, rival: Rival, fit: Fit, holdout: pa.Table, live: pa.Table | None) -> _Scored:
    wanted: dict[Fit, list[tuple[str, pa.Table]]] = {"evaluation": [("own", rival.held_out)], "final": []}
    wanted[fit].append(("holdout", holdout))
    if live is not None:
        wanted["final"].append(("live", live))
    scored: dict[str, Predictions] = {}
    for which, parts in wanted.items():
        if parts:
            found = predicted(ctx, rival.package, which, [rows for _, rows in parts])
            scored |= dict(zip([name for name, _ in parts], found, strict=True))
    return _Scored(
        fit, reproduced(rival, scored["own"]), scored["own"], scored["holdout"], scored.get("live")
    )


def _described(rival: Rival) -> dict[str, Any]:
    """What both kinds of report say of a package."""
    manifest = rival.registered.manifest
    return {
        "version": rival.package.version,
        "sha256": rival.package.sha256,
        "snapshot_digest": rival.snapshot.digest,
        "window": str(rival.snapshot.interval),
        "rows": manifest.training.rows,
        "code_revision": manifest.built.code_revision or manifest.lineage.code_revision or "unknown",
    }


def _compared(rival: Rival, scored: _Scored) -> ComparedPackage:
    return ComparedPackage(**_described(rival), fit=scored.fit, reproduced=scored.proof)


def _promotion(folder: ModelFolder) -> Promotion:
    return Promotion.from_dict(folder.spec.promotion.model_dump(mode="json"))


def _first_report(folder: ModelFolder, new: Rival) -> FirstReport:
    return FirstReport(
        model=folder.name,
        kind=new.manifest.target.kind,
        output=new.manifest.output,
        promotion=_promotion(folder),
        challenger=FirstPackage(**_described(new), metrics=new.manifest.metrics),
    )
