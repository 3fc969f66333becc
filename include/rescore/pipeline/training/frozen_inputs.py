"""Past frozen inputs as evidence: what training uses where the source can't show its past, and what the
source says of the same rows today.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rescore import source
from rescore.errors import ParameterError, RescoreError, SpecError
from rescore.folder import ModelFolder
from rescore.interval import Interval
from rescore.pipeline.context import Context

if TYPE_CHECKING:
    import pyarrow as pa

    from rescore.source import LateCommits
    from rescore.store import Run

__all__ = ["frozen_rows", "history", "inputs_of", "rewritten"]


def inputs_of(ctx: Context, model_name: str) -> dict[Interval, Run]:
    """For each interval the run whose frozen rows count, by interval.

    The published run, since its rows were really scored; where nothing was published, the last run
    that froze rows: how a model collects its first inputs, before a package is pinned.
    """
    found = {
        run.interval: run
        for run in reversed(ctx.store.runs.latest(model_name, limit=100_000))
        if run.input_digest is not None
    }
    found |= {run.interval: run for run in ctx.store.runs.published(model_name)}
    return dict(sorted(found.items()))


def frozen_rows(ctx: Context, folder: ModelFolder, intervals: Sequence[Interval]) -> dict[Interval, pa.Table]:
    """The frozen rows of those of ``intervals`` that have any, verified by their digests.

    Raises
    ------
    ParameterError
        None of them has.
    SpecError
        Rows were frozen without a column that the model has now.
    """
    runs = inputs_of(ctx, folder.name)
    tables = {}
    for interval in intervals:
        if interval not in runs:
            continue
        run = runs[interval]
        rows = source.read_frozen(ctx.archive.get_input(str(run.input_digest)), run.input_digest)
        missing = [name for name in folder.spec.input_columns if name not in rows.column_names]
        if missing:
            raise SpecError(
                f"the frozen rows of {interval} lack {', '.join(missing)}",
                where=f"run {run.run_id}",
                expected="the columns that model.yaml declares",
                fix="train on a window after the column was added, or take it out again",
            )
        tables[interval] = rows.select(folder.spec.input_columns)
    if not tables:
        raise ParameterError(
            f"{folder.name} has no frozen input in the training window",
            where=f"{intervals[0].start.isoformat()} to {intervals[-1].end.isoformat()}",
            expected="intervals that were scored, since training.from is frozen_inputs",
            fix=f"run rescore score {folder.name} for each interval as it ends; without a pinned package a run "  # noqa: E501
            "stops after freezing its rows, and they count",
        )
    return tables


def rewritten(ctx: Context, model_name: str, last: int = 7) -> list[tuple[Run, LateCommits]]:
    """What the source says today of the rows of the last runs, where it is not what was frozen.

    Each is extracted again as of the same moment: rows that came late, are gone, or were changed in
    place are counted, with the columns and some keys.
    """
    folder = ctx.model(model_name)
    found = []
    for run in list(inputs_of(ctx, model_name).values())[-last:]:
        frozen = source.read_frozen(ctx.archive.get_input(str(run.input_digest)), run.input_digest)
        late = source.known_later(ctx.source_url(folder), folder, run.interval, run.as_of, frozen)
        if not late.none:
            found.append((run, late))
    return found


def history(ctx: Context, model_name: str, last: int = 3) -> str | None:
    """What has to be said wherever a model is shown whose source can't show its past; else None.

    Parameters
    ----------
    ctx : Context
        Models and store; with ``last``, archive and source, too.
    model_name : str
        The model.
    last : int
        So many of the last runs' frozen rows are compared with the source; 0 leaves the source alone.
    """
    try:
        known_by = ctx.model(model_name).spec.source.known_by
    except RescoreError as error:
        return f"unknown, since the model can't be read: {error.what}"
    if known_by.reproducible_from_source:
        return None
    said = "the source keeps no history (known_by: none): only frozen rows prove what was scored"
    if not last:
        return f"{said}; rescore status names those that the source has rewritten since"
    try:
        found = rewritten(ctx, model_name, last)
    except RescoreError as error:
        return f"{said}; whether it has rewritten them since can't be seen now: {error.what}"
    looked = min(last, len(inputs_of(ctx, model_name)))
    if not found:
        return f"{said}; it still gives those of the last {looked} runs" if looked else said
    changes = "; ".join(
        f"{run.interval}: {late.changed:,} changed in {', '.join(late.changed_columns) or 'no column'}, "
        f"{late.added:,} more, {late.removed:,} fewer"
        for run, late in found
    )
    return f"{said}; of the last {looked} runs it has rewritten {len(found)}: {changes}"
