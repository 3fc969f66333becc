"""Reports and histories of the store as values: rows that are read, never written through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rescore.interval import Interval
from rescore.sha256 import Sha256
from rescore.store.records import RunState

__all__ = [
    "DueRun",
    "Gap",
    "IntervalDrift",
    "IntervalRun",
    "ModelStatus",
    "RunPerformance",
    "Signature",
    "StoredComparison",
    "StoredReproduction",
    "WeekPerformance",
]


@dataclass(frozen=True)
class IntervalRun:
    """The run that stands for an interval: the published one, else the latest attempt.

    ``published`` says which of the two; counts are rows, None before they were known.
    """

    run_id: str
    interval: Interval
    published: bool
    state: RunState
    rows_extracted: int | None
    rows_scored: int | None
    rows_quarantined: int
    rows_rejected: int
    package_version: str | None


@dataclass(frozen=True)
class IntervalDrift:
    """The drift report of the run that stands for an interval; ``report`` is the stored document."""

    run_id: str
    interval: Interval
    published: bool
    package_version: str | None
    verdict: str
    sentence: str
    report: Mapping[str, Any]


@dataclass(frozen=True)
class RunPerformance:
    """How a run's scores came true by the labels known at ``as_of``.

    ``label_coverage`` is the share of scored rows with a label, 0 to 1; ``report`` the stored document;
    ``recorded_at`` when it was measured.
    """

    run_id: str
    interval: Interval
    as_of: datetime
    label_coverage: float | None
    report: Mapping[str, Any]
    recorded_at: datetime


@dataclass(frozen=True)
class DueRun:
    """A published run whose scores can be compared with labels that may have come."""

    run_id: str
    interval: Interval


@dataclass(frozen=True)
class Gap:
    """An interval whose scores were due at ``due_at`` and are not there; the last attempt at it, if any."""

    interval: Interval
    due_at: datetime
    state: str | None
    run_id: str | None
    problem: str | None


@dataclass(frozen=True)
class WeekPerformance:
    """How a week's scores came true, by the labels known at ``as_of``; ``report`` is the stored document."""

    as_of: datetime
    report: Mapping[str, Any]


@dataclass(frozen=True)
class StoredReproduction:
    """The outcome of scoring a run again."""

    run_id: str
    verdict: str
    details: Mapping[str, Any]
    recorded_at: datetime


@dataclass(frozen=True)
class StoredComparison:
    """Champion and challenger on the same frozen rows; ``report`` is the stored document."""

    comparison_id: int
    model: str
    champion_sha256: Sha256
    challenger_sha256: Sha256
    snapshot_digest: Sha256
    report: Mapping[str, Any]
    recorded_at: datetime


@dataclass(frozen=True)
class Signature:
    """A signature over a package's file: the Sigstore bundle, and who signed when."""

    model: str
    sha256: Sha256
    bundle: Mapping[str, Any]
    who: str
    signed_at: datetime


@dataclass(frozen=True)
class ModelStatus:
    """A row of ``scores.status``, whose comments say what each column means."""

    model: str
    interval_start: datetime | None
    interval_end: datetime | None
    published_at: datetime | None
    freshness: timedelta | None
    rows_extracted: int | None
    rows_scored: int | None
    rows_quarantined: int | None
    rows_rejected: int | None
    coverage: float | None
    validation: str | None
    verdict: str | None
    sentence: str | None
    reason: str | None
    package_version: str | None
    pinned_version: str | None
    attempt_interval_start: datetime | None
    attempt_interval_end: datetime | None
    attempt_state: RunState | None
    attempt_at: datetime | None
    attempt_verdict: str | None
    attempt_sentence: str | None
    run_id: str | None
    released_by: str | None
    attempt_run_id: str | None
    attempt_held: bool | None
    due_at: datetime | None
    late: bool | None
    usable: bool
    why: str
    performance: str | None
    performance_sentence: str | None
    retired_at: datetime | None
