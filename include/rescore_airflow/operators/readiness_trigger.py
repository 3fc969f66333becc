"""The trigger that asks the source again and again, while the task holds no worker slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from rescore.errors import RescoreError
from rescore.interval import Interval
from rescore_airflow.connections import pipeline_context

__all__ = ["ReadinessTrigger", "is_ready"]


def is_ready(model_name: str, interval: Interval, as_of: datetime) -> bool:
    """Whether ``source.ready.sql`` gives true for the interval."""
    from rescore import pipeline

    with pipeline_context() as ctx:
        return pipeline.is_ready(ctx, model_name, interval, as_of)


class ReadinessTrigger(BaseTrigger):
    """Ask the source again and again whether the interval is loaded.

    A database that is down counts as "not yet"; any other error ends the waiting.

    Parameters
    ----------
    model_name, interval, as_of : str
        What is asked for; the moments as ISO 8601.
    deadline : str
        When to give up, ISO 8601.
    poke_seconds : float
        Seconds between two questions.
    """

    def __init__(
        self, *, model_name: str, interval: str, as_of: str, deadline: str, poke_seconds: float
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.arguments = {
            "model_name": model_name,
            "interval": interval,
            "as_of": as_of,
            "deadline": deadline,
            "poke_seconds": poke_seconds,
        }
        self._model_name = model_name
        self._interval = Interval.parse(interval)
        self._as_of, self._deadline = datetime.fromisoformat(as_of), datetime.fromisoformat(deadline)
        self._poke_seconds = poke_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """How the triggerer rebuilds this trigger."""
        return "rescore_airflow.operators.readiness_trigger.ReadinessTrigger", self.arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event, with ``status`` (ready, timeout or error) and ``message``."""
        # The query blocks; in a thread it does not hold up the other triggers.
        ask = sync_to_async(is_ready, thread_sensitive=False)
        while True:
            last = None
            try:
                if await ask(self._model_name, self._interval, self._as_of):
                    yield _event("ready")
                    return
            except RescoreError as error:
                if not error.retryable:
                    yield _event("error", str(error))
                    return
                last = error.what
                self.log.warning("%s", error)
            remaining = (self._deadline - datetime.now(UTC)).total_seconds()
            if remaining <= 0:
                yield _event("timeout", last)
                return
            await asyncio.sleep(min(self._poke_seconds, remaining))


def _event(status: str, message: str | None = None) -> TriggerEvent:
    return TriggerEvent({"status": status, "message": message})  # type: ignore[no-untyped-call]
