"""What runs and trainings tell OpenLineage: real provider, listener and extractor manager write a file."""

from __future__ import annotations

import json
import shutil
import sys
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rescore import pipeline, source
from rescore.interval import Interval
from rescore.postgres_url import PostgresUrl
from tests.shared.airflow_in_one_process import OneProcessAirflow, RunOfDag, one_process_airflow
from tests.shared.harbour import MODEL, MODELS, Harbour

DAGS = f"""
from rescore_airflow.dags import score_dag, train_dag

score, train = score_dag("{MODEL}"), train_dag("{MODEL}")
"""
IMPORTED = """
import sys
import dags_here
names = [name for name in sys.modules if name.partition(".")[0] == "openlineage"]
print("\\nFOUND", sorted(names))
"""


@pytest.fixture
def airflow(harbour: Harbour, airflow_database: str, tmp_path: Path) -> OneProcessAirflow:
    return one_process_airflow(harbour.ctx, airflow_database, tmp_path, DAGS)


def test_tables_are_named_as_the_catalogue_has_them(harbour: Harbour) -> None:
    database = PostgresUrl.parse(harbour.url, where="a test").parameters["dbname"]
    found = source.tables_read(harbour.url, harbour.folder, harbour.day(32))
    assert found == (f"{database}.harbour.readings",)


def test_tables_of_another_query_than_the_runs_are_not_told(harbour: Harbour, tmp_path: Path) -> None:
    run_id = pipeline.score_interval(harbour.ctx, MODEL, harbour.day(32)).run_id
    assert pipeline.run_lineage(harbour.ctx, run_id).tables
    changed = shutil.copytree(MODELS, tmp_path / "changed")
    query = changed / MODEL / "extract.sql"
    query.write_text(query.read_text() + "\n-- another one\n")
    ctx = replace(harbour.ctx, settings=replace(harbour.ctx.settings, models=changed))
    assert pipeline.run_lineage(ctx, run_id).tables == ()


@pytest.mark.airflow
def test_a_task_goes_on_where_its_lineage_is_not_known(
    harbour: Harbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rescore_airflow import lineage

    monkeypatch.setitem(sys.modules, lineage._LISTENER, ModuleType("the provider is there"))
    run_id = str(uuid.uuid4())
    assert lineage.tell_lineage(harbour.ctx, run_id) == run_id
    no_context: Any = None
    assert lineage.tell_lineage(no_context, run_id) == run_id, "whatever goes wrong there"


@dataclass(frozen=True)
class Told:
    """The run events that the file transport wrote."""

    file: Path

    def ended(self, how: str) -> dict[str, dict[str, Any]]:
        """The last event of each task that ended so, by the task's name."""
        events = [json.loads(line) for line in self.file.read_text().splitlines()]
        return {
            event["job"]["name"].partition(".")[2]: event for event in events if event["eventType"] == how
        }


@pytest.fixture
def told(airflow: OneProcessAirflow, tmp_path: Path) -> Told:
    file = tmp_path / "events.json"
    transport = {"type": "file", "log_file_path": str(file), "append": True}
    airflow.environment["AIRFLOW__OPENLINEAGE__TRANSPORT"] = json.dumps(transport)
    return Told(file)


@pytest.mark.airflow
@pytest.mark.slow
def test_a_run_tells_tables_digests_assertions_and_package(
    harbour: Harbour, airflow: OneProcessAirflow, told: Told
) -> None:
    assert airflow.ran("-c", IMPORTED).rpartition("FOUND ")[2].strip() == "[]", "DAGs import nothing of it"
    pipeline.register_model(harbour.ctx, MODEL)
    day, broken = harbour.day(32), harbour.day(33)
    run = airflow.run("score", **conf_of(day))
    assert run.state == "success", run.said[-3000:]
    [published] = harbour.ctx.store.runs.published(MODEL, day)
    ended = told.ended("COMPLETE")
    assert {"extract", "validate", "score", "drift", "publish"} <= set(ended), said_of_it(run)

    database = PostgresUrl.parse(harbour.url, where="a test")
    table = (database.server, f"{database.parameters['dbname']}.harbour.readings")
    extract, validate, publish = (ended[name] for name in ("extract", "validate", "publish"))
    [read], [frozen] = extract["inputs"], extract["outputs"]
    assert named(read) == table
    assert frozen["facets"]["version"]["datasetVersion"] == published.input_digest
    assert frozen["outputFacets"]["outputStatistics"]["rowCount"] == published.rows_extracted

    [held] = validate["inputs"]
    assert named(held) == named(frozen)
    stored = harbour.ctx.store.reports.validation_of(published)
    assert stored is not None
    assert assertions_of(held) == [(one["type"], one["success"]) for one in stored["results"]]

    [written] = publish["outputs"]
    assert named(written) == (database.server, f"{database.parameters['dbname']}.scores.{MODEL}")
    assert written["facets"]["version"]["datasetVersion"] == published.score_digest
    assert [named(one) for one in publish["inputs"]] == [table, named(frozen)]
    facet = publish["run"]["facets"]["rescore"]
    assert (facet["run_id"], facet["model"]) == (published.run_id, MODEL)
    assert facet["package_version"] == published.package_version
    assert facet["package_sha256"] == published.package_sha256
    assert (facet["input_digest"], facet["verdict"]) == (published.input_digest, published.verdict)

    harbour.execute("DELETE FROM harbour.readings WHERE measured_at >= %s AND gauge <> 'pier'", broken.start)
    harbour.execute("DELETE FROM harbour.readings WHERE measured_at >= %s AND reading %% 3 > 0", broken.start)
    assert airflow.run("score", **conf_of(broken)).state == "failed"
    [held] = told.ended("FAIL")["validate"]["inputs"]
    assert ("expect_table_row_count_to_be_between", False) in assertions_of(held)
    assert database.parameters["password"] not in told.file.read_text(), "servers are named without a login"


@pytest.mark.airflow
@pytest.mark.slow
def test_a_training_tells_tables_rows_and_package(
    harbour: Harbour, airflow: OneProcessAirflow, told: Told
) -> None:
    before = {package.sha256 for package in harbour.ctx.store.packages.of_model(MODEL)}
    start, end = harbour.day(1).start.isoformat(), harbour.day(25).end.isoformat()
    run = airflow.run("train", start=start, end=end, pin=False)
    ended = told.ended("COMPLETE")
    assert {"snapshot", "package"} <= set(ended), run.said[-3000:]
    [package] = [one for one in harbour.ctx.store.packages.of_model(MODEL) if one.sha256 not in before]

    database = PostgresUrl.parse(harbour.url, where="a test")
    [read], [frozen] = ended["snapshot"]["inputs"], ended["snapshot"]["outputs"]
    assert named(read) == (database.server, f"{database.parameters['dbname']}.harbour.readings")
    digest = package.manifest.lineage.snapshot_digest
    assert frozen["facets"]["version"]["datasetVersion"] == digest
    [rows], [wheel] = ended["package"]["inputs"], ended["package"]["outputs"]
    assert named(rows) == named(frozen)
    assert rows["facets"]["version"]["datasetVersion"] == digest
    assert wheel["facets"]["version"]["datasetVersion"] == package.sha256
    facet = ended["package"]["run"]["facets"]["rescore"]
    assert (facet["snapshot_digest"], facet["package_version"]) == (digest, package.version)


def said_of_it(run: RunOfDag) -> str:
    return "\n".join(line for line in run.said.splitlines() if "openlineage" in line.lower())


def conf_of(day: Interval) -> dict[str, str]:
    return {"interval_start": day.start.isoformat(), "interval_end": day.end.isoformat()}


def named(dataset: dict[str, Any]) -> tuple[str, str]:
    return dataset["namespace"], dataset["name"]


def assertions_of(dataset: dict[str, Any]) -> list[tuple[str, bool]]:
    held = dataset["inputFacets"]["dataQualityAssertions"]["assertions"]
    return [(one["assertion"], one["success"]) for one in held]
