"""``docker-compose.yaml`` and ``Dockerfile``: read by Compose itself, and their commands run for real.

No container is started: Compose's own ``config`` resolves the file, and what it says each service
runs, with which environment, is run as processes against a real Postgres.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import compose
import psycopg2
import pytest

from rescore.local import SINGLE_THREADED, AirflowClient, LocalPostgres, Process, free_port
from rescore.local.identity import Identity, wrapped
from rescore.local.processes import end_all
from rescore.store import Store

CHECKOUT = Path(__file__).parents[2]
COMPOSE = Path(compose.__path__[0]) / "docker-compose"
SECRETS = {
    "POSTGRES_PASSWORD": "pgpass0123456789",
    "RESCORE_OWNER_PASSWORD": "ownerpass0123456789",
    "RESCORE_WORKER_PASSWORD": "workerpass0123456789",
    "RESCORE_PERSON_PASSWORD": "personpass0123456789",
    "RESCORE_READER_PASSWORD": "readerpass0123456789",
    "AIRFLOW_DATABASE_PASSWORD": "airflowpass0123456789",
    "AIRFLOW_ADMIN_PASSWORD": "adminpass0123456789",
    "AIRFLOW_FERNET_KEY": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    "AIRFLOW_JWT_SECRET": "jwtsecret0123456789jwtsecret0123456789jwtsecret0123456789jwtsecret",
    "AIRFLOW_SECRET_KEY": "apisecret0123456789apisecret",
}
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")


def config(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(COMPOSE), "--file", str(CHECKOUT / "docker-compose.yaml"), "config", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environment},
        cwd=CHECKOUT,
    )


@pytest.fixture(scope="module")
def resolved() -> dict[str, Any]:
    done = config(SECRETS, "--format", "json")
    assert done.returncode == 0, done.stderr
    resolved: dict[str, Any] = json.loads(done.stdout)
    return resolved


@pytest.fixture(scope="module")
def services(resolved: dict[str, Any]) -> dict[str, Any]:
    services: dict[str, Any] = resolved["services"]
    return services


@pytest.mark.parametrize("secret", sorted(SECRETS))
def test_a_missing_secret_is_named(secret: str) -> None:
    done = config({name: value for name, value in SECRETS.items() if name != secret}, "--quiet")
    assert done.returncode != 0
    assert secret in done.stderr


def test_no_secret_is_written_in_the_file() -> None:
    text = (CHECKOUT / "docker-compose.yaml").read_text()
    for line in text.splitlines():
        if re.search(r"(PASSWORD|SECRET\w*|FERNET_KEY|SQL_ALCHEMY_CONN|DATABASE_URL): ", line):
            assert "${" in line, line


def test_the_whole_stack_is_there_with_a_health_check_each(services: dict[str, Any]) -> None:
    assert set(services) == {"postgres", "prepare", *COMPONENTS}
    for name in ("postgres", *COMPONENTS):
        assert services[name]["healthcheck"]["test"], name
        assert services[name]["restart"] == "unless-stopped"
    for name in COMPONENTS:
        assert services[name]["depends_on"]["prepare"]["condition"] == "service_completed_successfully"


def test_only_the_preparation_has_the_owners_password_and_nobody_the_superusers(
    services: dict[str, Any],
) -> None:
    having = {
        secret: {name for name, service in services.items() if SECRETS[secret] in json.dumps(service)}
        for secret in ("POSTGRES_PASSWORD", "RESCORE_OWNER_PASSWORD")
    }
    assert having == {"POSTGRES_PASSWORD": {"postgres"}, "RESCORE_OWNER_PASSWORD": {"prepare"}}


def test_each_login_has_a_password_of_its_own(resolved: dict[str, Any]) -> None:
    """Whoever is given the source's URL, or the one that runs models, can't act for people."""
    environment = resolved["services"]["scheduler"]["environment"]
    urls = {
        "RESCORE_WORKER_PASSWORD": environment["RESCORE_DATABASE_URL"],
        "RESCORE_PERSON_PASSWORD": environment["RESCORE_RELEASE_URL"],
        "RESCORE_READER_PASSWORD": environment["RESCORE_CONNECTION_AMES_SOURCE"],
    }
    made = resolved["configs"]["databases"]["content"]
    for secret, url in urls.items():
        login = re.fullmatch(r"postgresql://(\w+):\w+@.*", url)
        assert login is not None
        assert f"{login[1]}:{SECRETS[secret]}@" in url
        assert f"CREATE ROLE {login[1]} LOGIN PASSWORD '{SECRETS[secret]}'" in made


def test_another_port_is_where_the_login_leads_to() -> None:
    done = config({**SECRETS, "AIRFLOW_PORT": "9090"}, "--format", "json")
    environment = json.loads(done.stdout)["services"]["api-server"]["environment"]
    assert environment["AIRFLOW__API__BASE_URL"] == "http://localhost:9090"


def test_only_the_page_is_published_and_only_to_this_machine(services: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in services.items() if service.get("ports")}
    assert list(published) == ["api-server"]
    assert [port["host_ip"] for port in published["api-server"]] == ["127.0.0.1"]


def test_nothing_of_airflow_runs_as_root_or_may_become_it(services: dict[str, Any]) -> None:
    for name in ("prepare", *COMPONENTS):
        assert services[name]["user"].split(":")[0] not in ("0", "root", "")
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["security_opt"] == ["no-new-privileges:true"]


def test_images_are_pinned_and_name_no_host(services: dict[str, Any]) -> None:
    bases = re.findall(r"^FROM (\S+)", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE)
    for image in [*bases, *(service["image"] for service in services.values())]:
        assert re.fullmatch(r"[a-z]+:\d[\w.-]*", image), image


def test_every_component_has_one_thread_and_no_telemetry(services: dict[str, Any]) -> None:
    dockerfile = (CHECKOUT / "Dockerfile").read_text()
    for variable, value in SINGLE_THREADED.items():
        assert f"{variable}={value}" in dockerfile
    for name in COMPONENTS:
        environment = services[name]["environment"]
        assert SINGLE_THREADED.items() <= environment.items()
        assert environment["AIRFLOW__USAGE_DATA_COLLECTION__ENABLED"] == "False"
        assert environment["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"


def test_the_image_copies_what_exists_and_ends_as_a_plain_user() -> None:
    dockerfile = (CHECKOUT / "Dockerfile").read_text()
    for sources in re.findall(r"^COPY (?!--)(.+) \S+$", dockerfile, re.MULTILINE):
        for source in sources.split():
            assert (CHECKOUT / source).exists(), source
    assert re.findall(r"^USER (\S+)", dockerfile, re.MULTILINE)[-1] == "50000"


def test_the_image_installs_the_locked_versions_with_the_locked_installer() -> None:
    dockerfile = (CHECKOUT / "Dockerfile").read_text()
    pinned = re.search(r"uv_version=(\S+)", (CHECKOUT / "scripts" / "set-up.sh").read_text())
    assert pinned is not None
    assert f"uv=={pinned.group(1)}" in dockerfile
    assert "--constraints requirements.txt" in dockerfile


@pytest.fixture
def here(
    resolved: dict[str, Any], postgres_server: LocalPostgres, tmp_path: Path
) -> Iterator[Callable[[str], str]]:
    """Rewrite what names a container, a folder, a login or a database to what stands for it here."""
    port, mine = free_port(), uuid.uuid4().hex[:8]
    postgres_server.create_database(f"rescore_{mine}")
    # Roles that rights are given to belong to the server: they may be there. Logins are this test's own.
    named = re.compile(r"\b(rescore|rescore_(?:owner|worker|person|reader)|airflow)\b")
    script = named.sub(rf"\1_{mine}", resolved["configs"]["databases"]["content"])
    connection = psycopg2.connect(postgres_server.url())
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in script.split(";\n"):
            with suppress(psycopg2.errors.DuplicateObject):
                cursor.execute(statement or "SELECT")
    connection.close()
    for folder in ("auth", "logs", "rescore"):
        (tmp_path / folder).mkdir()

    def rewrite(text: str) -> str:
        text = re.sub(
            r"//(\w+):(\w+)@postgres:5432/(\w+)",
            rf"//\1_{mine}:\2@127.0.0.1:{postgres_server.port}/\3_{mine}",
            text,
        )
        text = text.replace("api-server:8080", f"127.0.0.1:{port}").replace(
            "localhost:8080", f"127.0.0.1:{port}"
        )
        text = text.replace("0.0.0.0", "127.0.0.1").replace("/opt/airflow", str(tmp_path))
        return str(port) if text == "8080" else text.replace("/opt/rescore", str(CHECKOUT))

    yield rewrite
    for database in ("airflow", "rescore"):
        postgres_server.drop_database(f"{database}_{mine}")


@pytest.mark.slow
@pytest.mark.airflow
def test_the_services_commands_give_a_working_airflow(
    services: dict[str, Any], here: Callable[[str], str], tmp_path: Path
) -> None:
    def environment(name: str) -> dict[str, str]:
        given = {key: here(value) for key, value in services[name]["environment"].items()}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {"PATH": path, "HOME": str(tmp_path), "AIRFLOW_HOME": str(tmp_path), **given}

    def command(name: str) -> list[str]:
        # Compose writes $$ for a dollar sign that the shell is to see.
        return [here(part).replace("$$", "$") for part in services[name]["command"]]

    prepared = subprocess.run(
        command("prepare"), env=environment("prepare"), capture_output=True, text=True, check=False
    )
    assert prepared.returncode == 0, prepared.stderr[-2000:]

    with Store(environment("scheduler")["RESCORE_DATABASE_URL"]) as store:
        login = store.roles.login()
        assert not login.superuser and not login.owner
        assert "rescore_run" in login.member_of and "rescore_release" not in login.member_of
        assert store.models.names() == []  # its tables are there, and it may read them

    me = Identity("plain", os.geteuid(), os.getegid(), os.geteuid())
    started: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name in COMPONENTS:
            with (tmp_path / f"{name}.log").open("wb") as log:
                started[name] = subprocess.Popen(
                    wrapped(command(name), me, tied=True),
                    env=environment(name),
                    stdout=log,
                    stderr=log,
                    cwd=tmp_path,
                    start_new_session=True,
                )
        ill = set(COMPONENTS)
        for _ in range(1000):
            for name in COMPONENTS:
                assert started[name].poll() is None, (tmp_path / f"{name}.log").read_text()[-2000:]
            ill = {name for name in ill if not healthy(services[name], here, environment(name))}
            if not ill:
                break
        assert not ill
        url = here("http://api-server:8080")
        client = AirflowClient.log_in(url, "admin", SECRETS["AIRFLOW_ADMIN_PASSWORD"])
        assert client.request("GET", "version")["version"] == "3.3.2"
        client.wait_for_dag("reproduce")
    finally:
        end_all(Process.in_sessions(child.pid for child in started.values()), seconds=5)
        for child in started.values():
            child.wait()


def healthy(service: dict[str, Any], here: Callable[[str], str], environment: dict[str, str]) -> bool:
    test = service["healthcheck"]["test"]
    assert test[0] == "CMD"
    done = subprocess.run(
        [here(part) for part in test[1:]], env=environment, check=False, capture_output=True
    )
    return done.returncode == 0
