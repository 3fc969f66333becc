"""The model ``tides`` of the Airflow tests: its source data, and a stack that runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar

import jwt
import psycopg2

from rescore.interval import Interval
from rescore.local import AirflowClient, DagRun, LocalStack
from rescore.store import Store
from tests.shared.waiting import until

Value = TypeVar("Value")

#: Seconds that one answer of the API server may take: the first one imports what the page needs,
#: and other workers use the same processors.
PATIENCE = 120

#: Three gauges, every hour: from the first training day to the end of February 2024, and the last
#: days up to now for the scheduler. Every value follows from gauge and hour alone.
READINGS = """
CREATE SCHEMA harbour;
CREATE TABLE harbour.loaded (loaded_until timestamptz NOT NULL);
INSERT INTO harbour.loaded VALUES ('2024-02-20');
CREATE TABLE harbour.readings AS
SELECT gauge, hour * 10 + gauge AS reading, measured_at, measured_at AS recorded_at,
       CASE WHEN hour % 97 = 5 AND gauge = 2 THEN 400 ELSE 1000 + 20 * sin(hour * 1.7 + gauge) END
         AS pressure,
       29.5 * abs(sin(hour * 0.9)) AS moon,
       (ARRAY['calm', 'breeze', 'gale'])[1 + (hour * 7 + gauge) % 3] AS wind,
       2 + sin(hour * 0.9) + gauge / 10.0 + cos(hour * 3.1) / 4 AS level
FROM (
  SELECT gauge, measured_at, (extract(epoch FROM measured_at) / 3600)::bigint AS hour
  FROM generate_series(1, 3) AS gauge,
       LATERAL (
         SELECT generate_series(timestamptz '2024-01-01Z', timestamptz '2024-02-29Z', interval '1 hour')
         UNION ALL
         SELECT generate_series(date_trunc('day', now(), 'UTC') - interval '3 days', now(), interval '1 hour')
       ) AS moments(measured_at)
) AS every_hour;
ALTER TABLE harbour.readings ALTER COLUMN pressure TYPE float8, ALTER COLUMN moon TYPE float8;
"""


#: At a parked task, a second apart, before it is answered.
LOOKS = 8


@dataclass
class Harbour:
    """A running stack with the model ``tides``, its source and its store."""

    stack: LocalStack
    store: Store
    source_url: str

    @cached_property
    def client(self) -> AirflowClient:
        """One login for the session."""
        return self.stack.client()

    def execute(self, statement: str, *values: object) -> None:
        connection = psycopg2.connect(self.source_url)
        with connection, connection.cursor() as cursor:
            cursor.execute(statement, values or None)
        connection.close()

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None, **options: Any) -> DagRun:
        """Start a run and wait for its end."""
        client = self.client
        run = client.trigger(dag_id, conf=conf, **options)
        return client.wait(dag_id, run.run_id, seconds=900)

    def log(self, run: DagRun, task_id: str, map_index: int = -1) -> str:
        return self.client.task_log(run.dag_id, run.run_id, task_id, map_index=map_index)

    def states(self, run: DagRun) -> dict[str, str | None]:
        """State of each task."""
        return {task.task_id: task.state for task in self.client.tasks(run.dag_id, run.run_id)}

    def until(self, condition: Callable[[], Value], what: str) -> Value:
        """Wait for what Airflow does."""
        return until(condition, what, seconds=600, every=1)

    def asked(self, run: DagRun, task_id: str) -> dict[str, Any]:
        """What somebody is asked under Required Actions, once the run has got there."""
        self.until(lambda: self.states(run).get(task_id) == "awaiting_input", f"{run.run_id} asking")
        return dict(self.client.request("GET", _question(run, task_id)))

    def answer(self, run: DagRun, task_id: str, choice: str, reason: str | None) -> DagRun:
        """Answer what is asked, and wait for the run's end.

        Whoever answers as soon as the task parks is faster than any person: Airflow resumes the task before
        its scheduler has seen the asking process end, takes one for the other, and fails it, at each try.
        So this looks some times before it answers.
        """
        body = {"chosen_options": [choice], "params_input": {"reason": reason}}
        parked = 0

        def ended() -> DagRun | None:
            nonlocal parked
            now = self.client.run(run.dag_id, run.run_id)
            if now.state in {"success", "failed"}:
                return now
            parked = parked + 1 if self.states(run).get(task_id) == "awaiting_input" else 0
            if parked > LOOKS:
                question = self.client.request("GET", _question(run, task_id))
                if not question["response_received"]:
                    self.client.request("PATCH", _question(run, task_id), body)
            return None

        answered = self.until(ended, f"the end of {run.run_id}")
        assert answered is not None
        return answered


def _question(run: DagRun, task_id: str) -> str:
    return f"dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task_id}/-1/hitlDetails"


def day(text: str) -> Interval:
    """The interval of one day."""
    start = datetime.fromisoformat(f"{text}T00:00:00+00:00")
    return Interval(start, start + timedelta(days=1))


def without_role(harbour: Harbour, token: str) -> str:
    """A genuine token of somebody who may see nothing."""
    secret = (harbour.stack.airflow().folder / "jwt_secret").read_text().strip()
    claims = jwt.decode(token, secret, algorithms=["HS512"], options={"verify_aud": False})
    headers = {"kid": jwt.get_unverified_header(token)["kid"]}
    return jwt.encode({**claims, "sub": "eve", "role": None}, secret, "HS512", headers=headers)


def add_connection(client: AirflowClient, connection_id: str, url: str) -> None:
    """Keep a Postgres URL as an Airflow connection."""
    parts = psycopg2.extensions.parse_dsn(url)
    body = {
        "connection_id": connection_id,
        "conn_type": "postgres",
        "host": parts["host"],
        "login": parts["user"],
        "password": parts["password"],
        "schema": parts["dbname"],
        "port": int(parts["port"]),
    }
    client.request("POST", "connections", body)
