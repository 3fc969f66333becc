"""Rows of the store as values, and the states of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, get_args

from rescore.digest import TableDigest
from rescore.interval import Interval
from rescore.manifest import Manifest
from rescore.sha256 import Sha256

__all__ = [
    "OPEN_STATES",
    "ExtractedRun",
    "OpenState",
    "Package",
    "Pin",
    "Publication",
    "Run",
    "RunHandle",
    "RunReference",
    "RunState",
    "ScoredRun",
    "Shard",
    "ShardHandle",
    "Snapshot",
    "run_id_of",
]

#: What a run goes through, in order.
OpenState = Literal["claimed", "extracted", "validated", "scored", "checked"]
#: All states; the last three are final, but a stopped run can be released by a person with a reason.
RunState = Literal[OpenState, "published", "failed", "stopped"]
OPEN_STATES: tuple[OpenState, ...] = get_args(OpenState)


class _HasRunId(Protocol):
    @property
    def run_id(self) -> str: ...


#: A run's id, or anything that has one.
RunReference = str | _HasRunId


def run_id_of(run: RunReference) -> str:
    """The id of a run, however it is given."""
    return run if isinstance(run, str) else run.run_id


@dataclass(frozen=True)
class RunHandle:
    """An attempt at a run: the right to change it and publish it, until a later attempt begins.

    Attributes
    ----------
    run_id : str
        UUID of the run.
    fence : int
        Grows with every attempt at the same model and interval.
    """

    run_id: str
    fence: int


@dataclass(frozen=True)
class ShardHandle:
    """The right to stage one range of a run's rows, until a later attempt at the run or at the shard begins.

    Attributes
    ----------
    run : RunHandle
        The attempt that planned the shards.
    number : int
        Which of them, from 0.
    """

    run: RunHandle
    number: int

    @property
    def run_id(self) -> str:
        """UUID of the run."""
        return self.run.run_id

    def to_dict(self) -> dict[str, Any]:
        """As JSON-serialisable values; :meth:`from_dict` reads them back."""
        return {"run_id": self.run.run_id, "fence": self.run.fence, "number": self.number}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> ShardHandle:
        """Read what :meth:`to_dict` wrote."""
        return cls(RunHandle(str(value["run_id"]), int(value["fence"])), int(value["number"]))


@dataclass(frozen=True)
class Shard:
    """A range of a run's scores that is staged by itself.

    Attributes
    ----------
    number : int
        From 0, in the order of the scores.
    first_row, rows : int
        Its first row among the run's scores, and how many it has.
    package_version, package_sha256 : str and Sha256
        What scores it.
    attempts : int
        How often it was begun.
    digest : TableDigest or None
        Of what was staged; None until it was.
    done_at : datetime or None
        When it was staged.
    """

    number: int
    first_row: int
    rows: int
    package_version: str
    package_sha256: Sha256
    attempts: int
    digest: TableDigest | None
    done_at: datetime | None

    def __str__(self) -> str:
        return f"rows {self.first_row:,} to {self.first_row + max(self.rows, 1) - 1:,}"


@dataclass(frozen=True)
class Publication:
    """That a run's scores became what consumers see.

    ``superseded_at`` is the moment of the successor's publication, None while it is current;
    ``released_by`` is who published it although it was held or stopped, else None.
    """

    sequence: int
    run_id: str
    model: str
    interval: Interval
    fence: int
    published_at: datetime
    reason: str | None
    superseded_at: datetime | None = None
    released_by: str | None = None


@dataclass(frozen=True)
class Run:
    """One attempt to score one interval; :class:`ExtractedRun` or :class:`ScoredRun` if it got so far.

    Attributes
    ----------
    states : mapping of str to datetime
        When each state was entered (the last time, if more than once), in order.
    input_digest, input_uri, query_sha256 : Sha256, str and str, or None
        The frozen input: content digest, where it is, the SQL's sha256.
    rows_extracted, rows_scored, rows_quarantined, rows_rejected : int or None
        Row accounting.
    score_digest : Sha256 or None
        Content digest of the score table.
    environment : mapping
        The numeric environment and versions it ran in.
    airflow : mapping or None
        dag, run, task and try, where Airflow started it.
    error : mapping or None
        Why it failed, was stopped or is held: type, message and the error's data.
    verdict, sentence : str or None
        Of the drift report.
    publication : Publication or None
        Where it was published.
    """

    run_id: str
    model: str
    interval: Interval
    as_of: datetime
    fence: int
    state: RunState
    states: Mapping[str, datetime]
    forked_from: str | None
    input_digest: Sha256 | None
    input_uri: str | None
    query_sha256: str | None
    rows_extracted: int | None
    rows_scored: int | None
    rows_quarantined: int
    rows_rejected: int
    package_version: str | None
    package_sha256: Sha256 | None
    score_digest: Sha256 | None
    code_revision: str | None
    environment: Mapping[str, Any]
    airflow: Mapping[str, Any] | None
    error: Mapping[str, Any] | None
    verdict: str | None
    sentence: str | None
    publication: Publication | None

    @property
    def held(self) -> bool:
        """Whether it is ready, but waits for a person to release it."""
        return self.state == "checked" and self.error is not None

    @property
    def going_on(self) -> bool:
        """Whether it has not ended, nor waits for a person; also true of a run whose process was killed."""
        return self.state in OPEN_STATES and not self.held

    @property
    def taken_over(self) -> bool:
        """Whether another run took its interval over before it ended."""
        return self.state == "failed" and "taken_over_by" in (self.error or {}).get("data", {})

    @property
    def handle(self) -> RunHandle:
        """The latest attempt at the run, as it was read."""
        return RunHandle(self.run_id, self.fence)

    @property
    def claimed_at(self) -> datetime:
        """When the run began."""
        return self.states["claimed"]


@dataclass(frozen=True)
class ExtractedRun(Run):
    """A run whose input is frozen."""

    input_digest: Sha256
    rows_extracted: int


@dataclass(frozen=True)
class ScoredRun(ExtractedRun):
    """A run that has scores: what made them is known."""

    rows_scored: int
    package_version: str
    package_sha256: Sha256
    score_digest: Sha256


@dataclass(frozen=True)
class Package:
    """A registered model package: a wheel by the sha256 of its file."""

    model: str
    version: str
    sha256: Sha256
    manifest: Manifest
    uri: str
    created_at: datetime


@dataclass(frozen=True)
class Pin:
    """The decision that a package scores, from ``pinned_at`` until the next pin."""

    pin_id: int
    model: str
    version: str
    sha256: Sha256
    who: str
    why: str
    evidence: Mapping[str, Any]
    pinned_at: datetime


@dataclass(frozen=True)
class Snapshot:
    """A frozen table: the input of a run (kind ``input``) or a training snapshot (``training``).

    It was recorded at ``created_at``; the same rows were frozen for it last at ``frozen_at``.
    """

    model: str
    kind: Literal["input", "training"]
    digest: Sha256
    interval: Interval
    as_of: datetime
    rows: int
    uri: str
    details: Mapping[str, Any]
    created_at: datetime
    frozen_at: datetime
