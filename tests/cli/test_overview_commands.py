"""Commands over many models: what they print at 80 columns, what scripts read, and how they end."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import typer
from rich.console import Console

from rescore.cli import app, main, terminal
from rescore.cli.examples import EXAMPLE_OF
from rescore.cli.help_panels import EXAMPLES, PANELS
from rescore.local import LocalPostgres
from tests.shared.command_line import accepted
from tests.shared.fleet import Fleet
from tests.shared.fleet_by_command import fleet_by_command


@pytest.fixture(scope="module")
def fleet(postgres_server: LocalPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with fleet_by_command(postgres_server, "cli_fleet", tmp_path_factory.mktemp("fleet")) as (fleet, _):
        yield fleet


@pytest.fixture(autouse=True)
def console(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A console of this test's own output; of 80 columns, where a test asks for ``narrow``."""
    width = 80 if "narrow" in request.fixturenames else 120
    for module in ("terminal", "overview"):
        monkeypatch.setattr(f"rescore.cli.{module}.stdout", Console(highlight=False, width=width))


@pytest.fixture
def narrow() -> None:
    """A terminal of 80 columns."""


def run(arguments: list[str]) -> None:
    """A command as it is typed; what exits with another code than 0 raises."""
    app(arguments, standalone_mode=False)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


@pytest.mark.usefixtures("narrow")
def test_models_fit_80_columns_the_worst_first(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    run(["models"])
    shown = lines(capsys)
    assert shown[0].startswith("8 models: 1 outage, 1 held, ")
    assert max(map(len, shown)) <= 80
    named = [
        line.split()[:2]
        for line in shown
        if line.split()
        and line.split()[0] in {"outage", "held", "late", "ok", "alarm", "performance", "labels"}
    ]
    assert named[0] == ["outage", "fraud_transfer"] and named[1] == ["held", "flight_delay"]
    assert len(named) == 8
    assert any("package" in line and "held" in line for line in shown), (
        "only what the state says too is left out"
    )


def test_a_script_reads_what_is_late_and_why(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    run(["models", "--only", "outage", "--json"])
    [one] = json.loads(capsys.readouterr().out)
    assert (one["model"], one["state"]) == ("fraud_transfer", "outage")
    told = {row.model: row for row in fleet.store.history.status()}["fraud_transfer"]
    assert told.due_at is not None
    assert (one["late"], one["usable"], one["why"]) == (told.late, told.usable, told.why)
    assert one["due_at"] == told.due_at.isoformat(), "what consumers are told in scores.status"
    assert "missing in 100 %" in one["sentence"]


@pytest.mark.usefixtures("narrow")
def test_runs_keep_their_ids_in_a_narrow_terminal(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    run(["runs", "fraud_transfer"])
    shown = lines(capsys)
    latest = fleet.store.runs.latest("fraud_transfer", 1)[0]
    assert any(latest.run_id in line and "outage" in line for line in shown)
    assert "for lack of room without" in " ".join(shown)
    assert max(len(line) for line in shown if not line.startswith(("for lack", latest.run_id))) <= 80


def test_backfill_lists_what_has_no_scores(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    done = {one.interval for one in fleet.store.runs.published("loan_default")}
    first, last = min(one.start for one in done), max(one.end for one in done)
    window = ["--start", first.isoformat(), "--end", last.isoformat()]
    run(["backfill", "loan_default", *window, "--dry-run", "--json"])
    [gap] = json.loads(capsys.readouterr().out)
    assert gap["interval"] not in {str(one) for one in done}
    run(["backfill", "loan_default", *window, "--again", "--dry-run", "--json"])
    assert len(json.loads(capsys.readouterr().out)) == len(done) + 1
    end = min(one.end for one in done)
    run(
        [
            "backfill",
            "loan_default",
            "--start",
            (end - timedelta(days=1)).isoformat(),
            "--end",
            end.isoformat(),
        ]
    )
    assert "every interval of the window has scores" in capsys.readouterr().out


@pytest.mark.slow
def test_backfill_goes_on_after_a_failure_and_exits_1(
    fleet: Fleet, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source is configured nowhere, so each interval fails by itself."""
    monkeypatch.setattr("rescore.progress._SECONDS_BETWEEN_LINES", 0.0)  # however fast the machine is
    done = sorted(one.interval for one in fleet.store.runs.published("churn_retail"))
    window = ["--start", done[0].start.isoformat(), "--end", done[1].end.isoformat()]
    with pytest.raises(SystemExit) as ended:
        run(["backfill", "churn_retail", *window, "--again", "--json"])
    assert ended.value.code == 1
    said = capsys.readouterr()
    rows = json.loads(said.out)
    assert [row["state"] for row in rows] == ["failed", "failed"]
    assert "RESCORE_CONNECTION_BANK" in rows[1]["problem"]
    assert "churn_retail: 1 of 2 done, about" in said.err, "how long the rest may take"
    with pytest.raises(SystemExit):
        run(["backfill", "churn_retail", *window, "--again"])
    shown = capsys.readouterr().out
    assert (
        shown.count("RESCORE_CONNECTION_BANK") == len(rows[0]["problem"].split("RESCORE_CONNECTION_BANK")) - 1
    )
    assert f"the same of 1 more, the last {done[1]}" in shown, "a problem is told once"


def test_retraining_that_is_not_due_says_why(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    run(["retrain", "loan_default", "--if-due", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert answer["due"] is False and "no declared reason holds" in answer["reason"]


def test_doctor_names_each_fault_with_its_remedy_and_exits_1(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RESCORE_DATABASE_URL", fleet.store.database.url)
    with pytest.raises(SystemExit) as ended:
        run(["doctor", "--json"])
    assert ended.value.code == 1
    found = {one["about"]: one for one in json.loads(capsys.readouterr().out)}
    assert found["versions"]["state"] == "ok" and "numpy" in found["versions"]["said"]
    assert (
        found["airflow"]["state"] == "ok" and "plugin and provider are registered" in found["airflow"]["said"]
    )
    assert found["store"]["state"] == "warning" and "superuser" in found["store"]["said"]
    assert re.search(r"Postgres \d+\.\d+, schema \d{4}", found["store"]["said"])
    assert found["model loan_default"]["state"] == "ok"
    assert (
        found["source bank"]["state"] == "fault" and "RESCORE_CONNECTION_BANK" in found["source bank"]["fix"]
    )
    assert found["scores of loan_default"]["state"] == "ok"
    assert found["archive of loan_default"]["state"] == "fault", "no file of its package is in the archive"
    with pytest.raises(SystemExit):
        run(["doctor"])
    assert "FAULT" in capsys.readouterr().out


def test_a_folder_that_is_wrong_keeps_no_command_from_the_others(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RESCORE_DATABASE_URL", fleet.store.database.url)
    models = tmp_path / "models"
    models.mkdir()
    (models / "loan_default").symlink_to(Path(os.environ["RESCORE_MODELS"]) / "loan_default")
    for name in (os.fsdecode(b"a\xff\xfeb"), "a line\nbroken"):
        (models / name).mkdir()
        (models / name / "model.yaml").write_text("name: tides\n")
    monkeypatch.setenv("RESCORE_MODELS", str(models))
    with pytest.raises(SystemExit):
        run(["doctor", "--json"])
    found = {one["about"]: one for one in json.loads(capsys.readouterr().out)}
    assert found["scores of loan_default"]["state"] == "ok"
    assert sum(one["state"] == "fault" for about, one in found.items() if about.startswith("model ")) == 2


def test_doctor_finds_an_airflow_that_is_too_old(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    older = tmp_path / "older" / "apache_airflow_core-3.1.8.dist-info"
    older.mkdir(parents=True)
    (older / "METADATA").write_text("Metadata-Version: 2.1\nName: apache-airflow-core\nVersion: 3.1.8\n")
    monkeypatch.syspath_prepend(str(older.parent))
    with pytest.raises(SystemExit):
        run(["doctor", "--json"])
    found = {one["about"]: one for one in json.loads(capsys.readouterr().out)}
    assert found["airflow"]["state"] == "fault" and "3.1.8" in found["airflow"]["said"]


def test_doctor_sees_a_source_that_answers(
    fleet: Fleet, owned_database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RESCORE_CONNECTION_BANK", owned_database)
    with pytest.raises(SystemExit):
        run(["doctor", "--json"])
    found = {one["about"]: one for one in json.loads(capsys.readouterr().out)}
    assert found["source bank"]["state"] == "ok" and "Postgres" in found["source bank"]["said"]


def test_doctor_says_that_the_store_is_not_migrated(
    fleet: Fleet, owned_database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RESCORE_DATABASE_URL", owned_database)
    with pytest.raises(SystemExit):
        run(["doctor", "--json"])
    found = {one["about"]: one for one in json.loads(capsys.readouterr().out)}
    assert found["store"]["state"] == "fault" and "rescore store migrate" in found["store"]["fix"]
    assert not [about for about in found if about.startswith("archive")], "nothing to compare with"


def test_open_says_what_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RESCORE_HOME", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main(["open"])
    assert ended.value.code == 1
    assert "rescore up" in capsys.readouterr().err


def test_help_groups_every_command_and_says_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    command = typer.main.get_command(app)
    known = set(command.commands)  # type: ignore[attr-defined]
    assert {name for names in PANELS.values() for name in names} <= known
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for words in (*PANELS, "Examples", "rescore models --only late", "Exit codes", "130"):
        assert words in shown


@pytest.mark.parametrize("example", [*(example for example, _ in EXAMPLES), *EXAMPLE_OF.values()])
def test_an_example_of_the_help_is_accepted(example: str) -> None:
    accepted(shlex.split(example))


def test_examples_are_of_the_command_that_shows_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert [words for words, example in EXAMPLE_OF.items() if not f"{example} ".startswith(f"{words} ")] == []
    for words in ("pin", "packages sign"):
        with pytest.raises(SystemExit):
            main([*words.split(), "--help"])
        assert EXAMPLE_OF[words].split("--")[0] in capsys.readouterr().out


def test_model_names_complete(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    assert terminal.completed_names("fraud") == ["fraud_card", "fraud_transfer"]
    monkeypatch.setenv("RESCORE_STORE_SCHEMA", "Not A Name")
    assert terminal.completed_names("fraud") == [], "completion never fails"
