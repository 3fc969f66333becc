"""Freeze the rows to train on: what scoring would have let through, with the labels known by now.

Each interval is extracted as known at its own scoring moment and judged by itself, as when it is scored.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescore import source, validation
from rescore.digest import TableDigest, table_digest
from rescore.errors import SpecError
from rescore.folder import ModelFolder
from rescore.interval import Interval
from rescore.pipeline.context import Context, utc_now
from rescore.pipeline.training.frozen_inputs import frozen_rows
from rescore.pipeline.training.window import training_window
from rescore.sha256 import Sha256
from rescore.shown_text import number_of

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["KeptRows", "features_without_value", "keep_rows", "train_snapshot"]


@dataclass(frozen=True)
class KeptRows:
    """The rows to train on, in a file.

    Attributes
    ----------
    path : Path
        Parquet, columns as :class:`rescore.source.TrainingSnapshot` has them.
    table : pyarrow.Table
        The same rows.
    digest : TableDigest
        Names them.
    set_aside : int
        Rows that are not among them because scoring would have set them aside.
    unlabelled : pyarrow.Table
        The rows beside them that scoring would have scored too, but whose label is not known.
    """

    path: Path
    table: pa.Table
    digest: TableDigest
    set_aside: int
    unlabelled: pa.Table


def train_snapshot(
    ctx: Context,
    model_name: str,
    *,
    as_of: datetime | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> Sha256:
    """Freeze the training rows of ``model_name`` and return the snapshot's digest.

    Rows that scoring sets aside are left out: those that the model's own suite quarantines in their
    interval, and those that the model could not score. Rows without a known label are frozen in a file of
    their own (``unlabelled_digest`` among the snapshot's details), for drift's reference is of all rows that
    scoring would have seen. An event time that is hours away from an hour beside it stops nothing: it is
    told, and stands among the snapshot's details (``hours_apart``), so in the manifest too.

    Parameters
    ----------
    ctx : Context
        Store, archive, connections.
    model_name : str
        The model.
    as_of : datetime, optional
        Labels known by then are used. Default: the last boundary of the schedule before now.
    start, end : datetime, optional
        Bounds of the window; default the last ``training.intervals`` whose labels are due.

    Raises
    ------
    ParameterError
        The model trains from frozen inputs, and the window has none.
    ValidationError
        Intervals would not have been scored: a critical expectation failed there, or too many rows
        would have been set aside.
    SpecError
        A feature has no value in any row.
    """
    folder = ctx.model(model_name)
    as_of = as_of or folder.spec.schedule.schedule().floor(utc_now())
    intervals = training_window(folder, as_of, start, end)
    frozen = None
    if folder.spec.training.source == "frozen_inputs":
        frozen = frozen_rows(ctx, folder, intervals)
        intervals = list(frozen)
        ctx.progress(f"{model_name} trains on what was frozen when it was scored, not on the source of today")
    ctx.progress(
        f"snapshot: {number_of(len(intervals), 'interval')}, {intervals[0].start} to {intervals[-1].end}"
    )
    with ctx.scratch_folder() as scratch:
        raw = source.snapshot(
            ctx.source_url(folder),
            folder,
            intervals,
            as_of,
            scratch / "raw.parquet",
            frozen=frozen,
            unlabelled=True,
            progress=ctx.progress,
        )
        rows = source.read_frozen(raw.path, raw.digest.root)
        kept = keep_rows(rows, raw, folder, scratch / "training.parquet", suites=ctx.suites)
        if empty := features_without_value(kept.table, folder):
            raise _nothing_to_learn_of(empty, kept.table.num_rows, folder)
        apart = source.hours_apart(rows, folder.spec)
        for each in apart:
            ctx.progress(f"{model_name}: {each} If so, {each.fix}")
        uri = ctx.put_frozen(kept.path, kept.digest.root)
        unlabelled_path = scratch / "unlabelled.parquet"
        unlabelled = _freeze_unlabelled(ctx, kept.unlabelled, folder, unlabelled_path)
        ctx.progress(
            f"snapshot: {number_of(kept.digest.rows, 'labelled row')} kept, {kept.set_aside:,} set aside"
        )
        ctx.store.snapshots.add(
            digest=kept.digest.root,
            model=model_name,
            kind="training",
            interval=Interval(intervals[0].start, intervals[-1].end),
            as_of=as_of,
            rows=kept.digest.rows,
            uri=uri,
            details={
                **({} if frozen is None else {"from": "frozen_inputs"}),
                "intervals": len(intervals),
                "extracted": raw.extracted,
                "labelled": raw.rows,
                "set_aside": kept.set_aside,
                "labelled_digest": table_digest(_labelled(rows, folder)).root,
                **unlabelled,
                **({"hours_apart": [str(each) for each in apart]} if apart else {}),
            },
        )
        ctx.archive.ensure_input(kept.path, kept.digest.root)
        if unlabelled:
            ctx.archive.ensure_input(unlabelled_path, unlabelled["unlabelled_digest"])
    return Sha256(kept.digest.root)


def keep_rows(
    rows: pa.Table,
    snapshot: source.TrainingSnapshot,
    folder: ModelFolder,
    destination: Path,
    *,
    suites: validation.Suites,
) -> KeptRows:
    """Write the labelled rows that scoring would have let through.

    Parameters
    ----------
    rows : pyarrow.Table
        All rows of the snapshot's intervals, labelled or not.
    snapshot : TrainingSnapshot
        How many of them each interval has.
    folder : ModelFolder
        The model.
    destination : Path
        The Parquet file.
    suites : Suites
        Where ``expectations.py`` runs: :attr:`rescore.pipeline.Context.suites`.

    Raises
    ------
    ValidationError
        Intervals would not have been scored; it names them.
    """
    excluded = _rows_to_exclude(rows, snapshot, folder, suites)
    scored = source.without(rows, excluded)
    kept = _labelled(scored, folder)
    unlabelled = scored.filter(scored.column(folder.spec.target.name).is_null())
    return KeptRows(destination, kept, _freeze(kept, destination, folder), len(excluded), unlabelled)


def _freeze(rows: pa.Table, destination: Path, folder: ModelFolder) -> TableDigest:
    with source.Freezer(destination, rows.schema, where=f"training rows of {folder.name}") as freezer:
        for batch in rows.to_batches():
            freezer.write(batch)
        return freezer.keep()


def _freeze_unlabelled(ctx: Context, rows: pa.Table, folder: ModelFolder, path: Path) -> dict[str, Any]:
    """Keep the rows without a label in the archive; what the snapshot's details say of them, if any."""
    if not rows.num_rows:
        return {}
    digest = _freeze(rows, path, folder)
    ctx.put_frozen(path, digest.root)
    return {"unlabelled": digest.rows, "unlabelled_digest": digest.root}


def features_without_value(rows: pa.Table, folder: ModelFolder) -> list[str]:
    """The features that are NULL or NaN in every row."""
    return [name for name in folder.spec.feature_names if not _has_value(rows.column(name))]


def _rows_to_exclude(
    rows: pa.Table, snapshot: source.TrainingSnapshot, folder: ModelFolder, suites: validation.Suites
) -> list[int]:
    """Positions in ``rows`` of those that scoring would have set aside, ascending."""
    inputs = rows.select(folder.spec.input_columns)
    offsets, tables, offset = [], {}, 0
    for share in snapshot.per_interval:
        if share.extracted:  # an interval without a row has nothing to learn from, and stops nothing
            tables[share.interval] = inputs.slice(offset, share.extracted)
            offsets.append(offset)
        offset += share.extracted
    validations = validation.validate_each(list(tables.values()), folder, suites=suites)
    validation.gate_each(dict(zip(tables, validations, strict=True)), folder.spec)
    return [
        offset + position
        for offset, one in zip(offsets, validations, strict=True)
        for position in one.excluded_positions
    ]


def _labelled(rows: pa.Table, folder: ModelFolder) -> pa.Table:
    return rows.filter(rows.column(folder.spec.target.name).is_valid())


def _has_value(column: pa.ChunkedArray) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    missing = pc.is_null(column, nan_is_null=pa.types.is_floating(column.type))
    return not pc.all(missing).as_py()


def _nothing_to_learn_of(empty: list[str], rows: int, folder: ModelFolder) -> SpecError:
    """What the model would make of such a feature once it has values, nobody has seen."""
    return SpecError(
        f"{', '.join(empty)} {'have' if len(empty) > 1 else 'has'} no value in any of {rows:,} training rows",
        where=str(folder.path / "model.yaml"),
        expected="a value of each feature in some row of the training window",
        fix="take it out of features in model.yaml and out of extract.sql, or train on a window in "
        "which it has values (--start, --end)",
    )
