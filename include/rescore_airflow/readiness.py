"""The gate in front of a run: is the interval fully loaded in the source?

The first look is the task's own; if the answer is no, the task leaves its worker slot and a
trigger looks again until the declared timeout.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from rescore.errors import RescoreError, SourceNotReadyError
from rescore.interval import Interval
from rescore.spec import ModelSpec
from rescore_airflow.connections import pipeline_context
from rescore_airflow.failures import fail_typed
from rescore_airflow.score_request import ScoreRequest, score_request

__all__ = ["ReadinessGate", "ReadinessTrigger"]


def _is_ready(model: str, interval: Interval, as_of: datetime) -> bool:
    from rescore import pipeline

    return bool(pipeline.is_ready(pipeline_context(), model, interval, as_of))


def _not_ready(model: str, request: ScoreRequest, timeout: timedelta, last: str | None) -> str:
    error = SourceNotReadyError(
        f"{model}: the source has not finished loading {request.interval}",
        where=f"source.ready in model.yaml, asked for {timeout}" + (f"; last answer: {last}" if last else ""),
        expected="the query to give true",
        fix="see why the load is late, then clear this task",
    )
    return str(error)


class ReadinessGate(BaseOperator):
    """Check what the run asks for, then wait until the source says the interval is complete.

    Returns the interval as ``START/END``. Nothing is retried after the timeout: it is the retry.

    Parameters
    ----------
    model : str
        The model.
    spec : ModelSpec
        Its specification; what it declares under ``source.ready`` sets timeout and rhythm.
    """

    def __init__(self, *, model: str, spec: ModelSpec, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self._spec = spec

    def _request(self, context: Any) -> ScoreRequest:
        return score_request(self._spec, context["dag_run"], context["params"], now=datetime.now(UTC))

    @fail_typed
    def execute(self, context: Any) -> str:
        """Look once; go on at once, or leave the waiting to the triggerer."""
        request = self._request(context)
        self.log.info("score %s for %s, as known by %s", self.model, request.interval, request.known_by)
        ready = self._spec.source.ready
        if _is_ready(self.model, request.interval, request.known_by) or ready is None:
            return str(request.interval)
        self.log.info("not loaded yet; looking again every %s for %s", ready.poke_interval, ready.timeout)
        self.defer(
            trigger=ReadinessTrigger(
                model=self.model,
                interval=str(request.interval),
                as_of=request.known_by.isoformat(),
                deadline=(datetime.now(UTC) + ready.timeout).isoformat(),
                poke_seconds=ready.poke_interval.total_seconds(),
            ),
            method_name="resume",
            # A net under the trigger's own deadline, for the day that no triggerer runs.
            timeout=ready.timeout + 2 * ready.poke_interval + timedelta(minutes=5),
        )
        raise AssertionError("defer raises")  # pragma: no cover

    @fail_typed
    def resume(self, context: Any, event: dict[str, Any]) -> str:
        """Go on when the trigger says so; else fail with its last answer."""
        request = self._request(context)
        if event["status"] == "ready":
            return str(request.interval)
        if event["status"] == "error":
            raise AirflowFailException(event["message"])
        ready = self._spec.source.ready
        timeout = timedelta(0) if ready is None else ready.timeout
        raise AirflowFailException(_not_ready(self.model, request, timeout, event.get("message")))


class ReadinessTrigger(BaseTrigger):
    """Ask the source again and again whether the interval is loaded.

    A database that is down counts as "not yet"; any other error ends the waiting.

    Parameters
    ----------
    model, interval, as_of : str
        What is asked for; the moments as ISO 8601.
    deadline : str
        When to give up, ISO 8601.
    poke_seconds : float
        Seconds between two questions.
    """

    def __init__(self, *, model: str, interval: str, as_of: str, deadline: str, poke_seconds: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.model = model
        self.interval = interval
        self.as_of = as_of
        self.deadline = deadline
        self.poke_seconds = poke_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """How the triggerer rebuilds this trigger."""
        return (
            "rescore_airflow.readiness.ReadinessTrigger",
            {
                "model": self.model,
                "interval": self.interval,
                "as_of": self.as_of,
                "deadline": self.deadline,
                "poke_seconds": self.poke_seconds,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: ready, timeout or error."""
        interval, as_of = Interval.parse(self.interval), datetime.fromisoformat(self.as_of)
        deadline = datetime.fromisoformat(self.deadline)
        while True:
            last = None
            try:
                # The query blocks; in a thread it does not hold up the other triggers.
                if await sync_to_async(_is_ready, thread_sensitive=False)(self.model, interval, as_of):
                    yield TriggerEvent({"status": "ready"})  # type: ignore[no-untyped-call]
                    return
            except RescoreError as error:
                if not error.retryable:
                    yield TriggerEvent({"status": "error", "message": str(error)})  # type: ignore[no-untyped-call]
                    return
                last = error.what
                self.log.warning("%s", error)
            remaining = (deadline - datetime.now(UTC)).total_seconds()
            if remaining <= 0:
                yield TriggerEvent({"status": "timeout", "message": last})  # type: ignore[no-untyped-call]
                return
            await asyncio.sleep(min(self.poke_seconds, remaining))
