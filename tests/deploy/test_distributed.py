"""``docker-compose.distributed.yaml``: read by Compose, and its services run for real as processes.

No container is started: each command runs with its service's environment, on Debian's Redis, moto's S3
server and our Postgres, on one machine. What that shows is the executor, the broker, the archive and the
shards; not images, networks or limits.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

from rescore import pipeline
from rescore.local import AirflowClient, Process
from tests.deploy.cluster import cluster
from tests.deploy.test_compose import CHECKOUT, COMPOSE, SECRETS
from tests.shared.harbour import MODEL, Harbour
from tests.shared.large_day import DAY, add_large_day, environment_of, sharded
from tests.shared.object_store import KEY, s3_server
from tests.shared.waiting import until

THEIRS = {
    "REDIS_PASSWORD": "redispass0123456789",
    "OBJECT_STORE_KEY": KEY["AWS_ACCESS_KEY_ID"],
    "OBJECT_STORE_SECRET": KEY["AWS_SECRET_ACCESS_KEY"],
}
_DAG = 'from rescore_airflow.dags import score_dag\n\nscore_tides = score_dag("tides")\n'
FILES = [CHECKOUT / name for name in ("docker-compose.yaml", "docker-compose.distributed.yaml")]


def config(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    files = [part for file in FILES for part in ("--file", str(file))]
    given = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environment}
    command = [str(COMPOSE), *files, "config", "--format", "json"]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=given, cwd=CHECKOUT)


def config_of(environment: dict[str, str]) -> dict[str, Any]:
    """What Compose makes of both files, by service."""
    done = config(environment)
    assert done.returncode == 0, done.stderr
    services: dict[str, Any] = json.loads(done.stdout)["services"]
    return services


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return config_of({**SECRETS, **THEIRS})


@pytest.mark.parametrize("secret", sorted(THEIRS))
def test_a_missing_secret_is_named(secret: str) -> None:
    given = {**SECRETS, **THEIRS}
    done = config({name: value for name, value in given.items() if name != secret})
    assert done.returncode != 0 and secret in done.stderr


def test_workers_have_the_executor_the_archive_limits_and_a_health_check(services: dict[str, Any]) -> None:
    components = ("api-server", "scheduler", "dag-processor", "triggerer", "worker")
    assert set(services) == {"postgres", "prepare", "redis", "object-store", *components}
    for name in ("prepare", *components):
        environment = services[name]["environment"]
        assert environment["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor", name
        assert environment["RESCORE_ARCHIVE"].startswith("s3://"), name
        assert services[name]["security_opt"] == ["no-new-privileges:true"], name
        assert services[name]["read_only"], name
    for name in ("redis", "object-store", "worker"):
        assert services[name]["healthcheck"]["test"] and services[name]["restart"] == "unless-stopped", name
        assert services[name]["cap_drop"] == ["ALL"] and not services[name].get("ports"), name
    for name, service in services.items():
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}, name
    waits = {other: how["condition"] for other, how in services["worker"]["depends_on"].items()}
    assert waits["redis"] == waits["object-store"] == waits["postgres"] == "service_healthy"
    assert waits["prepare"] == "service_completed_successfully"
    assert services["worker"]["deploy"]["replicas"] == 2
    for name in ("redis", "object-store"):
        assert re.fullmatch(r"([a-z]+/)?[a-z]+:\d[\w.-]*", services[name]["image"])


def test_no_secret_is_written_in_the_file() -> None:
    for line in FILES[1].read_text().splitlines():
        if re.search(r"(PASSWORD|SECRET\w*|KEY_ID|BROKER_URL|BACKEND): ", line):
            assert "${" in line, line


@pytest.mark.airflow
@pytest.mark.slow
def test_two_workers_score_one_interval_and_one_is_killed(
    services: dict[str, Any],
    harbour: Harbour,
    airflow_database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The killed worker's shard is scored by the other; the digest is that of one piece."""
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server: `apt-get install redis-server`")
    add_large_day(harbour)
    day = harbour.day(DAY)
    run_id = pipeline.validate_run(harbour.ctx, pipeline.begin_extract(harbour.ctx, MODEL, day))
    whole = harbour.ctx.store.runs.scored(pipeline.score_run(harbour.ctx, run_id))
    ctx = sharded(harbour, tmp_path)
    dags = tmp_path / "opt" / "dags"
    for folder in (dags, *(dags.parent / name for name in ("auth", "logs", "plugins", "rescore"))):
        folder.mkdir(parents=True)
    (dags / "scoring.py").write_text(_DAG)
    password = SECRETS["AIRFLOW_ADMIN_PASSWORD"]
    (dags.parent / "auth" / "passwords.json").write_text(json.dumps({"admin": password}))
    places = {key: value for key, value in environment_of(ctx).items() if key != "RESCORE_ARCHIVE"}
    for name, value in KEY.items():
        monkeypatch.setenv(name, value)
    with s3_server(tmp_path / "s3.log") as store:
        copy_archive(str(ctx.settings.archive), store)
        with cluster(services, tmp_path, airflow_database, store, places) as here:
            client = AirflowClient.log_in(f"http://127.0.0.1:{here.api}", "admin", password)
            client.wait_for_dag("score_tides", seconds=300)
            client.unpause("score_tides")
            bounds = {"interval_start": day.start.isoformat(), "interval_end": day.end.isoformat()}
            run = client.trigger("score_tides", conf=bounds)

            def both_at_work() -> bool:
                here.refuse_dead()
                newest = ctx.store.runs.latest(MODEL, 1, interval=day)[0]
                shards = ctx.store.shards.of_run(newest)
                return sum(one.attempts > 0 and one.digest is None for one in shards) == 2

            until(both_at_work, "two shards at work", seconds=400)
            victim = here.started.pop("one")
            for process in Process.in_sessions([victim.pid]):
                os.kill(process.pid, signal.SIGKILL)
            victim.wait()
            ended = client.wait("score_tides", run.run_id, seconds=600)
            assert ended.state == "success", here.log("two")
    [published] = ctx.store.runs.published(MODEL, day)
    assert published.score_digest == whole.score_digest
    assert str(published.input_uri).startswith("s3://rescore/archive/")
    assert sorted(one.attempts for one in ctx.store.shards.of_run(published)) == [1, 1, 2]
    assert len(ctx.store.publications.of_model(MODEL, day)) == 1


def copy_archive(folder: str, store: str) -> None:
    """Put the files of a local archive, the pinned package among them, into the object store."""
    options = f"scheme=http&endpoint_override={store}&allow_bucket_creation=true"
    bucket, root = fs.FileSystem.from_uri(f"s3://rescore/archive?{options}")
    bucket.create_dir("rescore")
    fs.copy_files(folder, root, fs.LocalFileSystem(), bucket)
