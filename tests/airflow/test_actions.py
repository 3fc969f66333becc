"""What verdicts set off on a real scheduler: held scores, releases, training, approval, and who is told.

The model ``surge`` holds its scores when they drift. The tests share its one stack and run in order.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rescore.local import DagRun
from tests.airflow.stack import PATIENCE, Harbour, day, without_role
from tests.shared.sinks import MailSink, WebSink, running

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning"),
]

CALM, HELD, REJECTED, OUTAGE, UNANSWERED = (f"2024-02-{number}" for number in (21, 22, 23, 24, 25))


def score(harbour: Harbour, text: str) -> DagRun:
    interval = day(text)
    bounds = {"interval_start": interval.start.isoformat(), "interval_end": interval.end.isoformat()}
    return harbour.trigger("score_surge", {**bounds, "retrain": "never"})


def run_of(harbour: Harbour, text: str) -> Any:
    return harbour.store.runs.latest("surge", 1, interval=day(text))[0]


def released(harbour: Harbour, text: str) -> list[tuple[str | None, str | None]]:
    published = harbour.store.publications.of_model("surge", day(text))
    return [(one.released_by, one.reason) for one in published]


@pytest.fixture(scope="module")
def mail() -> Iterator[MailSink]:
    with running(MailSink()) as sink:
        yield sink


@pytest.fixture(scope="module")
def web() -> Iterator[WebSink]:
    with running(WebSink()) as sink:
        yield sink


@pytest.fixture(scope="module")
def surge(harbour: Harbour, mail: MailSink, web: WebSink) -> Harbour:
    """A trained and pinned ``surge``; storms on three days, no moon on one."""
    connections = [
        {
            "connection_id": "smtp_default",
            "conn_type": "smtp",
            "host": "127.0.0.1",
            "port": mail.port,
            "extra": '{"disable_ssl": true, "disable_tls": true}',
        },
        {
            "connection_id": "chat",
            "conn_type": "http",
            "schema": "http",
            "host": "127.0.0.1",
            "port": web.port,
            "password": "s3cret",
        },
    ]
    for connection in connections:
        harbour.client.request("POST", "connections", connection)
    trained = harbour.trigger(
        "train_surge", {"as_of": "2024-02-01T00:00:00Z", "approve": "now", "reason": "the first package"}
    )
    assert trained.state == "success", harbour.log(trained, "package") + harbour.log(trained, "compare")
    pin = harbour.store.pins.current("surge")
    assert pin is not None and pin.evidence["comparison"]["comparison_id"] is None
    for storm in (HELD, REJECTED, UNANSWERED):
        harbour.execute(
            "UPDATE harbour.readings SET pressure = 900 + (pressure - 1000) * 1.5"
            " WHERE measured_at >= %s AND measured_at < %s",
            day(storm).start,
            day(storm).end,
        )
    harbour.execute(
        "UPDATE harbour.readings SET moon = NULL WHERE measured_at >= %s AND measured_at < %s",
        day(OUTAGE).start,
        day(OUTAGE).end,
    )
    harbour.client.unpause("score_surge")
    return harbour


@pytest.fixture(scope="module")
def unanswered(surge: Harbour) -> DagRun:
    """The release of held scores that nobody answers."""
    done = score(surge, UNANSWERED)
    assert done.state == "success"
    found = surge.states(done)
    assert (found["hold"], found["publish"]) == ("success", "skipped")
    return surge.until(
        lambda: harbour_runs(surge, "publish_surge", run_of(surge, UNANSWERED).run_id), "asking"
    )[0]


def harbour_runs(harbour: Harbour, dag_id: str, part: str) -> list[DagRun]:
    return [run for run in harbour.client.runs(dag_id) if part in run.run_id]


def test_drifted_scores_are_held_and_somebody_is_told(
    surge: Harbour, unanswered: DagRun, web: WebSink
) -> None:
    run = run_of(surge, UNANSWERED)
    assert (run.state, run.held, run.publication) == ("checked", True, None)
    details = surge.asked(unanswered, "release")
    assert UNANSWERED in details["subject"] and run.verdict in details["subject"]
    assert "| pressure |" in details["body"] and str(run.score_digest) in details["body"]
    [told] = [post for _, _, post in web.posts if post["event"] == "held"]
    assert told["data"]["run_id"] == run.run_id
    assert "pressure" in told["text"]


def test_scores_like_training_are_published_measured_and_reported(surge: Harbour) -> None:
    done = score(surge, CALM)
    assert done.state == "success"
    found = surge.states(done)
    assert (found["publish"], found["hold"]) == ("success", "skipped")
    run = run_of(surge, CALM)
    events = surge.client.request("GET", "assets/events", query={"limit": 100})["asset_events"]
    [published] = [event for event in events if event["extra"].get("run_id") == run.run_id]
    assert published["extra"]["verdict"] == run.verdict == "ok"
    assert published["extra"]["package_sha256"] == run.package_sha256

    def reported() -> list[dict[str, Any]]:
        events = surge.client.request("GET", "assets/events", query={"limit": 100})["asset_events"]
        mine = [event for event in events if event["source_dag_id"] == "monitor_surge"]
        return [event["extra"] for event in mine if event["extra"].get("run_id") == run.run_id]

    extra = surge.until(reported, "the monitor's event")[0]
    assert (extra["verdict"], extra["sentence"]) == ("ok", run.sentence)
    assert extra["performance"]["metric"] == "rmse" and extra["performance"]["rows"] == 72
    assert {feature["name"] for feature in extra["features"]} <= {"pressure", "moon", "wind", "score"}
    assert 0 < extra["p_value"] <= 1
    kept = surge.store.reports.performances(
        run
    )  # measured once; a second row holds the verdict on the last days
    assert {one.label_coverage for one in kept} == {1.0}


@pytest.fixture(scope="module")
def asked_for(surge: Harbour) -> DagRun:
    """The training that the monitor asked for, because rmse is worse than declared."""
    return surge.until(lambda: harbour_runs(surge, "train_surge", "monitor__2024-02-22"), "a training")[0]


def test_a_person_releases_held_scores(surge: Harbour, web: WebSink) -> None:
    score(surge, HELD)
    run = run_of(surge, HELD)
    release = surge.until(lambda: harbour_runs(surge, "publish_surge", run.run_id), "asking")[0]
    surge.asked(release, "release")
    answered = surge.answer(release, "release", "Approve", "a storm, and the scores are right")
    assert answered.state == "success", surge.log(answered, "release")
    assert released(surge, HELD) == [("admin", "a storm, and the scores are right")]
    with surge.store.database.transaction() as connection:
        shown = connection.exec_driver_sql(
            "SELECT DISTINCT released_by, reason, verdict FROM scores.surge WHERE run_id = %s", (run.run_id,)
        ).all()
    assert [tuple(row) for row in shown] == [("admin", "a storm, and the scores are right", run.verdict)]
    surge.until(
        lambda: [post for _, _, post in web.posts if post["event"] == "verdict"],
        "telling of what was published",
    )


def test_a_rejected_run_stays_unpublished_until_somebody_gives_a_reason(surge: Harbour) -> None:
    score(surge, REJECTED)
    run = run_of(surge, REJECTED)
    release = surge.until(lambda: harbour_runs(surge, "publish_surge", run.run_id), "asking")[0]
    surge.asked(release, "release")
    assert surge.answer(release, "release", "Reject", "not before I have seen it").state == "failed"
    log = surge.log(release, "release")
    assert "admin rejected run" in log and "not before I have seen it" in log
    assert (released(surge, REJECTED), run_of(surge, REJECTED).state) == ([], "checked")

    by_hand = surge.trigger("publish_surge", {"run_id": run.run_id, "reason": "seen it"})
    assert by_hand.state == "success", surge.log(by_hand, "release")
    assert released(surge, REJECTED) == [("admin", "seen it")]


def test_an_outage_fails_is_mailed_and_can_be_released(surge: Harbour, mail: MailSink) -> None:
    failed = score(surge, OUTAGE)
    assert failed.state == "failed"
    assert surge.states(failed)["drift"] == "failed"
    run = run_of(surge, OUTAGE)
    assert run.state == "stopped"
    told = surge.until(
        lambda: [m for m in mail.messages if "score_surge: drift failed" in m["Subject"]], "a mail"
    )
    assert "moon" in str(told[0].get_body(("html",)).get_content())  # type: ignore[union-attr]
    by_hand = surge.trigger("publish_surge", {"run_id": run.run_id, "reason": "the moon does not matter"})
    assert by_hand.state == "success", surge.log(by_hand, "release")
    assert released(surge, OUTAGE) == [("admin", "the moon does not matter")]


def test_only_who_may_run_the_dag_releases_and_only_this_models_runs(surge: Harbour) -> None:
    airflow = surge.stack.airflow()
    body = {"logical_date": None, "conf": {"run_id": "x", "reason": "mine"}}
    answers = [
        httpx.post(
            f"{airflow.url}/api/v2/dags/publish_surge/dagRuns",
            json=body,
            headers=headers,
            trust_env=False,
            timeout=PATIENCE,
        ).status_code
        for headers in ({}, {"Authorization": f"Bearer {without_role(surge, airflow.token())}"})
    ]
    assert answers == [401, 403]
    mine = run_of(surge, CALM).run_id
    wrong = [
        ("publish_tides", {"run_id": mine, "reason": "mine"}, "trigger publish_surge"),
        ("publish_surge", {"reason": "mine"}, "no run is named"),
        ("publish_surge", {"run": mine}, "did you mean 'run_id'"),
        ("publish_surge", {"run_id": mine, "reason": "again"}, "is published already"),
    ]
    runs = [surge.client.trigger(dag_id, conf=conf) for dag_id, conf, _ in wrong]
    for done, (_, _, says) in zip(surge.client.wait_all(runs, seconds=400), wrong, strict=True):
        assert done.state == "failed"
        assert says in surge.log(done, "release")


def test_a_challenger_is_rejected_or_approved_on_the_comparison(surge: Harbour, web: WebSink) -> None:
    first = surge.store.pins.current("surge")
    assert first is not None
    runs = {
        as_of: surge.client.trigger("train_surge", conf={"as_of": f"{as_of}T00:00:00Z"})
        for as_of in ("2024-02-20", "2024-02-21")
    }
    details = surge.asked(runs["2024-02-20"], "approval")
    assert "**By rule: no.**" in details["body"]
    assert f"champion {first.version}" in details["body"] and "rmse" in details["body"]
    assert "/rescore/score_surge/comparisons/" in details["body"]
    rejected = surge.answer(runs["2024-02-20"], "approval", "Reject", "no gain")
    assert rejected.state == "success", surge.log(rejected, "approval")
    assert surge.states(rejected)["pin"] == "skipped"
    assert surge.store.pins.current("surge") == first

    surge.asked(runs["2024-02-21"], "approval")
    approved = surge.answer(runs["2024-02-21"], "approval", "Approve", "it knows February")
    assert approved.state == "success", surge.log(approved, "pin")
    pin = surge.store.pins.current("surge")
    assert pin is not None and (pin.who, pin.why) == ("admin", "it knows February")
    comparison = pin.evidence["comparison"]
    assert comparison["champion"] == first.sha256 and comparison["by_rule"] is False
    assert pin.evidence["replaces"]["sha256"] == first.sha256
    assert surge.store.comparisons.get(comparison["comparison_id"]).challenger_sha256 == pin.sha256
    assert pin.evidence["approval"]["how"] == "chose Approve in Airflow"
    told = [post["data"]["package"]["sha256"] for _, _, post in web.posts if post["event"] == "approval"]
    assert pin.sha256 in told


def test_a_champion_that_was_tampered_with_is_no_reason_to_promote(surge: Harbour) -> None:
    champion = surge.store.pins.current("surge")
    assert champion is not None
    digest = champion.sha256.removeprefix("sha256:")
    archive = Path(surge.stack.settings.archive)
    [file] = [path for path in archive.rglob("*.whl") if digest in str(path)]
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        run = surge.client.trigger("train_surge", conf={"as_of": "2024-02-19T00:00:00Z"})
        body = surge.asked(run, "approval")["body"]
    finally:
        file.write_bytes(whole)
    assert "can't be compared with the package that scores" in body
    assert "By rule: yes" not in body
    assert surge.answer(run, "approval", "Reject", "the champion is broken").state == "success"
    assert surge.store.pins.current("surge") == champion


def test_the_page_shows_verdicts_releases_pictures_and_comparisons(surge: Harbour) -> None:
    airflow = surge.stack.airflow()
    headers = {"Authorization": f"Bearer {airflow.token()}"}

    def page(path: str) -> httpx.Response:
        return httpx.get(f"{airflow.url}/rescore/{path}", headers=headers, trust_env=False, timeout=PATIENCE)

    shown = page("score_surge")
    assert shown.status_code == 200
    for words in ("admin: seen it", "the moon does not matter", f"{CALM} 00:00 to", "held"):
        assert words in shown.text
    assert shown.text.count('<svg viewBox="0 0 1000 150"') >= 3
    assert not [one for one in ("<script", "http://", "https://") if one in shown.text]
    held = run_of(surge, UNANSWERED).run_id
    assert f'href="./score_surge/runs/{held}"' in shown.text
    of_run = page(f"score_surge/runs/{held}")
    assert "To publish it all the same" in of_run.text and "publish_surge" in of_run.text

    [number] = [row.comparison_id for row in surge.store.comparisons.of_model("surge")][:1]
    assert f'href="./score_surge/comparisons/{number}"' in shown.text
    compared = page(f"score_surge/comparisons/{number}")
    assert compared.status_code == 200 and "By the declared rule" in compared.text
    assert compared.text.count("<svg") >= 3 and "<script" not in compared.text
    assert page(f"score_tides/comparisons/{number}").status_code == 404, "a right to one model only"


def test_no_answer_is_no_and_nothing_is_asked_for_in_a_loop(
    surge: Harbour, unanswered: DagRun, asked_for: DagRun
) -> None:
    done = surge.client.wait("publish_surge", unanswered.run_id, seconds=400)
    assert done.state == "failed"
    assert "nobody answered" in surge.log(done, "release")
    assert released(surge, UNANSWERED) == []
    training = surge.client.wait("train_surge", asked_for.run_id, seconds=400)
    assert training.state == "success"
    assert surge.states(training)["pin"] == "skipped"
    assert "nobody answered" in surge.log(training, "approval")
    # Four intervals were published meanwhile, each with a reason to train; one training was asked for.
    [asked_once] = surge.store.retrainings.of_model("surge")
    assert "beyond chance" in asked_once.reason
    assert len(harbour_runs(surge, "train_surge", "monitor__")) == 1
