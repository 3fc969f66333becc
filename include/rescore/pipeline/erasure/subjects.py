"""Find a person's rows in frozen tables, by the columns that say whose data a row is."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rescore import source
from rescore.errors import NotFoundError, ParameterError
from rescore.folder import ModelFolder
from rescore.interval import Interval
from rescore.pipeline.context import Context
from rescore.sha256 import Sha256
from rescore.store import ExtractedRun, Run, ScoredRun, Snapshot, Tombstone

__all__ = [
    "FrozenRows",
    "Subject",
    "frozen_tables",
    "is_unscored",
    "models_of",
    "pseudonym",
    "runs_of",
    "unscored_runs",
]


@dataclass(frozen=True)
class Subject:
    """Whose data: subject columns, as models declare them, to values as text."""

    values: Mapping[str, str]

    def mask(self, rows: pa.Table) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which rows are this person's."""
        found = np.ones(rows.num_rows, dtype=bool)
        for column, value in self.values.items():
            equal = pc.equal(pc.cast(rows[column], pa.string()), value)
            found &= pc.fill_null(equal, False).to_numpy()
        return found


@dataclass(frozen=True)
class FrozenRows:
    """A person's rows in one frozen table.

    Attributes
    ----------
    digest : str
        The table's, as runs and packages name it.
    rows : pyarrow.Table
        All that it has.
    places : numpy.ndarray of int
        Where in ``rows`` the person's are.
    before : Tombstone or None
        What was erased from it before.
    """

    digest: str
    model: str
    interval: Interval
    rows: pa.Table
    places: np.ndarray[Any, Any]
    before: Tombstone | None

    @property
    def held_as(self) -> Sha256:
        """The digest under which the archive has it now."""
        remaining = None if self.before is None else self.before.remaining
        return Sha256(remaining or self.digest)

    @property
    def positions(self) -> list[int]:
        """Where in the table as it was published the person's rows are."""
        if self.before is None:
            return [int(place) for place in self.places]
        return [int(position) for position in self.before.kept()[self.places]]


def models_of(ctx: Context, subject: Subject) -> dict[str, ModelFolder]:
    """The models whose rows can be this person's: those that declare just these subject columns.

    Raises
    ------
    ParameterError
        None does; the error lists what models declare.
    """
    folders = {name: ctx.model(name) for name in ctx.models()}
    found = {
        name: one for name, one in folders.items() if set(one.spec.source.subject) == set(subject.values)
    }
    if not found:
        declared = sorted({", ".join(one.spec.source.subject) for one in folders.values()} - {""})
        raise ParameterError(
            f"no model declares {', '.join(sorted(subject.values))} as whose data a row is",
            where="source.subject of the model folders",
            expected=f"one of: {'; '.join(declared) or '(no model declares any)'}",
            fix="name the subject by those columns, or declare source.subject",
        )
    return found


def frozen_tables(ctx: Context, models: Collection[str], subject: Subject) -> Iterator[FrozenRows]:
    """Every frozen table of these models that has rows of the person; each verified by its digest.

    Raises
    ------
    DigestMismatchError
        A file is not what was frozen.
    """
    buried, there, seen = ctx.store.erasures.of_frozen(), ctx.archive.inputs(), set()
    for snapshot in ctx.store.snapshots.all():
        if snapshot.model not in models:
            continue
        digests = [str(snapshot.digest), snapshot.details.get("unlabelled_digest")]
        for digest in (one for one in digests if one is not None and one not in seen):
            seen.add(digest)
            # A crash may have left the whole file, or the same rows were frozen anew.
            before = None if digest in there else buried.get(digest)
            found = _rows_in(ctx, snapshot, digest, before, subject)
            if found is not None:
                yield found


def _rows_in(
    ctx: Context, snapshot: Snapshot, digest: str, before: Tombstone | None, subject: Subject
) -> FrozenRows | None:
    held_as = digest if before is None or before.remaining is None else before.remaining
    try:
        path = ctx.archive.get_input(held_as)
    except NotFoundError:
        return None  # past its retention
    # A look at a few columns first: most tables have none of the person's rows.
    columns = set(pq.read_schema(path).names)
    if not set(subject.values) <= columns:
        return None
    if not subject.mask(pq.read_table(path, columns=[*subject.values])).any():
        return None
    rows = source.read_frozen(path, held_as)
    places = np.flatnonzero(subject.mask(rows))
    return FrozenRows(digest, snapshot.model, snapshot.interval, rows, places, before)


def runs_of(ctx: Context, models: Iterable[str], digest: str) -> list[ScoredRun]:
    """The runs of models that scored this frozen table and still have rows."""
    runs = [
        run
        for model in models
        for run in ctx.store.runs.of_model(model)
        if isinstance(run, ScoredRun) and run.input_digest == digest
    ]
    gone = ctx.store.deletions.of_runs(run.run_id for run in runs)
    return [run for run in runs if run.run_id not in gone]


def unscored_runs(ctx: Context, models: Iterable[str], digest: str) -> list[str]:
    """The ids of runs that were to score this frozen table and have not; some may still go on to."""
    every = (run for model in models for run in ctx.store.runs.of_model(model))
    runs = [run.run_id for run in every if is_unscored(run) and run.input_digest == digest]
    gone = ctx.store.deletions.of_runs(runs)
    return [run for run in runs if run not in gone]


def is_unscored(run: Run) -> bool:
    """Whether a run has frozen rows and no scores."""
    return isinstance(run, ExtractedRun) and not isinstance(run, ScoredRun)


def pseudonym(ctx: Context, subject: Subject) -> str:
    """A name for the person that only the owner of the key can make again.

    The key is the file ``erasure.key`` in ``RESCORE_HOME``, or the one that ``RESCORE_ERASURE_KEY`` names; it
    is made when it is first needed. Without it nobody can try out whose pseudonym one is.
    """
    path = ctx.settings.erasure_key or ctx.settings.home / "erasure.key"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(secrets.token_bytes(32))
        path.chmod(0o400)
    named = json.dumps(dict(sorted(subject.values.items())), ensure_ascii=False).encode()
    return f"hmac-sha256:{hmac.new(path.read_bytes(), named, hashlib.sha256).hexdigest()}"
