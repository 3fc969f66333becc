"""The gate in front of a run: is the interval fully loaded in the source?

The first look is the task's own. If the answer is no, the task leaves its worker slot, and a trigger
looks again until the declared timeout.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import BaseOperator, SkipMixin
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from airflow.triggers.base import BaseTrigger

from rescore.errors import SourceNotReadyError
from rescore.report import duration
from rescore.spec import ModelSpec, Ready
from rescore_airflow.operators.failures import fail_typed
from rescore_airflow.operators.readiness_trigger import ReadinessTrigger, is_ready
from rescore_airflow.operators.siblings import sibling
from rescore_airflow.requests import ScoreRequest, score_request

__all__ = ["ReadinessGate"]


def _asset_updated(asset: str, since: datetime) -> bool:
    """Whether anything has updated the asset, by its name or its URI, at ``since`` or later."""
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
    model_name : str
        The model.
    spec : ModelSpec
        Its specification; what it declares under ``source.ready`` sets timeout and rhythm.
    retrain : str
        The task of the same group that starts a training. It is skipped from here where Param ``retrain`` is
        never, as it mostly is, so that no process is started only to find that out.
    """

    #: Lets Airflow skip that task again when it is cleared without this one.
    inherits_from_skipmixin = True

    def __init__(self, *, model_name: str, spec: ModelSpec, retrain: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model_name = model_name
        self._spec = spec
        self._retrain = retrain

    @fail_typed
    def execute(self, context: Any) -> str:
        """Look once; go on at once, or leave the waiting to the triggerer."""
        request = self._request(context)
        self.log.info("score %s for %s, as known by %s", self.model_name, request.interval, request.known_by)
        ready = self._spec.source.ready
        if ready is None:
            return self._go_on(context, request)
        deadline = datetime.now(UTC) + ready.timeout
        if ready.asset is not None:
            return self._look_for_asset(context, request, ready, ready.asset, deadline)
        if is_ready(self.model_name, request.interval, request.known_by):
            return self._go_on(context, request)
        self.log.info(
            "not loaded yet; asking every %s for %s", duration(ready.poke_interval), duration(ready.timeout)
        )
        trigger = ReadinessTrigger(
            model_name=self.model_name,
            interval=str(request.interval),
            as_of=request.known_by.isoformat(),
            deadline=deadline.isoformat(),
            poke_seconds=ready.poke_interval.total_seconds(),
        )
        _wait(trigger, "answered", deadline, ready)

    @fail_typed
    def answered(self, context: Any, event: dict[str, Any]) -> str:
        """Go on when the trigger says that the source is ready; else fail with its last answer."""
        request = self._request(context)
        if event["status"] == "ready":
            return self._go_on(context, request)
        if event["status"] == "error":
            raise AirflowFailException(event["message"])
        raise self._timed_out(request, event["message"])

    @fail_typed
    def look_again(self, context: Any, event: Any, asset: str, deadline: str) -> str:
        """Look for the asset once more."""
        ready = self._spec.source.ready or Ready(asset=asset)
        until = datetime.fromisoformat(deadline)
        return self._look_for_asset(context, self._request(context), ready, asset, until)

    def _look_for_asset(
        self, context: Any, request: ScoreRequest, ready: Ready, asset: str, deadline: datetime
    ) -> str:
        # Only a task can see asset events, so the trigger does nothing but wait.
        since = request.interval.end
        if _asset_updated(asset, since):
            return self._go_on(context, request)
        if datetime.now(UTC) >= deadline:
            raise self._timed_out(request, f"asset {asset} was not updated")
        self.log.info(
            "asset %s was not updated since %s; looking again in %s",
            asset,
            since,
            duration(ready.poke_interval),
        )
        arguments = {"asset": asset, "deadline": deadline.isoformat()}
        _wait(TimeDeltaTrigger(ready.poke_interval), "look_again", deadline, ready, arguments)

    def _request(self, context: Any) -> ScoreRequest:
        return score_request(self._spec, context, now=datetime.now(UTC))

    def _go_on(self, context: Any, request: ScoreRequest) -> str:
        interval = str(request.interval)
        if request.retrain == "never":
            context["ti"].xcom_push("return_value", interval)  # skipping ends the task before it returns
            self.skip(context["ti"], [context["dag"].get_task(sibling(self.task_id, self._retrain))])
        return interval

    def _timed_out(self, request: ScoreRequest, last: str | None) -> AirflowFailException:
        ready = self._spec.source.ready
        where = f"source.ready in model.yaml, for {duration(ready.timeout) if ready else 'some time'}"
        error = SourceNotReadyError(
            f"{self.model_name}: the source has not finished loading {request.interval}",
            where=where + (f"; last answer: {last}" if last else ""),
            expected="the query to give true, or the asset to be updated",
            fix="see why the load is late, then clear this task",
        )
        return AirflowFailException(str(error))


def _wait(
    trigger: BaseTrigger,
    method: str,
    deadline: datetime,
    ready: Ready,
    arguments: dict[str, Any] | None = None,
) -> NoReturn:
    """Leave the worker slot until the trigger fires."""
    # Longer than the trigger's own deadline, and of use only when no triggerer runs.
    slack = 2 * ready.poke_interval + timedelta(minutes=5)
    timeout = max(deadline - datetime.now(UTC), timedelta(0)) + slack
    raise TaskDeferred(trigger=trigger, method_name=method, kwargs=arguments or {}, timeout=timeout)
