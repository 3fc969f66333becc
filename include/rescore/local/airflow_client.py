"""Airflow's REST API as far as a demo and its tests need it: trigger, backfill, wait, logs, clear."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from pydantic import BaseModel, ConfigDict, Field

from rescore.errors import AirflowRequestError
from rescore.interval import Interval
from rescore.local.rest import request_json
from rescore.shown_text import number_of

__all__ = ["AirflowClient", "DagRun", "TaskState"]

_FINISHED = ("success", "failed")
_POLL_SECONDS = 0.5

#: How long runs may stand still before a wait for them gives up.
WITHOUT_PROGRESS_SECONDS = 900.0


class DagRun(BaseModel):
    """A run as the API reports it.

    Attributes
    ----------
    dag_id, run_id, state, run_type : str
        State is ``queued``, ``running``, ``success`` or ``failed``.
    logical_date, interval_start, interval_end : datetime or None
        Aware; None for a run without a logical date.
    """

    model_config = ConfigDict(frozen=True)

    dag_id: str
    run_id: str = Field(alias="dag_run_id")
    state: str
    run_type: str
    logical_date: datetime | None
    interval_start: datetime | None = Field(alias="data_interval_start")
    interval_end: datetime | None = Field(alias="data_interval_end")

    @property
    def finished(self) -> bool:
        """Whether it has succeeded or failed."""
        return self.state in _FINISHED


class TaskState(BaseModel):
    """A task instance: ``state`` is None while it is not scheduled yet; ``seconds`` is how long it ran."""

    model_config = ConfigDict(frozen=True)

    task_id: str
    map_index: int
    state: str | None
    try_number: int
    seconds: float | None = Field(alias="duration")


@dataclass
class Patience:
    """How long a wait goes on: for as long as something happens, and then for ``seconds`` more."""

    seconds: float
    until: float = math.inf
    seen: object = None

    def is_over(self, seen: object, *, works: bool, now: float) -> bool:
        """Whether nothing has happened for too long.

        Parameters
        ----------
        seen : object
            What can be seen now; anything that differs from last time is progress.
        works : bool
            Whether something runs, which is progress without a visible change.
        now : float
            Seconds of a clock that only goes forward.
        """
        if works or seen != self.seen:
            self.seen, self.until = seen, now + self.seconds
        return now > self.until


@dataclass(frozen=True)
class AirflowClient:
    """A logged-in client.

    Attributes
    ----------
    url : str
        Address of the API server, without a path.
    token : str
        A token (JWT) as `log_in` gets it.
    """

    url: str
    token: str

    @classmethod
    def log_in(cls, url: str, user: str, password: str) -> AirflowClient:
        """Exchange user and password for a token.

        Raises
        ------
        AirflowRequestError
            The login is refused, or nobody answers.
        """
        answer = request_json("POST", f"{url}/auth/token", body={"username": user, "password": password})
        return cls(url, answer["access_token"])

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Any:
        """Ask for ``/api/v2/<path>`` and return the parsed answer.

        Raises
        ------
        AirflowRequestError
            With the status and the API's own reason in ``data``.
        """
        address = f"{self.url}/api/v2/{path}" + (f"?{urlencode(query, doseq=True)}" if query else "")
        return request_json(method, address, body=body, token=self.token)

    # -- DAGs ---------------------------------------------------------------------------------

    def wait_for_dag(self, dag_id: str, *, seconds: float = 120) -> None:
        """Wait until the DAG processor has read this DAG.

        Raises
        ------
        AirflowRequestError
            It has not within ``seconds``; with the import errors there are.
        """
        for _ in _until(seconds):
            try:
                self.request("GET", f"dags/{quote(dag_id)}")
            except AirflowRequestError as error:
                if error.data.get("status") != 404:
                    raise
            else:
                return
        broken = self.request("GET", "importErrors")["import_errors"]
        known = [dag["dag_id"] for dag in self.request("GET", "dags", query={"limit": 100})["dags"]]
        raise AirflowRequestError(
            f"Airflow has no DAG {dag_id!r} after {seconds:.0f} seconds",
            where=self.url,
            expected=f"one of {', '.join(known) or 'none: the DAGs folder gave nothing'}",
            examples=[f"{item['filename']}: {item['stack_trace'].strip()[-500:]}" for item in broken],
            fix="see the import errors above, and var/logs/dag-processor.log",
        )

    def unpause(self, dag_id: str, *, paused: bool = False) -> None:
        """Let the scheduler run this DAG (or, with ``paused=True``, no longer)."""
        self.request("PATCH", f"dags/{quote(dag_id)}", {"is_paused": paused})

    # -- runs ---------------------------------------------------------------------------------

    def trigger(
        self,
        dag_id: str,
        *,
        conf: Mapping[str, Any] | None = None,
        interval: Interval | None = None,
        logical_date: datetime | None = None,
        run_id: str | None = None,
    ) -> DagRun:
        """Start a run.

        Parameters
        ----------
        dag_id : str
            The DAG.
        conf : mapping, optional
            Params.
        interval : Interval, optional
            The data interval; its start becomes the logical date.
        logical_date : datetime, optional
            Without both, the run has no logical date, as a plain trigger in the page has none.
        run_id : str, optional
            A name for it.
        """
        body: dict[str, Any] = {"logical_date": None, "conf": dict(conf or {})}
        if interval is not None:
            body["logical_date"] = interval.start.isoformat()
            body["data_interval_start"] = interval.start.isoformat()
            body["data_interval_end"] = interval.end.isoformat()
        elif logical_date is not None:
            body["logical_date"] = logical_date.isoformat()
        if run_id is not None:
            body["dag_run_id"] = run_id
        return DagRun.model_validate(self.request("POST", f"dags/{quote(dag_id)}/dagRuns", body))

    def run(self, dag_id: str, run_id: str) -> DagRun:
        """One run as it is now."""
        return DagRun.model_validate(self.request("GET", _run_path(dag_id, run_id)))

    def runs(
        self, dag_id: str, *, first: datetime | None = None, last: datetime | None = None
    ) -> list[DagRun]:
        """Runs of a DAG by logical date, those from ``first`` to ``last`` (both included)."""
        query: dict[str, Any] = {"limit": 100, "order_by": "logical_date"}
        if first is not None:
            query["logical_date_gte"] = first.isoformat()
        if last is not None:
            query["logical_date_lte"] = last.isoformat()
        found: list[DagRun] = []
        while True:
            page = self.request("GET", f"dags/{quote(dag_id)}/dagRuns", query={**query, "offset": len(found)})
            found += [DagRun.model_validate(raw) for raw in page["dag_runs"]]
            if not page["dag_runs"] or len(found) >= page["total_entries"]:
                return found

    def wait(
        self,
        dag_id: str,
        run_id: str,
        *,
        seconds: float = WITHOUT_PROGRESS_SECONDS,
        progress: Callable[[DagRun, list[TaskState]], None] | None = None,
    ) -> DagRun:
        """Wait until a run has succeeded or failed, and return it; see `wait_all`."""

        def report(runs: list[DagRun], tasks: Mapping[str, list[TaskState]]) -> None:
            if progress is not None:
                progress(runs[0], tasks.get(run_id) or self.tasks(dag_id, run_id))

        return self.wait_all([self.run(dag_id, run_id)], seconds=seconds, progress=report)[0]

    # -- backfills ----------------------------------------------------------------------------

    def backfill(
        self,
        dag_id: str,
        first: datetime,
        last: datetime,
        *,
        conf: Mapping[str, Any] | None = None,
        max_active_runs: int = 4,
        reprocess: str = "none",
    ) -> list[DagRun]:
        """Create the runs whose logical dates lie from ``first`` to ``last``, and return them unfinished.

        Airflow allows one backfill a DAG and notices only every 30 seconds that one is complete, so
        this waits for an earlier one.

        Parameters
        ----------
        dag_id : str
            The DAG.
        first, last : datetime
            Aware; both included. An interval's logical date is its start.
        conf : mapping, optional
            Params for each run.
        max_active_runs : int
            How many run at once.
        reprocess : {"none", "failed", "completed"}
            Which runs that exist are run again.
        """
        body = {
            "dag_id": dag_id,
            "from_date": first.isoformat(),
            "to_date": last.isoformat(),
            "dag_run_conf": dict(conf or {}),
            "max_active_runs": max_active_runs,
            "reprocess_behavior": reprocess,
        }
        for _ in _until(90):
            try:
                self.request("POST", "backfills", body)
            except AirflowRequestError as error:
                if error.data.get("status") != 409:
                    raise
                refusal = error
            else:
                return self.runs(dag_id, first=first, last=last)
        raise refusal

    def wait_all(
        self,
        runs: list[DagRun],
        *,
        seconds: float = WITHOUT_PROGRESS_SECONDS,
        progress: Callable[[list[DagRun], Mapping[str, list[TaskState]]], None] | None = None,
    ) -> list[DagRun]:
        """Wait until all these runs have finished, and return them as they ended.

        Parameters
        ----------
        runs : list of DagRun
            They may belong to several DAGs.
        seconds : float
            How long they may stand still. A slow machine that works is waited for: each change of a run
            or of a task starts the count again, and so does a running task (Airflow itself ends one that
            no longer gives a sign of life).
        progress : callable, optional
            Receives, about twice a second, all runs and by run id the tasks of those that had not finished.

        Raises
        ------
        AirflowRequestError
            Nothing has changed for ``seconds``; with the state of the unfinished runs and their tasks.
        """
        latest = list(runs)
        tasks: dict[str, list[TaskState]] = {}
        patience = Patience(seconds)
        while True:
            for number, run in enumerate(latest):
                if not run.finished:
                    latest[number] = self.run(run.dag_id, run.run_id)
                    tasks[run.run_id] = self.tasks(run.dag_id, run.run_id)
            if progress is not None:
                progress(latest, tasks)
            unfinished = [run for run in latest if not run.finished]
            if not unfinished:
                return latest
            works = any(task.state == "running" for run in unfinished for task in tasks[run.run_id])
            if patience.is_over((list(latest), dict(tasks)), works=works, now=time.monotonic()):
                raise AirflowRequestError(
                    f"{len(unfinished)} of {number_of(len(runs), 'run has', 'runs have')} not "
                    f"finished, and nothing has changed for {seconds:.0f} seconds",
                    where=self.url,
                    examples=[_doing(run, tasks[run.run_id]) for run in unfinished],
                    fix="see var/logs/scheduler.log and the runs in the Airflow page",
                )
            time.sleep(_POLL_SECONDS)

    # -- tasks --------------------------------------------------------------------------------

    def tasks(self, dag_id: str, run_id: str) -> list[TaskState]:
        """The task instances of a run."""
        page = self.request("GET", f"{_run_path(dag_id, run_id)}/taskInstances", query={"limit": 100})
        return [TaskState.model_validate(raw) for raw in page["task_instances"]]

    def task_log(
        self, dag_id: str, run_id: str, task_id: str, *, try_number: int | None = None, map_index: int = -1
    ) -> str:
        """What a task wrote, one event a line; of its last try unless another is given."""
        if try_number is None:
            numbers = [t.try_number for t in self.tasks(dag_id, run_id) if t.task_id == task_id]
            try_number = max([1, *numbers])
        page = self.request(
            "GET",
            f"{_run_path(dag_id, run_id)}/taskInstances/{quote(task_id)}/logs/{try_number}",
            query={"full_content": "true", "map_index": map_index},
        )
        return "\n".join(_log_line(event) for event in page["content"])

    def clear_task(self, dag_id: str, run_id: str, task_id: str, *, downstream: bool = True) -> None:
        """Have a finished task run again, and with it what depends on it."""
        self.request(
            "POST",
            f"dags/{quote(dag_id)}/clearTaskInstances",
            {
                "dry_run": False,
                "dag_run_id": run_id,
                "task_ids": [task_id],
                "only_failed": False,
                "include_downstream": downstream,
            },
        )


def _doing(run: DagRun, tasks: list[TaskState]) -> str:
    return ", ".join([f"{run.run_id} is {run.state}", *(f"{task.task_id} is {task.state}" for task in tasks)])


def _run_path(dag_id: str, run_id: str) -> str:
    return f"dags/{quote(dag_id)}/dagRuns/{quote(run_id, safe='')}"


def _log_line(event: str | Mapping[str, Any]) -> str:
    if isinstance(event, str):
        return event
    line = str(event.get("event", ""))
    detail = event.get("error_detail")
    if detail:
        line += "\n" + "\n".join(f"{item.get('exc_type')}: {item.get('exc_value')}" for item in detail)
    return line


def _until(seconds: float) -> Iterator[None]:
    """Turns of a waiting loop: at once, then every half second until the time is up."""
    deadline = time.monotonic() + seconds
    yield
    while time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        yield
