"""People are told: by Airflow's e-mail notifier and by a webhook, to servers that really listen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from rescore.errors import SettingsError, SpecError
from rescore.folder import load_model
from rescore_airflow.dags import score_dag
from rescore_airflow.notify import tell_of_performance, tell_of_scores, tell_of_verdicts
from rescore_airflow.notify.messages import Message, on_failure, tell
from tests.shared.harbour import MODELS
from tests.shared.sinks import MailSink, WebSink, running

MAIL = {
    "notifier": "airflow.providers.smtp.notifications.smtp.SmtpNotifier",
    "events": ["failed", "verdict"],
    "arguments": {"to": "ops@harbour.test", "from_email": "rescore@harbour.test"},
}
HOOK = {
    "notifier": "rescore_airflow.notify.webhook.WebhookNotifier",
    "arguments": {"conn_id": "chat", "endpoint": "/rooms/7"},
}


@pytest.fixture
def mail(monkeypatch: pytest.MonkeyPatch) -> Iterator[MailSink]:
    with running(MailSink()) as sink:
        plain = "disable_ssl=true&disable_tls=true"
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", f"smtp://127.0.0.1:{sink.port}?{plain}")
        yield sink


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebSink]:
    with running(WebSink()) as sink:
        monkeypatch.setenv("AIRFLOW_CONN_CHAT", f"http://:s3cret@127.0.0.1:{sink.port}/http")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield sink


@pytest.fixture
def declare(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let ``tides`` declare notifiers."""

    def declare(*notify: dict[str, Any]) -> dict[str, Any]:
        folder = tmp_path / "models"
        shutil.copytree(models, folder)
        file = folder / "tides" / "model.yaml"
        spec = yaml.safe_load(file.read_text())
        spec["airflow"]["notify"] = list(notify)
        file.write_text(yaml.safe_dump(spec))
        monkeypatch.setenv("RESCORE_MODELS", str(folder))
        return {"dag": score_dag("tides"), "run_id": "manual__1"}

    return declare


def what_to_do(section: str) -> str:
    """How each message ends."""
    return f"\n\nWhat to do: docs/guides/runbooks.md#{section}"


def message(event: str = "verdict", text: str = "the pressure fell\nby 5 hPa") -> Message:
    return Message(event, "tides", "tides: scores\nare drifted", text, {"run_id": "r1"})


def test_mail_and_webhook_say_what_there_is_to_say(declare: Any, mail: MailSink, web: WebSink) -> None:
    assert tell(message(text="<script>alert(1)</script> & more"), declare(MAIL, HOOK)) == 2

    [sent] = mail.messages
    assert (sent["To"], sent["From"]) == ("ops@harbour.test", "rescore@harbour.test")
    assert sent["Subject"] == "tides: scores are drifted"
    body = sent.get_body(("html",))
    assert body is not None
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in body.get_content()
    [(path, headers, posted)] = web.posts
    assert path == "/rooms/7"
    assert headers["Authorization"] == "Bearer s3cret"
    assert posted["text"] == "<script>alert(1)</script> & more" + what_to_do("drifted")
    assert (posted["event"], posted["model"], posted["data"]) == ("verdict", "tides", {"run_id": "r1"})


def test_who_listens_to_other_events_is_not_told(declare: Any, mail: MailSink, web: WebSink) -> None:
    assert tell(message("approval"), declare(MAIL, HOOK)) == 1
    assert (len(mail.messages), len(web.posts)) == (0, 1)


def test_the_arguments_are_templates(declare: Any, web: WebSink) -> None:
    payload = {"title": "{{ rescore.model | upper }} {{ rescore.event }}", "by": "{{ dag.dag_id }}"}
    arguments = {"url": f"http://127.0.0.1:{web.port}/x", "payload": payload, "headers": {"X-Room": "7"}}
    tell(message(), declare({**HOOK, "arguments": arguments}))
    [(path, headers, posted)] = web.posts
    assert (path, headers["X-Room"]) == ("/x", "7")
    assert posted == {"title": "TIDES verdict", "by": "score_tides"}


def test_one_that_is_deaf_keeps_nobody_else_from_hearing(declare: Any, mail: MailSink, web: WebSink) -> None:
    web.status = 500
    unknown = {**HOOK, "arguments": {"conn_id": "chat", "colour": "red"}}
    with pytest.raises(SettingsError, match="2 of 3 notifiers failed") as caught:
        tell(message(), declare(HOOK, unknown, MAIL))
    assert "answered 500" in str(caught.value) and "colour" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert len(mail.messages) == 1


def test_a_failure_is_told_with_its_reason_and_never_raises(
    declare: Any, mail: MailSink, web: WebSink, caplog: pytest.LogCaptureFixture
) -> None:
    context = declare(MAIL)
    context |= {
        "ti": SimpleNamespace(task_id="extract", try_number=2),
        "exception": SpecError("model.yaml has 1 problem", fix="mend it"),
    }
    on_failure(context)
    rows = {"map_index": 3, "rendered_map_index": "rows 10 to 19"}
    shard = SimpleNamespace(task_id="score", try_number=3, **rows)
    on_failure(context | {"ti": shard})
    [sent, of_shard] = mail.messages
    assert of_shard["Subject"] == "score_tides: score 3 rows 10 to 19 failed: model.yaml has 1 problem"
    assert sent["Subject"] == "score_tides: extract failed: model.yaml has 1 problem"
    body = sent.get_body(("html",))
    assert body is not None and "mend it" in body.get_content()
    assert "What to do: docs/guides/runbooks.md#failed" in body.get_content()
    mail.shutdown()
    mail.server_close()
    on_failure(context)
    assert "not every notifier was told" in caplog.text


class StateOfATask(dict[str, Any]):
    """What Airflow keeps beside a task through tries and clearings."""

    set = dict.__setitem__


def test_a_task_that_runs_again_tells_only_who_was_not_told(
    declare: Any, mail: MailSink, web: WebSink
) -> None:
    state = StateOfATask()
    context = declare(HOOK, MAIL) | {"task_state_store": state}
    web.status = 500
    with pytest.raises(SettingsError, match="1 of 2 notifiers failed"):
        tell(message(), context)
    web.status = 200
    assert tell(message(), context) == 1, "the webhook, which did not hear of it"
    assert tell(message(), context) == 0
    assert (len(mail.messages), len(web.posts)) == (1, 2)
    assert tell(message(text="another day"), context) == 2
    question = replace(message(), once=False)
    assert [tell(question, context), tell(question, context)] == [2, 2], "put again, it is told again"
    state.clear()
    assert tell(message(), context) == 2, "as somebody asked for"


def test_the_monitor_tells_of_new_verdicts_once(declare: Any, web: WebSink) -> None:
    context = declare(HOOK)

    def run(verdict: str, acts: bool) -> dict[str, Any]:
        return {"interval": "a/b", "verdict": verdict, "sentence": "why", "acts": acts}

    state = {"model": "tides", "runs": [run("drifted", True), run("ok", False)], "performance": None}
    assert tell_of_verdicts({**state, "new": False}, context) == 0, "the daily look repeats nothing"
    assert tell_of_verdicts({**state, "new": True, "runs": [run("ok", False)]}, context) == 0
    performance = {"metric": "rmse", "value": 0.25, "until": "2024-02-03", "rows": 504}
    assert tell_of_verdicts({**state, "new": True, "performance": performance}, context) == 1
    [(_, _, posted)] = web.posts
    assert posted["subject"] == "tides: scores of a/b are drifted"
    assert posted["text"].splitlines() == [
        "a/b: drifted: why",
        "rmse of the week until 2024-02-03: 0.25, 504 labelled rows",
        *what_to_do("drifted").removeprefix("\n").splitlines(),
    ]


def test_an_alarm_is_told_whatever_the_model_acts_on_and_once(
    declare: Any, mail: MailSink, web: WebSink
) -> None:
    """Who listens to verdicts alone hears of it where the model acts at alarms."""

    def state(verdict: str, acts: bool) -> dict[str, Any]:
        run = {
            "interval": "a/b",
            "verdict": verdict,
            "sentence": "why",
            "acts": acts,
            "alarm": "Alarm since x",
        }
        return {"model": "tides", "runs": [run], "performance": None, "tells": False, "new": True}

    context = declare(MAIL, HOOK)
    assert tell_of_scores(state("ok", False), context) == 1
    assert tell_of_scores(state("ok", True), context) == 2
    assert tell_of_scores({**state("ok", True), "new": False}, context) == 0
    first, second = (posted for _, _, posted in web.posts)
    assert first["text"] == second["text"]
    assert (first["event"], first["subject"]) == ("alarm", "tides: alarm at the scores of a/b")
    assert first["text"] == "a/b: Alarm since x\nok: why" + what_to_do("alarm")
    [sent] = mail.messages
    assert sent["Subject"] == "tides: alarm at the scores of a/b"


def test_a_verdict_that_is_not_heard_keeps_nobody_from_hearing_of_performance(
    declare: Any, web: WebSink
) -> None:
    unknown = {**HOOK, "events": ["verdict"], "arguments": {"conn_id": "chat", "colour": "red"}}
    context = declare(unknown, {**HOOK, "events": ["performance"]})
    drifted = {"interval": "a/b", "verdict": "drifted", "sentence": "why", "acts": True}
    performance = {"metric": "rmse", "value": 9.0, "until": "u", "rows": 72, "verdict": "ok", "sentence": "s"}
    state = {"model": "tides", "runs": [drifted], "new": True, "performance": performance, "tells": True}
    with pytest.raises(SettingsError, match="colour"):
        tell_of_scores(state, context)
    [(_, _, posted)] = web.posts
    assert posted["subject"] == "tides: does worse than in training"


def test_the_monitor_tells_of_performance_where_the_measurement_says_so(declare: Any, web: WebSink) -> None:
    context = declare(HOOK)
    performance = {
        "metric": "rmse",
        "value": 121.0,
        "verdict": "worse",
        "sentence": "rmse is 121, worse than 12",
    }
    state = {"model": "tides", "runs": [], "measured": 2, "performance": performance, "tells": True}
    assert tell_of_performance({**state, "tells": False}, context) == 0
    assert tell_of_performance({**state, "performance": None, "tells": False}, context) == 0
    assert tell_of_performance(state, context) == 1
    [(_, _, posted)] = web.posts
    assert (posted["subject"], posted["text"]) == (
        "tides: realised rmse is worse than it may be",
        "rmse is 121, worse than 12" + what_to_do("performance"),
    )


def test_a_platform_wide_file_is_heard_by_every_model(
    models: Path, web: WebSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "notify.yaml"
    file.write_text(yaml.safe_dump([{**HOOK, "events": ["held"]}]))
    monkeypatch.setenv("RESCORE_NOTIFY", str(file))
    assert tell(message("held"), {"dag": score_dag("tides")}) == 1
    assert tell(message("verdict"), {"dag": score_dag("tides")}) == 0
    monkeypatch.setenv("RESCORE_NOTIFY", str(tmp_path / "nowhere.yaml"))
    with pytest.raises(SettingsError, match="RESCORE_NOTIFY"):
        tell(message(), {"dag": score_dag("tides")})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"notifier": "SmtpNotifier"}, "airflow.notify.0.notifier"),
        ({"notifier": "a.B", "events": ["drift"]}, "airflow.notify.0.events.0"),
        ({"notifier": "a.B", "events": []}, "airflow.notify.0.events"),
        ({"use": "a.B"}, "airflow.notify.0.notifier: missing"),
    ],
)
def test_a_wrong_declaration_is_named(declare: Any, tmp_path: Path, wrong: Any, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        declare(wrong)
    assert says in str(caught.value)
    assert load_model(MODELS, "tides").spec.airflow.notify == []
