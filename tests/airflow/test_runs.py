"""DAG runs on a real scheduler: every way of starting one gives the same scores, every failure says why.

The tests share one stack and one pinned package, so they leave their runs behind, and run in order.
"""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg2
import pytest

from rescore.interval import Interval
from rescore.local import DagRun, LocalPostgres
from tests.airflow.stack import PATIENCE, Harbour, day

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

FIRST = {"as_of": "2024-02-01T00:00:00Z", "approve": "now", "reason": "the first package"}


def params(interval: Interval, **more: Any) -> dict[str, Any]:
    return {"interval_start": interval.start.isoformat(), "interval_end": interval.end.isoformat(), **more}


def tries(harbour: Harbour, run: DagRun, task_id: str) -> int:
    return max(t.try_number for t in harbour.client.tasks(run.dag_id, run.run_id) if t.task_id == task_id)


def end_of(log: str) -> str:
    """The last lines of a task's log, without Airflow's own frame."""
    lines = [line for line in log.splitlines() if not line.startswith("::")]
    return "\n".join(lines[-6:])


def digests(harbour: Harbour, interval: Interval) -> list[str]:
    """Score digests of every run of the interval that was published at some time, in order."""
    found = [
        run for run in harbour.store.runs.latest("tides", 200) if run.interval == interval and run.publication
    ]
    return [str(run.score_digest) for run in sorted(found, key=lambda run: run.publication.sequence)]


@pytest.fixture(scope="module")
def pinned(harbour: Harbour) -> DagRun:
    """A package, trained by the DAG and approved by who started it; scoring is not paused."""
    harbour.client.unpause("score_tides")
    run = harbour.trigger("train_tides", FIRST)
    assert run.state == "success", harbour.log(run, "package") + harbour.log(run, "snapshot")
    return run


def test_an_asset_is_waited_for(harbour: Harbour) -> None:
    # First of all: the scores that it waits for must not be there yet. The last test sees the end.
    harbour.client.unpause("score_ebb")
    run = harbour.client.trigger("score_ebb", conf=params(day("2024-02-02")), run_id="waits")
    harbour.until(lambda: harbour.states(run)["ready"] == "deferred", "waiting for the asset")


def test_a_wrong_param_fails_at_once_and_the_log_ends_with_the_fix(harbour: Harbour) -> None:
    client = harbour.client
    client.unpause("score_tides")
    six = {"interval_start": "2024-02-02T06:00:00Z", "interval_end": "2024-02-03T06:00:00Z"}
    wrong = [
        ({"intervall_start": "2024-02-02T00:00:00Z"}, "did you mean 'interval_start'?"),
        ({}, "trigger it again with both Params"),
        (six, "name an interval by both its bounds"),
    ]
    runs = client.wait_all([client.trigger("score_tides", conf=conf) for conf, _ in wrong], seconds=900)
    for run, (_, fix) in zip(runs, wrong, strict=True):
        assert run.state == "failed"
        assert tries(harbour, run, "ready") == 1, "trying again can't help"
        assert fix in end_of(harbour.log(run, "ready")).splitlines()[-1]
        assert set(harbour.states(run).values()) == {"failed", "upstream_failed"}


def test_who_starts_a_training_with_a_reason_pins(harbour: Harbour, pinned: DagRun) -> None:
    pin = harbour.store.pins.current("tides")
    assert pin is not None
    assert (pin.who, pin.why) == ("admin", "the first package")
    assert pin.evidence["package"]["sha256"] == pin.sha256
    assert pin.evidence["approval"]["how"] == "started the run with approve: now"


def test_the_scheduler_scores_the_latest_interval_once_the_source_is_ready(
    harbour: Harbour, pinned: DagRun
) -> None:
    client = harbour.client

    def scheduled() -> list[DagRun]:
        return [run for run in client.runs("score_tides") if run.run_type == "scheduled"]

    run = harbour.until(scheduled, "a scheduled run")[0]
    assert run.interval_start is not None and run.interval_end is not None
    assert timedelta(0) <= datetime.now(UTC) - run.interval_end < timedelta(days=1)
    harbour.until(lambda: harbour.states(run)["ready"] == "deferred", "waiting without a worker")
    harbour.execute("INSERT INTO harbour.loaded VALUES (%s)", run.interval_end)
    assert client.wait("score_tides", run.run_id, seconds=900).finished
    # Days of today are like no day of training, so the run may stop as an outage; its rows are right.
    mine = [one for one in harbour.store.runs.latest("tides", 50) if one.interval.end == run.interval_end]
    assert mine[0].rows_extracted == 72
    harbour.execute("DELETE FROM harbour.loaded WHERE loaded_until > '2024-02-20'")


def test_every_way_of_starting_a_run_gives_the_same_scores(harbour: Harbour, pinned: DagRun) -> None:
    client, interval = harbour.client, day("2024-02-02")
    backfilled = client.backfill("score_tides", interval.start, day("2024-02-03").start)
    assert [run.interval_start for run in backfilled] == [day("2024-02-02").start, day("2024-02-03").start]
    assert {run.state for run in client.wait_all(backfilled, seconds=900)} == {"success"}
    # As the UI does it: the present moment as logical date, the interval in the Params.
    by_page = harbour.trigger("score_tides", params(interval), logical_date=datetime.now(UTC))
    assert by_page.state == "success"
    # What was frozen before a later run took the interval over is not brought back; it can be frozen anew.
    client.clear_task("score_tides", backfilled[0].run_id, "score")
    assert client.wait("score_tides", backfilled[0].run_id, seconds=900).state == "failed"
    assert len(digests(harbour, interval)) == 2
    client.clear_task("score_tides", backfilled[0].run_id, "extract")
    assert client.wait("score_tides", backfilled[0].run_id, seconds=900).state == "success"

    found = digests(harbour, interval)
    assert len(found) == 3
    assert len(set(found)) == 1
    current = harbour.store.runs.published("tides", interval)
    assert [run.airflow["run_id"] for run in current if run.airflow] == [backfilled[0].run_id]


def test_the_publication_is_an_asset_event_and_ends_the_waiting(harbour: Harbour, pinned: DagRun) -> None:
    events = harbour.client.request("GET", "assets/events", query={"limit": 100})["asset_events"]
    newest = max(
        (event for event in events if event["source_task_id"] == "publish"), key=lambda one: one["timestamp"]
    )
    run = harbour.store.runs.get(newest["extra"]["run_id"])
    assert newest["extra"]["score_digest"] == run.score_digest
    assert newest["extra"]["package_sha256"] == run.package_sha256
    assert newest["extra"]["rows"] == run.rows_scored
    waiting = harbour.client.run("score_ebb", "waits")
    harbour.until(lambda: harbour.states(waiting)["ready"] == "success", "the end of the waiting")


def test_a_retraining_waits_for_a_person_and_the_scoring_for_both(harbour: Harbour, pinned: DagRun) -> None:
    client, interval = harbour.client, day("2024-02-15")
    first = harbour.store.pins.current("tides")
    assert first is not None
    run = client.trigger("score_tides", conf=params(interval, retrain="always", wait=True))
    training = harbour.until(
        lambda: [one for one in client.runs("train_tides") if one.run_id.startswith("score__2024-02-15")],
        "the training",
    )[0]
    asked = harbour.asked(training, "approval")
    assert harbour.states(run)["extract"] is None
    assert asked["options"] == ["Approve", "Reject"]
    assert asked["defaults"] == ["Reject"]
    assert first.version in asked["body"] and "rmse" in asked["body"]
    harbour.answer(training, "approval", "Approve", "it knows February too")
    assert client.wait("score_tides", run.run_id, seconds=900).state == "success"
    pin = harbour.store.pins.current("tides")
    assert pin is not None and pin.pin_id > first.pin_id
    assert (pin.who, pin.why) == ("admin", "it knows February too")
    assert harbour.store.runs.published("tides", interval)[0].package_sha256 == pin.sha256


def test_failures_of_the_source_publish_nothing(harbour: Harbour, pinned: DagRun) -> None:
    client = harbour.client
    harbour.execute(
        "INSERT INTO harbour.readings SELECT * FROM harbour.readings"
        " WHERE gauge = 1 AND measured_at = '2024-02-07 05:00Z'"
    )
    twice = harbour.trigger("score_tides", params(day("2024-02-07")))
    assert twice.state == "failed"
    assert tries(harbour, twice, "extract") == 1, "trying again can't help"
    assert "fix:" in end_of(harbour.log(twice, "extract"))
    assert harbour.states(twice)["publish"] == "upstream_failed"

    harbour.execute(  # other tests read that day, too
        "DELETE FROM harbour.readings a USING harbour.readings b WHERE a.ctid > b.ctid"
        " AND (a.gauge, a.reading) = (b.gauge, b.reading)"
    )

    connection = {"connection_id": "harbour", "conn_type": "postgres"}
    port = client.request("GET", "connections/harbour")["port"]
    only_port = {"update_mask": "port"}
    client.request("PATCH", "connections/harbour", {**connection, "port": 1}, query=only_port)
    try:
        down = harbour.trigger("score_tides", params(day("2024-02-06")))
    finally:
        client.request("PATCH", "connections/harbour", {**connection, "port": port}, query=only_port)
    assert down.state == "failed"
    assert tries(harbour, down, "ready") == 2, "a database that is down is tried again"
    assert "fix:" in end_of(harbour.log(down, "ready"))

    assert digests(harbour, day("2024-02-06")) == digests(harbour, day("2024-02-07")) == []


def test_published_runs_are_derived_again_and_a_changed_score_is_found(
    harbour: Harbour, pinned: DagRun, postgres_server: LocalPostgres
) -> None:
    client = harbour.client
    asked = [
        {"model": "tides", "day": "2024-02-03"},
        {"model": "tides", "day": "2023-02-03"},
    ]
    same, missing = client.wait_all([client.trigger("reproduce", conf=conf) for conf in asked], seconds=900)
    assert same.state == "success", harbour.log(same, "reproduce", 0)
    assert missing.state == "failed"
    assert "no run of tides is published" in harbour.log(missing, "choose")

    run_id = harbour.store.runs.published("tides", day("2024-02-03"))[0].run_id
    with closing(psycopg2.connect(postgres_server.url("airflow_store"))) as forger, forger.cursor() as cursor:
        # The store refuses this to everyone who does not switch its triggers off: a superuser alone can.
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "UPDATE rescore.scores_tides SET score = score + 1e-9 WHERE run_id = %s AND gauge = 2", (run_id,)
        )
        forger.commit()
    changed = harbour.trigger("reproduce", {"run_id": run_id})
    assert changed.state == "failed"
    assert "the rows in the score table are not those that were published" in harbour.log(
        changed, "reproduce", 0
    )


def test_the_page_shows_the_pin_and_the_runs(harbour: Harbour, pinned: DagRun) -> None:
    airflow = harbour.stack.airflow()
    headers = {"Authorization": f"Bearer {airflow.token()}"}

    def page(path: str) -> str:
        address = f"{airflow.url}/rescore/score_tides{path}"
        return httpx.get(address, headers=headers, trust_env=False, timeout=PATIENCE).text

    pin = harbour.store.pins.current("tides")
    assert pin is not None
    shown = page("")
    assert pin.version in shown and pin.why in shown
    assert "2024-02-02 00:00 to 2024-02-03 00:00" in shown
    [published, *_] = harbour.store.runs.published("tides", day("2024-02-02"))
    of_run = page(f"/runs/{published.run_id}")
    assert str(published.package_sha256) in of_run and str(published.input_digest) in of_run
    failed = [run for run in harbour.store.history.runs("tides") if run.state == "failed"]
    assert any("fix:" in page(f"/runs/{run.run_id}") for run in failed)
