"""The gate in front of a run: is the interval fully loaded in the source?

The first look is the task's own; if the answer is no, the task leaves its worker slot and a
trigger looks again until the declared timeout.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import BaseOperator, SkipMixin
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from rescore.errors import RescoreError, SourceNotReadyError
from rescore.interval import Interval
from rescore.spec import ModelSpec, Ready
from rescore_airflow.connections import pipeline_context
from rescore_airflow.operators.failures import fail_typed
from rescore_airflow.requests import ScoreRequest, score_request

__all__ = ["ReadinessGate", "ReadinessTrigger"]


def _is_ready(model: str, interval: Interval, as_of: datetime) -> bool:
    from rescore import pipeline

    return pipeline.is_ready(pipeline_context(), model, interval, as_of)


def _asset_updated(asset: str, since: datetime) -> bool:
    """Whether anything has updated the asset, by its name or its URI, ``since`` then."""
    from airflow.sdk.exceptions import AirflowRuntimeError
    from airflow.sdk.execution_time.context import InletEventsAccessor

    named = InletEventsAccessor(asset_uri=asset) if "://" in asset else InletEventsAccessor(asset_name=asset)
    try:
        return len(named.after(since.isoformat()).limit(1)) > 0
    except AirflowRuntimeError:  # no DAG has declared it yet
        return False


class ReadinessGate(BaseOperator, SkipMixin):
    """Check what the run asks for, then wait until the interval is known to be complete.

    ``source.ready.sql`` is asked of the source database; ``source.ready.asset`` has to have been
    updated at or after the interval's end. Returns the interval as ``START/END``. Nothing is retried
    after the timeout: it is the retry.

    Parameters
    ----------
    model : str
        The model.
    spec : ModelSpec
        Its specification; what it declares under ``source.ready`` sets timeout and rhythm.
    retrain : str
        Id of the task that starts a training. It is skipped from here where Param ``retrain`` is
        never, as it mostly is, so that no process is started only to find that out.
    """

    #: Lets Airflow skip that task again when it is cleared without this one.
    inherits_from_skipmixin = True

    def __init__(self, *, model: str, spec: ModelSpec, retrain: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self._spec = spec
        self._retrain = retrain

    def _go_on(self, context: Any, request: ScoreRequest) -> str:
        interval = str(request.interval)
        if context["params"]["retrain"] == "never":
            context["ti"].xcom_push("return_value", interval)  # skipping ends the task before it returns
            self.skip(context["ti"], [context["dag"].get_task(self._retrain)])
        return interval

    def _request(self, context: Any) -> ScoreRequest:
        return score_request(self._spec, context["dag_run"], context["params"], now=datetime.now(UTC))

    @fail_typed
    def execute(self, context: Any) -> str:
        """Look once; go on at once, or leave the waiting to the triggerer."""
        request = self._request(context)
        self.log.info("score %s for %s, as known by %s", self.model, request.interval, request.known_by)
        ready = self._spec.source.ready
        if ready is None:
            return self._go_on(context, request)
        deadline = datetime.now(UTC) + ready.timeout
        if ready.asset is not None:
            return self._look_for(context, request, ready.asset, deadline)
        if _is_ready(self.model, request.interval, request.known_by):
            return self._go_on(context, request)
        self.log.info("not loaded yet; asking every %s for %s", ready.poke_interval, ready.timeout)
        self._wait(
            ReadinessTrigger(
                model=self.model,
                interval=str(request.interval),
                as_of=request.known_by.isoformat(),
                deadline=deadline.isoformat(),
                poke_seconds=ready.poke_interval.total_seconds(),
            ),
            "answered",
            deadline,
        )

    @fail_typed
    def answered(self, context: Any, event: dict[str, Any]) -> str:
        """Go on when the trigger says that the source is ready; else fail with its last answer."""
        request = self._request(context)
        if event["status"] == "ready":
            return self._go_on(context, request)
        if event["status"] == "error":
            raise AirflowFailException(event["message"])
        raise self._timed_out(request, event.get("message"))

    @fail_typed
    def look_again(self, context: Any, event: Any, asset: str, deadline: str) -> str:
        """Look for the asset once more."""
        return self._look_for(context, self._request(context), asset, datetime.fromisoformat(deadline))

    def _look_for(self, context: Any, request: ScoreRequest, asset: str, deadline: datetime) -> str:
        # Only a task can see asset events, so the trigger does nothing but wait.
        if _asset_updated(asset, request.interval.end):
            return self._go_on(context, request)
        if datetime.now(UTC) >= deadline:
            raise self._timed_out(request, f"asset {asset} was not updated")
        again = self._ready.poke_interval
        self.log.info(
            "asset %s was not updated since %s; looking again in %s", asset, request.interval.end, again
        )
        more = {"asset": asset, "deadline": deadline.isoformat()}
        self._wait(TimeDeltaTrigger(again), "look_again", deadline, more)

    @property
    def _ready(self) -> Ready:
        ready = self._spec.source.ready
        if ready is None:
            raise AssertionError("nothing is waited for")
        return ready

    def _wait(
        self, trigger: BaseTrigger, method: str, deadline: datetime, more: dict[str, Any] | None = None
    ) -> NoReturn:
        # A net under the trigger's own deadline, for the day that no triggerer runs.
        slack = 2 * self._ready.poke_interval + timedelta(minutes=5)
        timeout = max(deadline - datetime.now(UTC), timedelta(0)) + slack
        raise TaskDeferred(trigger=trigger, method_name=method, kwargs=more or {}, timeout=timeout)

    def _timed_out(self, request: ScoreRequest, last: str | None) -> AirflowFailException:
        where = f"source.ready in model.yaml, for {self._ready.timeout}"
        error = SourceNotReadyError(
            f"{self.model}: the source has not finished loading {request.interval}",
            where=where + (f"; last answer: {last}" if last else ""),
            expected="the query to give true, or the asset to be updated",
            fix="see why the load is late, then clear this task",
        )
        return AirflowFailException(str(error))


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
            "rescore_airflow.operators.readiness.ReadinessTrigger",
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
