"""Find a person's rows in frozen tables, by the columns that say whose data a row is."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkstemp
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rescore import source
from rescore.errors import NotFoundError, ParameterError, SettingsError
from rescore.folder import ModelFolder
from rescore.interval import Interval
from rescore.pipeline.context import Context
from rescore.progress import counted
from rescore.sha256 import Sha256
from rescore.store import ScoredRun, Tombstone

__all__ = [
    "FrozenRows",
    "Subject",
    "frozen_tables",
    "is_searchable",
    "models_of",
    "names_of_tables",
    "not_asked",
    "pseudonym",
    "runs_of",
]

_KEY_BYTES = 32


@dataclass(frozen=True)
class Subject:
    """Whose data: subject columns, as models declare them, to values as text."""

    values: Mapping[str, str]

    def mask(self, rows: pa.Table) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which rows are this person's; shape (n_rows,)."""
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
    names : tuple of (str, Interval)
        Every model and interval that froze it; first those of the models that were asked for.
    rows : pyarrow.Table
        All that the archive has of it.
    places : numpy.ndarray of int
        Where in ``rows`` the person's are.
    tombstone : Tombstone or None
        The last one: what was erased from it before.
    whole : bool
        Whether the archive has it as it was published, in spite of a tombstone: a crash left its file, a
        backup brought it back, or the same rows were frozen anew.
    """

    digest: str
    names: tuple[tuple[str, Interval], ...]
    rows: pa.Table
    places: np.ndarray[Any, Any]
    tombstone: Tombstone | None
    whole: bool

    @property
    def model(self) -> str:
        """Whose table it is, in the first place."""
        return self.names[0][0]

    @property
    def interval(self) -> Interval:
        """Of which interval."""
        return self.names[0][1]

    @property
    def held_as(self) -> Sha256:
        """The digest under which the archive has it now."""
        return Sha256(_held_as(self.digest, self.tombstone, self.whole))

    @property
    def gone(self) -> np.ndarray[Any, Any]:
        """Positions in ``rows`` that this erasure removes.

        The person's, and those of persons erased before whom a restored file brought back.
        """
        if self.whole and self.tombstone is not None:
            return np.union1d(self.places, self.tombstone.erased).astype(np.int64)
        return self.places

    @property
    def positions(self) -> list[int]:
        """Where in the table as it was published the rows of :attr:`gone` are."""
        if self.whole or self.tombstone is None:
            return [int(place) for place in self.gone]
        return [int(position) for position in self.tombstone.kept()[self.gone]]

    @property
    def theirs(self) -> list[int]:
        """Where in the table as it was published the person's rows are."""
        if self.whole or self.tombstone is None:
            return [int(place) for place in self.places]
        return [int(position) for position in self.tombstone.kept()[self.places]]

    @property
    def erased(self) -> list[int]:
        """All positions that are gone afterwards."""
        return sorted({*self.positions, *(() if self.tombstone is None else self.tombstone.erased)})


def models_of(ctx: Context, subject: Subject) -> dict[str, ModelFolder]:
    """The models whose rows can be this person's: those that declare just these subject columns.

    Raises
    ------
    ParameterError
        None does; the error lists what models declare.
    """
    folders = ctx.folders().read
    found = {
        name: one for name, one in folders.items() if set(one.spec.source.subject) == set(subject.values)
    }
    if not found:
        declared = sorted({", ".join(one.spec.source.subject) for one in folders.values()} - {""})
        raise ParameterError(
            f"no model has {', '.join(sorted(subject.values))} as its subject columns",
            where="source.subject of the model folders",
            examples=[str(error.what) for error in ctx.folders().broken.values()],
            expected=f"one of: {'; '.join(declared) or '(no model declares any)'}",
            fix="name the subject by those columns, or declare source.subject",
        )
    return found


def frozen_tables(ctx: Context, models: Collection[str], subject: Subject) -> Iterator[FrozenRows]:
    """Every frozen table of these models that has rows of the person; each verified by its digest.

    A file can have several names: other models froze the same rows, or what an earlier erasure left of one
    table is just what was frozen later. Each name of such a file comes, whatever model it is of.

    Raises
    ------
    DigestMismatchError
        A file is not what was frozen.
    """
    buried, there, names = ctx.store.erasures.of_frozen(), ctx.archive.inputs(), names_of_tables(ctx)
    tables = _with_shared_files(names, buried, models)
    for digest in counted(tables, "frozen tables searched for the person", ctx.progress):
        whole = digest in there
        found = _rows_in(ctx, digest, buried.get(digest), whole, subject)
        if found is not None:
            rows, places = found
            first = sorted(names[digest], key=lambda name: name[0] not in models)
            yield FrozenRows(digest, tuple(first), rows, places, buried.get(digest), whole)


def names_of_tables(ctx: Context) -> dict[str, list[tuple[str, Interval]]]:
    """For each frozen table, by digest, the models and intervals that froze it, the newest first."""
    names: dict[str, list[tuple[str, Interval]]] = {}
    for snapshot in ctx.store.snapshots.all():
        for digest in (str(snapshot.digest), snapshot.details.get("unlabelled_digest")):
            if digest is not None:
                names.setdefault(digest, []).append((snapshot.model, snapshot.interval))
    return names


def _with_shared_files(
    names: Mapping[str, list[tuple[str, Interval]]],
    buried: Mapping[str, Tombstone],
    models: Collection[str],
) -> list[str]:
    """The tables of these models, and all that share a file with one of them."""
    files = {
        digest: {digest} | ({str(buried[digest].remaining)} if digest in buried else set())
        for digest in names
    }
    found = [digest for digest in names if any(model in models for model, _ in names[digest])]
    while True:
        shared = set().union(*(files[digest] for digest in found))
        more = [digest for digest in names if files[digest] & shared]
        if len(more) == len(found):
            return more
        found = more


def _held_as(digest: str, tombstone: Tombstone | None, whole: bool) -> str:
    return digest if whole or tombstone is None or tombstone.remaining is None else tombstone.remaining


def _rows_in(
    ctx: Context, digest: str, tombstone: Tombstone | None, whole: bool, subject: Subject
) -> tuple[pa.Table, np.ndarray[Any, Any]] | None:
    held_as = _held_as(digest, tombstone, whole)
    try:
        path = ctx.archive.get_input(held_as)
    except NotFoundError:
        return None  # past its retention
    if not _says_whose(path, subject):
        return None
    # A look at a few columns first: most tables have none of the person's rows.
    if not subject.mask(pq.read_table(path, columns=[*subject.values])).any():
        return None
    rows = source.read_frozen(path, held_as)
    return rows, np.flatnonzero(subject.mask(rows))


def _says_whose(path: Path, subject: Subject) -> bool:
    return set(subject.values) <= set(pq.read_schema(path).names)


def is_searchable(ctx: Context, digest: str, tombstone: Tombstone | None, subject: Subject) -> bool:
    """Whether a frozen table, or what erasures left of it, is there and says whose its rows are."""
    for held_as in dict.fromkeys((digest, _held_as(digest, tombstone, whole=False))):
        with suppress(NotFoundError):
            return _says_whose(ctx.archive.get_input(held_as), subject)
    return False


def not_asked(ctx: Context, subject: Subject) -> list[str]:
    """Models that may have rows of the person and can't be asked by these columns, and why."""
    folders = ctx.folders()
    specs = {name: folder.spec.source for name, folder in folders.read.items()}
    asked = set(subject.values)
    return [
        *(
            f"model {name}: its folder, which says whose a row is, can't be read: {error.what}"
            for name, error in sorted(folders.broken.items())
        ),
        *(
            f"model {name}: it has rows in the store and no folder here that says whose they are"
            for name in sorted(set(ctx.store.models.names()) - specs.keys() - folders.broken.keys())
        ),
        *(
            f"model {name}: it says whose a row is by {', '.join(source.subject)}; erase by these, too"
            for name, source in sorted(specs.items())
            if asked < set(source.subject)
        ),
    ]


def runs_of(ctx: Context, models: Collection[str], digest: str) -> list[ScoredRun]:
    """The runs of models that scored this frozen table and still have rows."""
    return [run for run in ctx.store.runs.of_inputs([digest], models) if isinstance(run, ScoredRun)]


def pseudonym(ctx: Context, subject: Subject) -> str:
    """A name for the person that only the owner of the key can make again.

    The key is the file ``erasure.key`` in ``RESCORE_HOME``, or the one that ``RESCORE_ERASURE_KEY`` names; it
    is made when it is first needed. Without it nobody can try out whose pseudonym one is.

    Raises
    ------
    SettingsError
        The key is too short.
    """
    path = ctx.settings.erasure_key or ctx.settings.home / "erasure.key"
    if not path.is_file():
        _make_key(path)
    key = path.read_bytes()
    if len(key) < _KEY_BYTES:
        raise SettingsError(
            f"the key file of erasures has {len(key)} bytes",
            where=str(path),
            expected=f"at least {_KEY_BYTES} random bytes: with fewer, keys can be tried until one fits",
            fix="bring it back from its backup; if no erasure used it yet, delete it: a new one is made",
        )
    named = json.dumps(dict(sorted(subject.values.items())), ensure_ascii=False).encode()
    return f"hmac-sha256:{hmac.new(key, named, hashlib.sha256).hexdigest()}"


def _make_key(path: Path) -> None:
    """Put a new key in its place whole, or not at all; where two do, both use the first one's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = mkstemp(prefix=f".{path.name}.", dir=path.parent)  # readable for its owner alone
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        Path(partial).chmod(0o400)
        with suppress(FileExistsError):
            os.link(partial, path)
    finally:
        Path(partial).unlink()
