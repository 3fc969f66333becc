"""The rows of a past run, its scores derived again from them, and where two score tables differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rescore import source
from rescore.digest import table_digest
from rescore.document import Part
from rescore.errors import (
    DigestMismatchError,
    GoldenRowError,
    NotFoundError,
    RescoreError,
    UndigestibleError,
)
from rescore.model import ulps
from rescore.pipeline.context import Context
from rescore.pipeline.packages.opening import open_package
from rescore.shown_text import number_of
from rescore.store import ScoredRun, row_columns, score_columns

__all__ = [
    "Derived",
    "Difference",
    "Frozen",
    "derived",
    "differences",
    "frozen_rows",
    "largest_distance",
]

_GONE = "the frozen input is gone"
#: How many differing rows a reproduction keeps.
MAX_DIFFERENCES = 10


class Difference(Part):
    """One row whose published score is not the one derived again.

    ``ulps`` is how many float64 values lie between the two; a score is None where the row is in one
    of the tables only. Labels are kept where they are what differs. ``column`` says which number is shown:
    the first that differs of the score and the published probabilities.
    """

    key: dict[str, str]
    published: float | None
    rederived: float | None
    ulps: int | None
    published_label: str | None = None
    rederived_label: str | None = None
    column: str = "score"


@dataclass(frozen=True)
class Frozen:
    """What a run scored.

    Attributes
    ----------
    path : Path
        Parquet; the digest of its rows was compared with the run's.
    rows : pyarrow.Table
        All of them, those without a score, too.
    excluded : list of int
        Positions of those.
    note : str
        Where the rows come from, if not from the archive.
    """

    path: Path
    rows: pa.Table
    excluded: list[int]
    note: str = ""


@contextmanager
def frozen_rows(ctx: Context, run: ScoredRun) -> Iterator[Frozen]:
    """The frozen input of a run; where it is gone, the source's rows as known at ``as_of``.

    Raises
    ------
    DigestMismatchError
        The archive's file was changed; or the file is gone and the source, asked again, gives other
        rows than were frozen.
    NotFoundError
        The file is gone, and the source can't be asked again.
    """
    try:
        path, rows, excluded, erased = ctx.frozen(run)
    except NotFoundError as gone:
        with ctx.scratch_folder() as scratch:
            excluded = ctx.store.excluded.positions(run)
            yield _from_source(ctx, run, scratch / "again.parquet", excluded, gone)
    else:
        yield Frozen(path, rows, excluded, f"{erased:,} of the frozen rows were erased" if erased else "")


def _from_source(
    ctx: Context, run: ScoredRun, path: Path, excluded: list[int], missing: NotFoundError
) -> Frozen:
    as_of = run.as_of.isoformat()
    # Of one that lost rows to an erasure retention takes what remained, under its own digest.
    left = ctx.store.erasures.of_frozen().get(run.input_digest)
    held_as = run.input_digest if left is None or left.remaining is None else left.remaining
    deleted = [*ctx.store.deletions.of_tables({run.input_digest, held_as}).values()]
    gone = f"the frozen input is gone: {max(deleted, key=lambda one: one.at)}" if deleted else _GONE
    try:
        folder = ctx.model(run.model)
        if not folder.spec.source.known_by.reproducible_from_source:
            raise NotFoundError(
                f"{gone}, and the source of {run.model} keeps no history (known_by: none)",
                where=f"{run.input_digest}, as of {as_of}",
            )
        again = source.extract(ctx.source_url(folder), folder, run.interval, run.as_of, path)
    except RescoreError as error:
        if error.retryable:
            raise
        raise NotFoundError(
            f"{gone}, and the source can't give its rows again: {error.what}",
            where=f"{missing.where or run.input_digest}; the source as of {as_of}",
        ) from error
    if again.digest.root != run.input_digest:
        query = (
            "" if again.query_sha256 == run.query_sha256 else "; extract.sql is another one than it was then"
        )
        if types := _other_types(source.read_frozen(path, again.digest.root), run.input_digest):
            raise DigestMismatchError(
                f"the frozen input is gone, and the source has its values in columns of other types: {types}",
                where=f"{run.model} {run.interval}, as of {as_of}",
                expected=run.input_digest,
                fix="cast the columns in extract.sql to the types that they had, and reproduce again",
                examples=[f"got {again.digest.root}"],
            )
        raise DigestMismatchError(
            f"{gone}, and the source was rewritten: as of {as_of} it gives "
            f"{number_of(again.rows, 'row')}, and they are not the {run.rows_extracted:,} that were "
            f"scored{query}",
            where=f"{run.model} {run.interval}",
            expected=run.input_digest,
            examples=[f"got {again.digest.root}"],
        )
    note = f"{gone}; the source as known at {as_of} gives the very rows that were scored"
    return Frozen(path, source.read_frozen(path, again.digest.root), excluded, note)


def _other_types(rows: pa.Table, digest: str) -> str:
    """Which columns had another type when ``digest`` was made, if that is all that is different.

    One column at a time, and all of a type together, are tried in the types that hold the same values.
    """
    alike = {column: _alike(column.type) for column in rows.schema}
    tried = [{field.name: kind} for field, kinds in alike.items() for kind in kinds]
    for one in {field.type for field in rows.schema}:
        same = [field.name for field in rows.schema if field.type == one]
        tried += [dict.fromkeys(same, kind) for kind in _alike(one)] if len(same) > 1 else []
    for types in tried:
        schema = pa.schema([pa.field(field.name, types.get(field.name, field.type)) for field in rows.schema])
        with suppress(pa.ArrowInvalid, UndigestibleError):
            if table_digest(rows.cast(schema)).root == digest:
                names = rows.schema
                return ", ".join(f"{name} is {names.field(name).type} (then {types[name]})" for name in types)
    return ""


def _alike(kind: pa.DataType) -> list[pa.DataType]:
    """Types that can hold the very values of another: whole numbers of other sizes, or as float8."""
    numbers = [pa.int16(), pa.int32(), pa.int64(), pa.float64()]
    if kind in numbers:
        return [other for other in numbers if other != kind]
    return [pa.timestamp("us", tz="UTC")] if pa.types.is_date(kind) else []


@dataclass(frozen=True)
class Derived:
    """Scores derived again.

    Attributes
    ----------
    scores : pyarrow.Table
        In the columns and order of the score table.
    environment : dict
        What of the numeric environment differs from the one the scores were made in: expected and
        found. Empty: the bits have to be the same.
    golden_ulps : int
        How far the package's golden rows are from their recorded scores here.
    """

    scores: pa.Table
    environment: dict[str, Any]
    golden_ulps: int


def derived(ctx: Context, run: ScoredRun, frozen: Frozen, schema: pa.Schema) -> Derived:
    """Score the frozen rows of a run again with its package; nothing is published.

    Raises
    ------
    NotFoundError, IntegrityError
        The package is gone or changed, or can't run here.
    """
    package = open_package(ctx, run.model, run.package_sha256)
    missing = [name for name in package.manifest.feature_names if name not in frozen.rows.column_names]
    if missing:
        raise NotFoundError(f"the frozen input lacks features of package {package.version}", examples=missing)
    here = package.numeric_environment()
    other = {
        name: {"expected": run.environment.get(name), "found": here.get(name)}
        for name in ("machine", "blas", "simd")
        if run.environment and run.environment.get(name) != here.get(name)
    }
    golden, probabilities = 0, ctx.store.models.probabilities(run.model)
    again = partial(package.predict, frozen.path, exclude=frozen.excluded, probabilities=probabilities)
    try:
        predicted = again(progress=ctx.progress)
    except GoldenRowError as error:
        if not error.data.get("environment"):
            raise  # the environment is the same: the package is broken
        other |= error.data["environment"]
        golden = int(error.data["max_ulps"])
        predicted = again(unproved=True)
    names = [name for name in schema.names if name not in predicted.column_names]
    scored = source.without(frozen.rows.select(names), frozen.excluded)
    for name in predicted.column_names:
        scored = scored.append_column(name, predicted[name])
    return Derived(scored.select(schema.names).cast(schema), other, golden)


def largest_distance(stored: pa.Table, again: pa.Table) -> int | None:
    """The largest distance of two scores or probabilities in ULP; None if rows or labels are not the same."""
    numbers = score_columns(stored)
    same = [name for name in stored.column_names if name not in numbers]
    if stored.num_rows != again.num_rows or any(not stored[name].equals(again[name]) for name in same):
        return None
    if not stored.num_rows:
        return 0
    return max(int(ulps(stored[name].to_numpy(), again[name].to_numpy()).max()) for name in numbers)


def differences(stored: pa.Table, again: pa.Table) -> list[Difference]:
    """The first rows that differ, by key."""
    keys, numbers = row_columns(stored), score_columns(stored)
    if stored.num_rows == again.num_rows and all(stored[name].equals(again[name]) for name in keys):
        # The same rows in the same order: only those that differ are looked at by key.
        apart = np.zeros(stored.num_rows, dtype=bool)
        for name in numbers:
            apart |= ulps(stored[name].to_numpy(), again[name].to_numpy()) > 0
        if "label" in stored.column_names:
            apart |= pc.not_equal(stored["label"], again["label"]).to_numpy()
        first = pa.array(np.flatnonzero(apart)[:MAX_DIFFERENCES])
        stored, again = stored.take(first), again.take(first)
    left, right = (_by_key(table, keys) for table in (stored, again))
    found = []
    for key in dict.fromkeys([*right, *left]):
        one, other = left.get(key), right.get(key)
        if one is not None and one == other:
            continue
        found.append(_difference(dict(zip(keys, key, strict=True)), numbers, one, other))
        if len(found) == MAX_DIFFERENCES:
            break
    return found


class _Said(NamedTuple):
    """What a table says of one row; numbers by their bits, so that equal is identical."""

    numbers: tuple[str, ...]
    label: str | None


def _by_key(table: pa.Table, keys: list[str]) -> dict[tuple[str, ...], _Said]:
    columns = [pc.cast(table[name], pa.string()).to_pylist() for name in keys]
    labels = table["label"].to_pylist() if "label" in table.column_names else [None] * table.num_rows
    numbers = zip(
        *([one.hex() for one in table[name].to_pylist()] for name in score_columns(table)), strict=True
    )
    return dict(zip(zip(*columns, strict=True), map(_Said, numbers, labels), strict=True))


def _difference(
    key: Mapping[str, str], columns: Sequence[str], one: _Said | None, other: _Said | None
) -> Difference:
    place = 0  # where only a label or a whole row differs, the score is shown
    if one is not None and other is not None:
        pairs = enumerate(zip(one.numbers, other.numbers, strict=True))
        place = next((number for number, (left, right) in pairs if left != right), 0)
    published, rederived = (
        None if said is None else float.fromhex(said.numbers[place]) for said in (one, other)
    )
    distance = None
    if published is not None and rederived is not None:
        distance = int(ulps(np.array([published]), np.array([rederived]))[0])
    labels: tuple[str | None, str | None] = (None, None)
    if one is not None and other is not None and one.label != other.label:
        labels = (one.label, other.label)
    return Difference(
        key=dict(key),
        published=published,
        rederived=rederived,
        ulps=distance,
        published_label=labels[0],
        rederived_label=labels[1],
        column=columns[place],
    )
