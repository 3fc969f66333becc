"""Rules that every DAG keeps, checked without a database and without running one."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, TaskGroup
from airflow.serialization.serialized_objects import DagSerialization
from airflow.triggers.base import BaseTrigger

from rescore.errors import SpecError
from rescore_airflow import ScoreTaskGroup, TrainTaskGroup
from rescore_airflow.dags import (
    check_model_folders,
    erase_subject_dag,
    maintain_dag,
    monitor_dag,
    publish_dag,
    reproduce_dag,
    score_dag,
    train_dag,
)
from rescore_airflow.declarations import declared
from rescore_airflow.operators.readiness_trigger import ReadinessTrigger

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(params=["score", "train", "monitor", "publish", "reproduce", "maintain", "erase_subject"])
def dag(request: pytest.FixtureRequest, models: Path) -> DAG:
    return {
        "score": lambda: score_dag("tides"),
        "train": lambda: train_dag("tides"),
        "monitor": lambda: monitor_dag("tides"),
        "publish": lambda: publish_dag("tides"),
        "reproduce": reproduce_dag,
        "maintain": maintain_dag,
        "erase_subject": erase_subject_dag,
    }[request.param]()


def test_every_dag_says_what_it_is(dag: DAG) -> None:
    assert {"rescore", dag.dag_id.removesuffix("_tides")} <= set(dag.tags)
    assert ("model:tides" in dag.tags) == dag.dag_id.endswith("_tides")
    assert dag.description
    for section in ("### Purpose", "### Inputs", "### Outputs", "### Triage"):
        assert section in (dag.doc_md or ""), section
    assert dag.catchup is False
    for name in dag.params:
        assert dag.params.get_param(name).description, name


def test_every_task_has_an_owner_retries_and_a_document(dag: DAG) -> None:
    for task in dag.tasks:
        assert task.owner in {"harbour-office", "rescore"}, task.task_id
        assert task.retries >= 1, task.task_id
        assert task.doc_md, task.task_id
        assert task.on_failure_callback, task.task_id


def test_every_dag_survives_the_way_to_the_scheduler(dag: DAG) -> None:
    there = DagSerialization.to_dict(dag)
    back = DagSerialization.from_dict(json.loads(json.dumps(there)))
    assert back.dag_id == dag.dag_id
    assert set(back.task_ids) == set(dag.task_ids)
    assert DagSerialization.to_dict(score_dag("tides")) == DagSerialization.to_dict(score_dag("tides"))


def test_what_the_model_declares_reaches_its_tasks(models: Path) -> None:
    dag = score_dag("tides")
    extract = dag.get_task("extract")
    assert extract.execution_timeout is not None and extract.execution_timeout.total_seconds() == 600
    assert extract.retry_delay.total_seconds() == 1
    assert "harbour" in dag.tags
    assert dag.max_active_runs == 4
    assert dag.end_date is None, "a run whose logical date is later would stand still for ever"


def test_scoring_waits_for_the_source_and_goes_on_without_a_training(models: Path) -> None:
    dag = score_dag("tides")
    assert dag.get_task("extract").upstream_task_ids == {"ready", "retrain"}
    assert dag.get_task("extract").trigger_rule == "none_failed", "retrain is skipped as a rule"
    order = ["extract", "validate", "score", "drift"]
    for before, after in itertools.pairwise(order):
        assert dag.get_task(after).upstream_task_ids == {before}
    for last in ("publish", "hold"):  # one of them, as drift decides
        assert dag.get_task(last).upstream_task_ids == {"drift"}
    assert [asset.name for asset in dag.get_task("publish").outlets] == ["scores/tides"]
    assert dag.get_task("hold").outlets == []
    assert dag.get_task("hold").trigger_dag_id == publish_dag("tides").dag_id


def test_a_model_that_declares_shards_scores_in_mapped_tasks_that_a_join_waits_for(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models"
    shutil.copytree(models, folder)
    with (folder / "tides" / "model.yaml").open("a") as file:
        file.write("scoring: {shard_rows: 1000000}\n")
    monkeypatch.setenv("RESCORE_MODELS", str(folder))
    dag = score_dag("tides")
    upstream = {task: dag.get_task(task).upstream_task_ids for task in dag.task_ids}
    assert upstream["split"] == {"validate"}
    assert upstream["score"] == {"split"} and dag.get_task("score").is_mapped
    assert upstream["join"] == {"split", "score"}
    assert upstream["drift"] == {"join"}
    for task in ("split", "score", "join"):
        assert dag.get_task(task).trigger_rule == "all_success", "one shard that is missing ends the run"
        assert dag.get_task(task).doc_md and dag.get_task(task).retries == 1
    back = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    assert set(back.task_ids) == set(dag.task_ids)


@pytest.mark.parametrize(
    ("group", "of_ours"), [(ScoreTaskGroup, score_dag), (TrainTaskGroup, train_dag)], ids=["score", "train"]
)
def test_a_group_in_ones_own_dag_has_the_tasks_of_ours(
    models: Path, group: type[TaskGroup], of_ours: Callable[[str], DAG]
) -> None:
    with DAG("theirs", schedule="0 6 * * *") as theirs:
        made = group("tides")
        EmptyOperator(task_id="dbt") >> made >> EmptyOperator(task_id="report")
    ours = of_ours("tides")
    prefix = f"{made.group_id}."
    assert made.group_id == ours.dag_id
    assert {task for task in theirs.task_ids if task.startswith(prefix)} == {
        prefix + t for t in ours.task_ids
    }
    for name in ours.task_ids:
        task, model = theirs.get_task(prefix + name), ours.get_task(name)
        upstream = {prefix + one for one in model.upstream_task_ids} or {"dbt"}
        assert task.upstream_task_ids == upstream
        assert (type(task), task.retries, task.owner) == (type(model), model.retries, model.owner)
        assert task.outlets == model.outlets
    # hold, which is skipped as a rule, would skip whatever waits for it.
    last = "publish" if group is ScoreTaskGroup else "pin"
    assert theirs.get_task("report").upstream_task_ids == {prefix + last}
    with DAG("without_prefix"):
        assert [one.task_id for one in group("tides", prefix_group_id=False).get_leaves()] == [last]
    back = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(theirs))))
    assert set(back.task_ids) == set(theirs.task_ids)


def test_new_scores_and_every_day_wake_the_monitor(models: Path) -> None:
    dag = monitor_dag("tides")
    schedule = DagSerialization.to_dict(dag)["dag"]["timetable"]
    assert "scores/tides" in json.dumps(schedule) and "45 5 * * *" in json.dumps(schedule)
    assert [asset.name for asset in dag.get_task("measure").outlets] == ["monitor/tides"]
    assert dag.task_ids == ["measure"], "nobody listens, and no reason to train is declared"


def test_the_monitor_tells_and_asks_only_where_that_is_declared(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models"
    shutil.copytree(models, folder)
    spec = folder / "tides" / "model.yaml"
    declared = spec.read_text().replace("seed: 7}", "seed: 7, retrain_at: 0.5}")
    spec.write_text(f"{declared}promotion: {{shadow: 90d}}\n")
    monkeypatch.setenv("RESCORE_MODELS", str(folder))
    platform = tmp_path / "notify.yaml"
    platform.write_text("- {notifier: rescore_airflow.notify.webhook.WebhookNotifier, events: [verdict]}")
    monkeypatch.setenv("RESCORE_NOTIFY", str(platform))
    dag = monitor_dag("tides")
    assert {task: dag.get_task(task).upstream_task_ids for task in dag.task_ids} == {
        "measure": set(),
        "notify": {"measure"},
        "retrain": {"measure"},
        "shadow": {"measure"},
    }
    platform.write_text("- {notifier: WebhookNotifier, event: [verdict]}")
    bag = DagBag(CHECKOUT / "dags", safe_mode=True)
    assert "RESCORE_NOTIFY" in bag.import_errors[str(CHECKOUT / "dags" / "model_folders.py")]


def test_a_release_waits_for_a_person_and_no_answer_is_no(models: Path) -> None:
    dag = publish_dag("tides")
    release = dag.get_task("release")
    assert release.defaults == ["Reject"]
    assert release.response_timeout is not None
    assert [asset.name for asset in release.outlets] == ["scores/tides"]
    assert dag.max_active_runs > score_dag("tides").max_active_runs


def test_nothing_is_pinned_without_approval(models: Path) -> None:
    dag = train_dag("tides")
    assert dag.get_task("pin").upstream_task_ids == {"package", "compare", "approval"}
    assert dag.get_task("approval").upstream_task_ids == {"compare"}
    assert dag.get_task("pin").trigger_rule == "all_success"
    assert dag.get_task("approval").defaults == ["Reject"], "no answer is no approval"
    assert dag.get_task("approval").response_timeout is not None


def test_the_trigger_is_rebuilt_from_what_it_serialises() -> None:
    trigger = ReadinessTrigger(
        model_name="tides",
        interval="2024-01-01T00:00:00Z/2024-01-02T00:00:00Z",
        as_of="2024-01-02T00:00:00+00:00",
        deadline="2024-01-02T06:00:00+00:00",
        poke_seconds=2.0,
    )
    path, arguments = trigger.serialize()
    assert path == f"{ReadinessTrigger.__module__}.{ReadinessTrigger.__name__}"
    assert isinstance(trigger, BaseTrigger)
    assert ReadinessTrigger(**arguments).serialize() == (path, arguments)


def test_the_files_in_dags_are_wiring_only() -> None:
    for file in (CHECKOUT / "dags").glob("*.py"):
        assert len(file.read_text().splitlines()) <= 20, file.name


def test_a_worker_builds_the_dags_of_the_model_it_works_for(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "score_tides")
    bag = DagBag(CHECKOUT / "dags" / "models.py", safe_mode=True)
    assert set(bag.dags) == {f"{kind}_tides" for kind in ("score", "train", "monitor", "publish")}


def test_a_dag_that_this_airflow_refuses_is_an_import_error(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(model_name: str) -> DAG:
        raise TypeError("DAG() takes no argument 'tags'")

    monkeypatch.setattr(sys.modules[check_model_folders.__module__], "_builders", lambda: (refuse,))
    with pytest.raises(SpecError, match="takes no argument 'tags'"):
        check_model_folders()


def _write(name: str, old: str, new: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return damage


def _latin1(folder: Path) -> None:
    path = folder / "extract.sql"
    path.write_bytes(b"-- caf\xe9\n" + path.read_bytes())


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        pytest.param(_write("model.yaml", "cron:", "crom:"), "schedule.crom: unknown key", id="key"),
        pytest.param(_write("model.yaml", "2024-01-01", "2023-02-29"), "day is out of range", id="date"),
        pytest.param(_latin1, "extract.sql is not UTF-8", id="encoding"),
        pytest.param(_write("model.yaml", "20s", "99999999999w"), "is longer than", id="duration"),
        pytest.param(_write("model.yaml", "0 0 * * *", "0 0 31 2 *"), "ebb", id="never-due"),
        pytest.param(_write("model.yaml", "retries: 1", f"tags: [{'x' * 101}]"), "100", id="airflow-refuses"),
        pytest.param(
            _write("model.yaml", "retries: 1", "max_active_runs: 99999999999"), "max_active_runs", id="size"
        ),
    ],
)
def test_a_broken_model_folder_takes_only_its_own_dags_down(
    damage: Callable[[Path], None], says: str, tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models"
    shutil.copytree(models, folder)
    damage(folder / "ebb")
    monkeypatch.setenv("RESCORE_MODELS", str(folder))

    bag = DagBag(CHECKOUT / "dags", safe_mode=True)

    of_tides = {f"{kind}_tides" for kind in ("score", "train", "monitor", "publish")}
    assert {dag for dag in bag.dags if not dag.endswith("_surge")} == of_tides | {
        "erase_subject",
        "maintain",
        "reproduce",
    }
    assert list(bag.import_errors) == [str(CHECKOUT / "dags" / "model_folders.py")]
    message = next(iter(bag.import_errors.values()))
    assert str(folder / "ebb") in message
    assert says in message
    assert "fix:" in message


def test_a_model_folder_is_read_again_only_when_it_has_changed(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models"
    shutil.copytree(models, folder)
    monkeypatch.setenv("RESCORE_MODELS", str(folder))
    first = declared("ebb")
    assert declared("ebb") is first
    file = folder / "ebb" / "model.yaml"
    file.write_text(file.read_text().replace("owner: harbour-office", "owner: dock"))
    assert declared("ebb").owner == "dock"
    file.write_text("name: [")
    for _ in range(2):
        with pytest.raises(SpecError, match="not valid YAML"):
            declared("ebb")


def test_folders_found_right_are_checked_again_once_anything_has_changed(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models"
    shutil.copytree(models, folder)
    monkeypatch.setenv("RESCORE_MODELS", str(folder))
    looked_at: list[str] = []

    def look(model_name: str) -> DAG:
        looked_at.append(model_name)
        return score_dag(model_name)

    monkeypatch.setattr(sys.modules[check_model_folders.__module__], "_probe", look)

    def checked() -> list[str]:
        looked_at.clear()
        check_model_folders()
        return sorted(looked_at)

    assert checked() == ["ebb", "surge", "tides"]
    assert checked() == []
    file = folder / "ebb" / "extract.sql"
    file.write_text(file.read_text() + "\n")
    assert checked() == ["ebb", "surge", "tides"]
    monkeypatch.setenv("AIRFLOW__CORE__DEFAULT_TIMEZONE", "Europe/Amsterdam")
    assert checked() == ["ebb", "surge", "tides"]
    file.unlink()
    for _ in range(2):  # what is wrong is said each time
        with pytest.raises(SpecError, match=r"extract\.sql is missing"):
            checked()
    file.write_text("SELECT 1\n")
    assert checked() == ["ebb", "surge", "tides"]
    assert checked() == []


def test_a_models_folder_that_does_not_exist_is_an_import_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESCORE_MODELS", str(tmp_path / "nowhere"))
    bag = DagBag(CHECKOUT / "dags", safe_mode=True)
    assert "RESCORE_MODELS" in next(iter(bag.import_errors.values()))


_PARSE = """
import json, sys, time
import airflow.sdk
from airflow.sdk import DAG, Asset, CronTriggerTimetable, Connection, get_current_context, task
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.timetables.interval import CronDataIntervalTimetable
from airflow.triggers.base import BaseTrigger
before = set(sys.modules)
started = time.process_time()
import runpy
found = [v.dag_id for file in sys.argv[1:] for v in runpy.run_path(file).values() if isinstance(v, DAG)]
print(json.dumps({
    "dags": sorted(found),
    "seconds": time.process_time() - started,
    "modules": sorted(set(sys.modules) - before),
}))
"""


@pytest.mark.slow
def test_reading_the_dag_files_loads_nothing_heavy(models: Path) -> None:
    files = [str(file) for file in sorted((CHECKOUT / "dags").glob("*.py"))]
    done = subprocess.run([sys.executable, "-c", _PARSE, *files], capture_output=True, text=True, check=True)
    parsed = json.loads(done.stdout.splitlines()[-1])
    kinds = ("monitor", "publish", "score", "train")
    assert parsed["dags"] == sorted(
        [
            "erase_subject",
            "maintain",
            "reproduce",
            *(f"{k}_{m}" for k in kinds for m in ("ebb", "surge", "tides")),
        ]
    )
    heavy = {
        *("pandas", "numpy", "pyarrow", "scipy", "sklearn", "skops", "great_expectations", "altair"),
        *("sqlalchemy", "psycopg2", "adbc_driver_postgresql", "fsspec", "fastapi"),
    }
    loaded = {module.partition(".")[0] for module in parsed["modules"]}
    assert not loaded & heavy
    assert not [name for name in parsed["modules"] if name.startswith("rescore.pipeline")]
    # CPU seconds on top of Airflow's own imports, which take several; 0.2 was measured.
    assert parsed["seconds"] < 2


@pytest.mark.slow
def test_dag_files_of_no_model_load_no_specification(models: Path) -> None:
    """Airflow reads each file in a process of its own, again and again."""
    files = [str(CHECKOUT / "dags" / f"{name}.py") for name in ("erase_subject", "maintain", "reproduce")]
    done = subprocess.run([sys.executable, "-c", _PARSE, *files], capture_output=True, text=True, check=True)
    parsed = json.loads(done.stdout.splitlines()[-1])
    assert parsed["dags"] == ["erase_subject", "maintain", "reproduce"]
    assert not {"rescore.spec", "rescore_airflow.dags.score"} & {*parsed["modules"]}
