"""A model that declares four eyes: a training says who trained, and a pin of theirs is refused by name."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from airflow.sdk.exceptions import AirflowFailException

from rescore import pipeline
from rescore.cli import main
from rescore.errors import FourEyesError
from rescore.folder import load_model
from rescore.pipeline import Context
from rescore_airflow.operators.promotion import PromotionApproval


@pytest.fixture
def careful(harbour: Any, tmp_path: Path) -> Context:
    """The harbour's context, whose model declares four eyes; ``trainer`` trained its package."""
    folder = tmp_path / "careful" / "tides"
    folder.mkdir(parents=True)
    for file in (harbour.ctx.settings.models / "tides").iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    declare(folder, "four_eyes")
    return replace(harbour.ctx, settings=replace(harbour.ctx.settings, models=folder.parent))


def declare(folder: Path, approval: str) -> None:
    path = folder / "model.yaml"
    spec = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**spec, "promotion": {"approval": approval}}))


def test_who_trained_does_not_pin_and_another_person_does(careful: Context) -> None:
    assert careful.store.packages.find("tides", "1.0.0").manifest.built.trained_by == "trainer"
    with pytest.raises(FourEyesError, match=r"trainer trained tides 1\.0\.0, and trainer would approve it"):
        pipeline.pin(careful, "tides", "1.0.0", who="trainer", why="mine")
    pipeline.pin(careful, "tides", "1.0.0", who="grace", why="compared")
    assert [one.who for one in careful.store.pins.of_model("tides")] == ["grace", "tester"]


def test_the_rule_goes_only_once_the_owner_registers_the_model_without_it(careful: Context) -> None:
    with pytest.raises(FourEyesError):
        pipeline.pin(careful, "tides", "1.0.0", who="trainer", why="mine")
    declare(careful.settings.models / "tides", "required")
    with pytest.raises(FourEyesError):
        pipeline.pin(careful, "tides", "1.0.0", who="trainer", why="mine")
    pipeline.register_model(careful, "tides")
    pipeline.pin(careful, "tides", "1.0.0", who="trainer", why="mine")


@pytest.fixture
def environment(careful: Context, monkeypatch: pytest.MonkeyPatch) -> Context:
    """The same by environment variables, as commands and tasks find it."""
    settings = careful.settings
    urls = {
        "RESCORE_DATABASE_URL": settings.database_url,
        "RESCORE_RELEASE_URL": settings.release_url,
        "RESCORE_OWNER_URL": settings.owner_url,
    }
    for name, value in {**urls, "RESCORE_HOME": settings.home, "RESCORE_MODELS": settings.models}.items():
        if value is not None:
            monkeypatch.setenv(name, str(value))
    return careful


def test_the_command_line_names_both(environment: Context, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["pin", "tides", "--to", "1.0.0", "--reason", "mine", "--who"]
    with pytest.raises(SystemExit, match="1"):
        main([*command, "Trainer"])
    said = capsys.readouterr().err
    assert "trainer trained tides 1.0.0, and Trainer would approve it" in " ".join(said.split())
    with pytest.raises(SystemExit, match="0"):
        main([*command, "grace"])


@pytest.mark.parametrize("who", ["trainer", "grace"])
def test_an_answer_in_airflow_by_who_trained_fails_the_task(environment: Context, who: str) -> None:
    operator = PromotionApproval(
        task_id="approval", model_name="tides", spec=load_model(environment.settings.models, "tides").spec
    )
    built = {"version": "1.0.0", "sha256": environment.store.packages.find("tides", "1.0.0").sha256}
    pulled = {"package": built}
    context = {
        "ti": SimpleNamespace(xcom_pull=lambda task_ids: pulled[task_ids], xcom_push=lambda *_: None),
    }
    answer = {
        "responded_by_user": {"id": "1", "name": who},
        "chosen_options": ["Approve"],
        "params_input": {"reason": "seen it"},
        "responded_at": datetime(2024, 3, 1, tzinfo=UTC),
        "timedout": False,
    }
    if who == "trainer":
        with pytest.raises(AirflowFailException, match=r"trainer trained .* and trainer would approve it"):
            operator.execute_complete(context, answer)
    else:
        assert operator.execute_complete(context, answer)["by"] == "grace"
