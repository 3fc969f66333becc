"""DAGs and models in a git bundle: what clearing an old run does, under its own revision and the newest."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from rescore import pipeline
from rescore.local import DagRun, LocalStack
from rescore.store import ScoredRun
from tests.shared.harbour import MODEL, MODELS, Harbour
from tests.shared.waiting import until

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "install-into-airflow.md"
DAG = f"score_{MODEL}"


@dataclass
class Repository:
    """A git repository with the guide's DAG file and one model."""

    folder: Path

    def git(self, *arguments: str) -> str:
        who = ["-c", "user.name=ada", "-c", "user.email=ada@example.org"]
        command = ["git", "-C", str(self.folder), *who, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self) -> str:
        """Commit all, and give the revision."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "a version")
        return self.git("rev-parse", "HEAD")

    @property
    def query(self) -> Path:
        return self.folder / "models" / MODEL / "extract.sql"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    folder = tmp_path / "repository"
    shutil.copytree(MODELS / MODEL, folder / "models" / MODEL, ignore=shutil.ignore_patterns("__pycache__"))
    [written] = re.findall(r"```python\n(import os\n.*?)```", GUIDE.read_text(), re.DOTALL)
    (folder / ".gitignore").write_text("*.pyc\n")
    (folder / "dags").mkdir()
    (folder / "dags" / "models.py").write_text(written)
    repository = Repository(folder)
    repository.git("init", "--quiet", "--initial-branch", "main")
    return repository


@pytest.fixture
def stack(
    harbour: Harbour, repository: Repository, airflow_database: str, tmp_path: Path
) -> Iterator[LocalStack]:
    repository.commit()
    pipeline.register_model(harbour.ctx, MODEL)
    settings = replace(harbour.ctx.settings, models=tmp_path / "no models here")
    kwargs = {
        "repo_url": str(repository.folder),
        "tracking_ref": "main",
        "subdir": "dags",
        "prune_dotgit_folder": False,
        "refresh_interval": 1,
    }
    bundle = {"name": "ours", "classpath": "airflow.providers.git.bundles.git.GitDagBundle", "kwargs": kwargs}
    (tmp_path / "none").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
        patch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH", str(tmp_path / "bundles"))
        patch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", airflow_database)
        stack = LocalStack(settings, dags=tmp_path / "none", plugins=tmp_path / "none")
        stack.up()
    try:
        yield stack
    finally:
        stack.release()


def test_a_cleared_run_scores_the_same_or_says_that_it_is_of_another_revision(
    harbour: Harbour, stack: LocalStack, repository: Repository
) -> None:
    client, first = stack.client(), repository.git("rev-parse", "HEAD")
    client.wait_for_dag(DAG, seconds=400)
    client.unpause(DAG)
    day = harbour.day(32)
    run = client.trigger(
        DAG, conf={"interval_start": day.start.isoformat(), "interval_end": day.end.isoformat()}
    )

    def published() -> ScoredRun:
        [current] = harbour.ctx.store.runs.published(MODEL, day)
        return current

    def ended(run: DagRun) -> None:
        done = client.wait(DAG, run.run_id, seconds=600)
        assert done.state == "success", [(one.task_id, one.state) for one in client.tasks(DAG, run.run_id)]

    ended(run)
    before = published()
    assert revision_of(before) == first

    repository.query.write_text(
        repository.query.read_text().replace("pressure,", "pressure + 5 AS pressure,")
    )
    second = repository.commit()
    until(
        lambda: client.request("GET", f"dags/{DAG}")["bundle_version"] == second,
        "the second revision",
        seconds=300,
    )

    def clear(*, newest: bool) -> ScoredRun:
        body = {"dry_run": False, "only_failed": False, "run_on_latest_version": newest}
        client.request("POST", f"dags/{DAG}/dagRuns/{run.run_id}/clear", body)
        ended(run)
        return published()

    same = clear(newest=False)
    assert same.run_id != before.run_id and revision_of(same) == first
    assert (same.input_digest, same.score_digest) == (before.input_digest, before.score_digest)
    assert same.query_sha256 == before.query_sha256

    other = clear(newest=True)
    assert revision_of(other) == second, "who reads the scores can see that they are of another revision"
    assert other.query_sha256 != before.query_sha256 and other.score_digest != before.score_digest
    assert other.package_sha256 == before.package_sha256
    assert pipeline.reproduce_run(harbour.ctx, before.run_id).proved, "what was published stays proved"


def revision_of(run: ScoredRun) -> str:
    """Of the model's code; a checkout of ours with changes to packaging adds that it has them."""
    assert run.code_revision is not None
    return run.code_revision.removesuffix("+dirty")
