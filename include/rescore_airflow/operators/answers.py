"""What a person answered under Required Actions, kept until it is done."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk.exceptions import AirflowFailException

from rescore.errors import RescoreError
from rescore_airflow.requests import text_of

__all__ = ["Answer", "keeps_answer"]


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


def keeps_answer(act: Callable[..., Any]) -> Callable[..., Any]:
    """Let ``execute_complete`` act on an answer as often as the task has tries, without asking again.

    Airflow's own retry begins a task anew, and forgets what was answered: nobody is told that they are asked
    a second time, and their silence is a no. So the task waits ``retry_delay`` with the answer instead.
    """

    @functools.wraps(act)
    def execute_complete(
        self: Any, context: Any, event: Any, answer: dict[str, Any] | None = None, tries: int = 0
    ) -> Any:
        answer = event if answer is None else answer  # later, the event is only that the time has passed
        try:
            return act(self, context, answer)
        except RescoreError as error:
            if not error.retryable:
                raise
            if tries >= self.retries:
                raise AirflowFailException(
                    f"what was answered could not be done in {tries + 1} tries; clear this task to be asked "
                    f"again: {error}"
                ) from error
            self.log.warning("the answer is kept, and tried again in %s: %s", self.retry_delay, error)
        self.defer(
            trigger=TimeDeltaTrigger(self.retry_delay),
            method_name="execute_complete",
            kwargs={"answer": answer, "tries": tries + 1},
        )

    return execute_complete
