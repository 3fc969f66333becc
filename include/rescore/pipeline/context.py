"""What every use case needs: settings, the store, the archive, and how connection ids resolve."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from rescore import evidence, source
from rescore.disk import private_folder, process_folder, remove_leftovers, scratch_folder
from rescore.document import Document
from rescore.errors import DigestMismatchError, DocumentError, NotFoundError, RescoreError, SettingsError
from rescore.folder import ModelFolder, find_models, load_model
from rescore.postgres_url import PostgresUrl
from rescore.progress import Progress, silent
from rescore.settings import Settings
from rescore.store import Archive, ExtractedRun, Store, Tombstone

if TYPE_CHECKING:
    import pyarrow as pa

    from rescore.validation import Suites

__all__ = ["Context", "Folders", "utc_now"]

Stored = TypeVar("Stored", bound=Document)

#: Of the Gregorian calendar on average.
YEAR = timedelta(days=365.2425)
#: So many of a schedule's last intervals say how many windows a year has.
LAST_INTERVALS = 100

#: Each model's features and its outcomes are looked at, and either may raise a false alarm.
STREAMS_PER_MODEL = 2


@dataclass(frozen=True)
class Folders:
    """Model folders by name: those that can be read, and why the others can't."""

    read: dict[str, ModelFolder]
    broken: dict[str, RescoreError]


@dataclass(frozen=True)
class Context:
    """Everything a use case needs and does not decide itself.

    Attributes
    ----------
    settings : Settings
        Where things are.
    store : Store
        Our own tables.
    archive : Archive
        Frozen inputs and packages, by digest.
    connection : callable
        Source connection id to a Postgres URL.
    progress : callable
        Receives one line per step.
    tried_again : bool
        Whether somebody tries a failed attempt at a run again, as Airflow does until its last try: what can
        help then leaves the run open. Where nobody does, whatever fails ends it.
    """

    settings: Settings
    store: Store
    archive: Archive
    connection: Callable[[str], str]
    progress: Progress = silent
    tried_again: bool = True

    @classmethod
    def from_environment(
        cls,
        settings: Settings | None = None,
        *,
        connection: Callable[[str], str] | None = None,
        progress: Progress = silent,
    ) -> Context:
        """Build the context from the environment.

        Parameters
        ----------
        settings : Settings, optional
            Default: read from the environment.
        connection : callable, optional
            Tried first for a connection id; what it raises is final. Default: the environment's
            ``RESCORE_CONNECTION_<ID>``.
        progress : callable, optional
            Receives one line per step.

        Raises
        ------
        SettingsError
            No database is configured.
        """
        settings = settings or Settings.from_environment()
        if settings.database_url is None:
            raise SettingsError(
                "no database is configured",
                where="environment variable RESCORE_DATABASE_URL",
                expected="the URL of the Postgres that holds Rescore's tables",
                fix="set it, or start the local one: `rescore up`",
            )
        return cls(
            settings=settings,
            store=Store(
                settings.database_url,
                store_schema=settings.store_schema,
                consumer_schema=settings.consumer_schema,
                release_url=settings.release_url,
                owner_url=settings.owner_url,
            ),
            archive=Archive(settings.archive, cache=settings.cache / "archive"),
            connection=connection or settings.connection_url,
            progress=progress,
        )

    def close(self) -> None:
        """Close the store's idle connections; the context can still be used, and opens new ones."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def model(self, name: str) -> ModelFolder:
        """The model folder ``name``; see :func:`rescore.folder.load_model`."""
        return load_model(self.settings.models, name)

    def models(self) -> list[str]:
        """The names of all model folders."""
        return find_models(self.settings.models)

    def folders(self) -> Folders:
        """All model folders, those that can't be read with their error: work goes on with the others."""
        read, broken = dict[str, ModelFolder](), dict[str, RescoreError]()
        for name in self.models():
            try:
                read[name] = self.model(name)
            except RescoreError as error:
                broken[name] = error
        return Folders(read, broken)

    def put_frozen(self, path: Path, digest: str) -> str:
        """Note in the store that a table is being frozen, then put its file in the archive; its URI.

        Whoever is killed before the table has a snapshot or a tombstone leaves a file that the note names: a
        sweep deletes it, an erasure searches it.
        """
        self.store.snapshots.begin(digest)
        return self.archive.put_input(path, digest)

    def source_url(self, folder: ModelFolder) -> str:
        """The URL of the model's source database.

        Raises
        ------
        SettingsError
            The connection is not configured, or what is configured can't be read.
        """
        name = folder.spec.source.connection
        url = self.connection(name)
        PostgresUrl.parse(url, where=f"the source connection {name!r} of model {folder.name}")
        return url

    def read_stored(self, kind: type[Stored], stored: Mapping[str, Any], of: str) -> Stored | None:
        """A stored document that others can do without; None, and a line of progress, if it can't be read.

        One report that was changed, or that a later release wrote, must not stop scoring.
        """
        try:
            return kind.from_dict(stored)
        except DocumentError as error:
            self.progress(f"{of} is left out: {error.what}")
            return None

    def evidence_limit(self, model_name: str, until: datetime) -> float:
        """The evidence that raises an alarm about a model, in the installation's budget.

        A year has as many windows as the model's last hundred let expect: of a schedule on weekdays, the
        length of one window does not say it.
        """
        latest = self.model(model_name).spec.schedule.schedule().last_intervals(until, LAST_INTERVALS)
        length = (until - latest[0].start) / len(latest) if latest else YEAR
        return evidence.limit_of(
            YEAR / length, STREAMS_PER_MODEL * self._models_in_use(), self.settings.false_alarms_per_year
        )

    def _models_in_use(self) -> int:
        """How many models share the budget of false alarms: those that were retired have none."""
        return len(set(self.store.models.names()) - self.store.retirements.current().keys())

    def frozen_rows(self, run: ExtractedRun) -> pa.Table:
        """The frozen input of a run, all its rows, verified by its digest.

        Raises
        ------
        NotFoundError
            The archive no longer has it.
        DigestMismatchError
            The archive's file was changed.
        """
        return self.frozen(run)[1]

    def frozen_file(self, run: ExtractedRun) -> Path:
        """The frozen input of a run as a file whose rows are proved, without reading them.

        The run's record names the file that its extraction wrote, by the sha256 of its bytes, beside the
        digest of the rows in it: the same bytes hold the same rows. Another file that the archive holds
        for the digest (another version of Parquet wrote it) is read and digested.

        Raises
        ------
        NotFoundError, DigestMismatchError
            See :meth:`frozen_rows`.
        """
        path = self.archive.get_input(run.input_digest)
        if run.input_uri is None or posixpath.basename(run.input_uri) != path.name:
            source.FrozenTable(path, run.input_digest).prove()
        return path

    def frozen_in_file(self, run: ExtractedRun) -> source.FrozenTable:
        """The same rows as :meth:`frozen_rows`, in their file: read, and proved, when they are asked for."""
        try:
            return source.FrozenTable(self.archive.get_input(run.input_digest), run.input_digest)
        except NotFoundError:  # unless rows were erased since: what is left of them
            path, _, tombstone = self.frozen_table(run.input_digest)
            return source.FrozenTable(path, (tombstone and tombstone.remaining) or run.input_digest)

    def kept_rows(self, run: ExtractedRun) -> pa.Table:
        """The rows of the frozen input that were not set aside; see :meth:`frozen_rows`."""
        _, rows, excluded, _ = self.frozen(run)
        return source.without(rows, excluded)

    def frozen(self, run: ExtractedRun) -> tuple[Path, pa.Table, list[int], int]:
        """The frozen input: its file, its rows, which of them have no score, and how many were erased.

        Raises
        ------
        NotFoundError, DigestMismatchError
            As of :meth:`frozen_rows`.
        """
        excluded = self.store.excluded.positions(run)
        path, rows, tombstone = self.frozen_table(run.input_digest)
        if tombstone is None:
            return path, rows, excluded, 0
        without = set(excluded)
        places = [place for place, was in enumerate(tombstone.kept().tolist()) if was in without]
        return path, rows, places, len(tombstone.erased)

    def frozen_table(self, digest: str) -> tuple[Path, pa.Table, Tombstone | None]:
        """A frozen table of the archive: its file, its rows, and what stands for those that were erased.

        Raises
        ------
        NotFoundError, DigestMismatchError
            As of :meth:`frozen_rows`.
        """
        try:
            path = self.archive.get_input(digest)
        except NotFoundError:
            tombstone = self.store.erasures.of_frozen().get(digest)
            if tombstone is None or tombstone.remaining is None:
                raise
            path = self.archive.get_input(tombstone.remaining)
            rows = source.read_frozen(path, tombstone.remaining)
            apart = tombstone.differences(rows, digest)
            if apart:
                raise DigestMismatchError(
                    "what an erasure left of frozen rows is not what it left",
                    where=digest,
                    examples=apart,
                    fix="restore the file from a backup that is younger than the erasure",
                ) from None
            return path, rows, tombstone
        return path, source.read_frozen(path, digest), None

    def kept_columns(self, run: ExtractedRun) -> source.KeptColumns:
        """The same rows, read a column at a time; see :meth:`frozen_file` for how they are proved."""
        try:
            return source.KeptColumns(self.frozen_file(run), self.store.excluded.positions(run))
        except NotFoundError:  # unless rows were erased since: what is left of them
            path, _, excluded, _ = self.frozen(run)
            return source.KeptColumns(path, excluded)

    @property
    def scratch(self) -> Path:
        """A folder of this process for files on their way into the archive, for its owner alone."""
        return process_folder(self.settings.home / "scratch")

    def remove_leftovers(self) -> None:
        """Remove what killed processes left on their way into the archive: here, and in it."""
        self.archive.remove_leftovers()
        remove_leftovers(self.settings.home / "scratch")

    @property
    def environments(self) -> Path:
        """Where environments of packages are built, by the digest of their lock."""
        return self.settings.environments or self.settings.home / "environments"

    @property
    def cache(self) -> Path:
        """Where packages are unpacked, by digest."""
        return private_folder(self.settings.cache)

    @property
    def suites(self) -> Suites:
        """Suites of models: their files run apart from this process and its logins; what was read is kept."""
        from rescore.model import Child  # both import more than a look at the store needs
        from rescore.validation import Apart, Suites

        return Suites(self.settings.home / "suites", Apart(Child, self.scratch))

    def scratch_folder(self) -> AbstractContextManager[Path]:
        """A fresh folder for files on their way, gone afterwards; a full disk is said by name."""
        return scratch_folder(self.scratch, also=self.written_folders)

    @property
    def written_folders(self) -> list[Path]:
        """What a run writes to on this machine, to be named when a disk is full."""
        archive = [Path(self.settings.archive)] if self.archive.is_local else []
        return [self.settings.home / "scratch", self.settings.cache, *archive]


def utc_now() -> datetime:
    """The wall clock, read only to refuse intervals that have not ended and to stamp records."""
    return datetime.now(UTC)
