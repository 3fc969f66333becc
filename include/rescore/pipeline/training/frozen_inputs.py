"""Past frozen inputs as evidence: what training uses where the source can't show its past, and what the
source says of the same rows today.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rescore import source
from rescore.errors import NotFoundError, ParameterError, RescoreError, SpecError
from rescore.folder import ModelFolder
from rescore.interval import Interval
from rescore.pipeline.context import Context
from rescore.shown_text import number_of

if TYPE_CHECKING:
    import pyarrow as pa

    from rescore.source import LateCommits
    from rescore.store import ExtractedRun

__all__ = ["Rewritten", "frozen_rows", "history", "rewritten"]


def frozen_rows(ctx: Context, folder: ModelFolder, intervals: Sequence[Interval]) -> dict[Interval, pa.Table]:
    """The frozen rows of those of ``intervals`` that have any, verified by their digests.

    Raises
    ------
    ParameterError
        None of them has.
    SpecError
        Rows were frozen without a column that the model has now.
    """
    window = Interval(intervals[0].start, intervals[-1].end)
    runs = {run.interval: run for run in ctx.store.runs.with_input(folder.name, window=window)}
    tables = {}
    for interval in intervals:
        if interval not in runs:
            continue
        run = runs[interval]
        rows = ctx.frozen_rows(run)
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
            fix=f"run `rescore score {folder.name} --day DAY` for each interval as it ends, or for the past, "
            f"with its rows of today, `rescore backfill {folder.name} --start … --end …`; without a pinned "
            "package a run stops after freezing its rows, and they count",
        )
    return tables


@dataclass(frozen=True)
class Rewritten:
    """What the source says today of the rows that the last runs froze.

    Attributes
    ----------
    compared : int
        Runs whose rows were compared.
    changed : tuple of (ExtractedRun, LateCommits)
        Those of which the source gives other rows, the oldest first.
    other_query : int
        Runs whose rows another ``extract.sql`` gave: what today's gives says nothing about them.
    gone : int
        Runs whose frozen rows are deleted.
    """

    compared: int
    changed: tuple[tuple[ExtractedRun, LateCommits], ...]
    other_query: int = 0
    gone: int = 0

    @property
    def left_out(self) -> str:
        """How many runs could not be compared, and why; empty if all were."""
        parts = []
        if self.other_query:
            parts.append(f"{self.other_query} froze rows of another extract.sql")
        if self.gone:
            parts.append(f"of {self.gone} the frozen rows are gone")
        return f"not compared: {', '.join(parts)}" if parts else ""


def rewritten(ctx: Context, model_name: str, last: int = 7) -> Rewritten:
    """What the source says today of the rows of the last runs, where it is not what was frozen.

    Each is extracted again as of the same moment: rows that came late, are gone, or were changed in
    place are counted, with the columns and some keys.
    """
    folder = ctx.model(model_name)
    where = str(folder.path / "extract.sql")
    compared, other_query, gone, changed = 0, 0, 0, []
    for run in ctx.store.runs.with_input(model_name, last=last):
        asked = source.render(folder.extract_sql, run.interval, run.as_of, where=where)
        if run.query_sha256 not in {None, asked.sha256}:
            other_query += 1
            continue
        try:
            frozen = ctx.frozen_rows(run)
        except NotFoundError:
            gone += 1
            continue
        compared += 1
        late = source.known_later(ctx.source_url(folder), folder, run.interval, run.as_of, frozen)
        if not late.is_empty:
            changed.append((run, late))
    return Rewritten(compared, tuple(changed), other_query, gone)


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
        return f"{said}; `rescore status` names those that the source has rewritten since"
    try:
        found = rewritten(ctx, model_name, last)
    except RescoreError as error:
        return f"{said}; whether it has rewritten them since can't be seen now: {error.what}"
    more = f"; {found.left_out}" if found.left_out else ""
    if not found.changed:
        still = (
            f"; it still gives those of the last {number_of(found.compared, 'run')}" if found.compared else ""
        )
        return f"{said}{still}{more}"
    changes = "; ".join(
        f"{run.interval}: {late.changed:,} changed in {', '.join(late.changed_columns) or 'no column'}, "
        f"{late.added:,} more, {late.removed:,} fewer"
        for run, late in found.changed
    )
    count = len(found.changed)
    return f"{said}; of the last {number_of(found.compared, 'run')} it has rewritten {count}: {changes}{more}"
