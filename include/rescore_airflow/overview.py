"""What the page shows of one model, as text that needs no further thought in a template."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from rescore.errors import RescoreError
from rescore.interval import Interval

if TYPE_CHECKING:
    from rescore.pipeline import Context

__all__ = ["ModelOverview", "RunLine", "age", "model_overview"]


@dataclass(frozen=True)
class RunLine:
    """One run: counts are rows, moments are in the schedule's time zone."""

    run_id: str
    interval: str
    state: str
    verdict: str
    extracted: int | None
    scored: int | None
    set_aside: int
    package: str
    claimed: str
    problem: str


@dataclass(frozen=True)
class ModelOverview:
    """One model.

    ``pin`` is None while no package is pinned; ``scores_until`` and ``published`` while nothing is
    published; ``problem`` says why the folder can't be read.
    """

    name: str
    dag_id: str
    description: str
    output: str
    timezone: str
    pin: dict[str, str] | None
    scores_until: str | None
    published: str | None
    late: bool
    runs: list[RunLine]
    problem: str


def age(since: timedelta) -> str:
    """How long ago, in the largest unit that fits."""
    seconds = int(since.total_seconds())
    for unit, length in [("day", 86_400), ("hour", 3_600), ("minute", 60)]:
        if seconds >= length:
            count = seconds // length
            return f"{count} {unit}{'s' * (count > 1)} ago"
    return "just now"
