"""What a person answered under Required Actions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from rescore_airflow.requests import text_of

__all__ = ["Answer"]


@dataclass(frozen=True)
class Answer:
    """A choice, and the person who made it.

    Attributes
    ----------
    choice : str or None
        The option; None if there is none.
    who : str or None
        The person; None if nobody answered in time.
    reason : str or None
        What they wrote.
    at : datetime
        When, in UTC.
    """

    choice: str | None
    who: str | None
    reason: str | None
    at: datetime

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Self:
        """The answer in the event with which Airflow resumes the task."""
        user = event.get("responded_by_user")
        return cls(
            choice=next(iter(event.get("chosen_options") or ()), None),
            who=None if user is None else str(user["name"]),
            reason=text_of(event.get("params_input") or {}, "reason"),
            at=event.get("responded_at") or datetime.now(UTC),
        )
