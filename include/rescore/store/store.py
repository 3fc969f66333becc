"""The store as one object: its parts over one database."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rescore.store.audit.chain import Chain
from rescore.store.database import Database
from rescore.store.erasure.erasures import Erasures
from rescore.store.identifiers import CONSUMER_SCHEMA, SCHEMA
from rescore.store.packages.comparisons import Comparisons
from rescore.store.packages.registry import Packages, Pins
from rescore.store.packages.retrainings import Retrainings
from rescore.store.packages.signatures import Signatures
from rescore.store.packages.snapshots import Snapshots
from rescore.store.retention.deletions import Deletions
from rescore.store.retention.holds import Holds
from rescore.store.retirements import Retirements
from rescore.store.runs.excluded import Excluded
from rescore.store.runs.history import History
from rescore.store.runs.overview import Overview
from rescore.store.runs.publications import Publications
from rescore.store.runs.reports import Reports
from rescore.store.runs.runs import Runs
from rescore.store.runs.scores import Scores
from rescore.store.runs.shards import Shards
from rescore.store.schema.migrate import Schema
from rescore.store.schema.model_registration import Models
from rescore.store.schema.roles import Roles
from rescore.store.timetables import Timetables

__all__ = ["Store"]


class Store:
    """What is scored, with what, from what, and what consumers see, in one Postgres.

    A part knows the database and no other part; what two parts share is a function of a connection.

    Parameters
    ----------
    url : str
        A Postgres URL of any spelling: the login that runs models. Nothing connects before the first use.
    store_schema, consumer_schema : str
        Where our tables and where the consumers' views are.
    release_url, owner_url : str, optional
        The same database as the login that acts in a person's name (releases, pins, signs), and as the
        one that owns the tables (migrates, creates roles, registers models). Default: ``url``.

    Attributes
    ----------
    database : Database
        Connections and transactions.
    schema, roles : Schema, Roles
        The tables' versions, and who may do what.
    models : Models
        Which models have score tables.
    snapshots, packages, pins : Snapshots, Packages, Pins
        What a score may be made of.
    signatures, comparisons, retrainings : Signatures, Comparisons, Retrainings
        What is known about packages.
    runs : Runs
        Attempts to score an interval, and their states.
    excluded, scores, reports : Excluded, Scores, Reports
        What runs made: rows without a score, scores, reports.
    shards : Shards
        Parts of a run's scores that are staged by themselves.
    publications : Publications
        What consumers see.
    timetables, retirements : Timetables, Retirements
        When scores are due, and of which models none are any more.
    history : History
        Models over time.
    chain : Chain
        What happened, entry by entry, so that a change of it shows.
    overview : Overview
        Many models at once.
    deletions, holds : Deletions, Holds
        What was deleted, and what must not be.
    erasures : Erasures
        Who was erased, without saying who.

    Examples
    --------
    >>> with Store("postgresql://localhost/rescore") as store:  # doctest: +SKIP
    ...     store.schema.migrate()
    '0026'
    """

    def __init__(
        self,
        url: str,
        *,
        store_schema: str = SCHEMA,
        consumer_schema: str = CONSUMER_SCHEMA,
        release_url: str | None = None,
        owner_url: str | None = None,
    ) -> None:
        self.database = Database(url, store_schema=store_schema, consumer_schema=consumer_schema)
        self._as_person = self.database.as_login(release_url)
        self._as_owner = self.database.as_login(owner_url)
        self.schema = Schema(self._as_owner)
        self.roles = Roles(self._as_owner, self.database)
        self.models = Models(self.database, self._as_owner)
        self.snapshots = Snapshots(self.database)
        self.packages = Packages(self.database)
        self.pins = Pins(self.database, self._as_person, self._as_owner)
        self.signatures = Signatures(self.database, self._as_person)
        self.comparisons = Comparisons(self.database)
        self.retrainings = Retrainings(self.database)
        self.runs = Runs(self.database)
        self.excluded = Excluded(self.database)
        self.scores = Scores(self.database)
        self.shards = Shards(self.database)
        self.reports = Reports(self.database)
        self.publications = Publications(self.database, self._as_person)
        self.timetables = Timetables(self.database)
        self.retirements = Retirements(self.database, self._as_person, self._as_owner)
        self.history = History(self.database)
        self.chain = Chain(self.database)
        self.overview = Overview(self.database)
        self.deletions = Deletions(self.database, self._as_person)
        self.holds = Holds(self.database, self._as_person)
        self.erasures = Erasures(self.database, self._as_owner)

    def __repr__(self) -> str:
        return f"Store({self.database.where!r}, {self.database.store_schema!r})"

    def close(self) -> None:
        """Close idle connections; the store can still be used, and connects anew."""
        for database in (self.database, self._as_person, self._as_owner):
            database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
