"""``deploy/kubernetes``: held beside the compose files, and read as Kubernetes and Airflow read it.

There is no cluster and no Helm here. What the chart itself renders is not tested.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
from kubernetes.client import ApiClient

from rescore.local import SINGLE_THREADED
from tests.deploy.chart import COMPONENTS, POD, VALUES, environment, pod_of, read, secrets_of
from tests.deploy.test_compose import CHECKOUT, SECRETS
from tests.deploy.test_distributed import THEIRS, config_of

#: The schema of which Kubernetes.
KUBERNETES = "1.37"
GUIDE = CHECKOUT / "docs" / "guides" / "kubernetes.md"
#: What stays with Celery, and with Compose's own way of building.
_OF_COMPOSE = re.compile("AIRFLOW__CELERY__")
#: Airflow's own secrets and what its server alone reads: tasks have none of them, and the preparation few.
_OF_SERVERS = {
    "AIRFLOW__API_AUTH__JWT_SECRET",
    "AIRFLOW__API__SECRET_KEY",
    "AIRFLOW__API__WORKERS",
    "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW__CORE__PARALLELISM",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
}
#: The preparation starts no task, and the owner's rights are not those of a worker or a person.
_NOT_FOR_THE_OWNER = {
    "AIRFLOW_ADMIN_PASSWORD",  # Airflow's user list lies in the API server's own volume
    "AIRFLOW__API__BASE_URL",
    "AIRFLOW__API__WORKERS",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
    "AIRFLOW__CORE__EXECUTOR",
    "AIRFLOW__CORE__PARALLELISM",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "RESCORE_CONNECTION_AMES_SOURCE",
    "RESCORE_CONNECTION_FLIGHTS_SOURCE",
    "RESCORE_RELEASE_URL",
}
#: Where things are differs by its nature.
_PLACES = {
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
    "AIRFLOW__CORE__EXECUTOR",
    "AIRFLOW__CORE__PARALLELISM",
    "RESCORE_ARCHIVE",
}


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    return read(VALUES)


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return read(POD)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return config_of({**SECRETS, **THEIRS})


def _variables(service: dict[str, Any]) -> dict[str, str]:
    given: dict[str, str] = service["environment"]
    return {name: value for name, value in given.items() if not _OF_COMPOSE.match(name)}


def _task(template: dict[str, Any]) -> dict[str, Any]:
    [container] = template["spec"]["containers"]
    assert isinstance(container, dict) and container["name"] == "base"
    return container


def _all(values: dict[str, Any], template: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The variables of every container, by Compose's name of the service."""
    servers = {name: environment(values, component) for name, component in COMPONENTS.items()}
    return {**servers, "worker": _task(template)["env"]}


@pytest.mark.parametrize("name", [*COMPONENTS, "worker"])
def test_every_variable_of_the_compose_service_is_given_and_says_the_same(
    name: str, values: dict[str, Any], template: dict[str, Any], services: dict[str, Any]
) -> None:
    left_out = {"prepare": _NOT_FOR_THE_OWNER, "worker": _OF_SERVERS}.get(name, set())
    env = _all(values, template)[name]
    here = {one["name"]: one.get("value") for one in env}
    assert len(here) == len(env), "Kubernetes takes a name once"
    there = _variables(services[name])
    assert set(there) - set(here) == left_out
    for variable, value in here.items():
        if value is not None and variable in there and variable not in _PLACES:
            assert value == there[variable], variable
    assert SINGLE_THREADED.items() <= here.items()


def test_no_secret_is_written_and_each_that_is_read_is_in_the_guide(
    values: dict[str, Any], template: dict[str, Any]
) -> None:
    guide, flags = GUIDE.read_text(), re.MULTILINE
    secret = re.compile(r"PASSWORD$|SECRET|_KEY|FERNET|SQL_ALCHEMY|DATABASE_URL|RELEASE_URL|CONNECTION")
    for name, env in _all(values, template).items():
        for one in env:
            if "value" in one:
                assert not secret.search(one["name"]), f"{name}: {one['name']}"
                assert "@" not in one["value"], f"{name}: {one['name']}"
    rows = re.findall(r"^\| `(rescore-\w+)` \| `([\w-]+)` \|", guide, flags)
    listed = {f"{name}/{key}" for name, key in rows}
    assert listed == set.union(*map(secrets_of, _all(values, template).values()))


def test_only_the_preparation_has_the_owners_login_and_no_task_has_airflows_secrets(
    values: dict[str, Any], template: dict[str, Any]
) -> None:
    readers: dict[str, set[str]] = {}
    for name, env in _all(values, template).items():
        for key in secrets_of(env):
            readers.setdefault(key.partition("/")[0], set()).add(name)
    servers = set(COMPONENTS)
    assert readers == {
        "rescore-owner": {"prepare"},
        "rescore-worker": (servers | {"worker"}) - {"prepare"},
        "rescore-airflow": servers,
    }


def test_commands_are_those_of_the_compose_file(values: dict[str, Any], services: dict[str, Any]) -> None:
    for name in ("scheduler", "dag-processor", "triggerer"):
        assert values[COMPONENTS[name]]["args"] == services[name]["command"], name
    server = values["apiServer"]["args"][-1]
    assert server.splitlines()[-1] == "exec " + " ".join(services["api-server"]["command"])
    prepare = {line.strip() for line in services["prepare"]["command"][-1].replace("$$", "$").splitlines()}
    job = values["migrateDatabaseJob"]["args"][-1].splitlines()
    assert job[-1] == "airflow db migrate"  # what the other pods wait for
    assert prepare <= set(job) | {line.strip() for line in server.splitlines()}


@pytest.mark.parametrize("name", [*COMPONENTS.values(), "task"])
def test_pods_are_valid_and_confined(name: str, values: dict[str, Any], template: dict[str, Any]) -> None:
    pod = template if name == "task" else pod_of(values, name)
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)
    [container] = pod["spec"]["containers"]
    assert pod["spec"]["securityContext"] == values["securityContexts"]["pod"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["spec"]["securityContext"]["runAsUser"] == 50000
    assert set(container["resources"]) == {"requests", "limits"}
    writable = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    assert {"/opt/airflow", "/opt/airflow/rescore", "/tmp"} <= set(writable.values())
    for volume in pod["spec"]["volumes"]:
        if volume["name"] != "logs":
            assert volume["emptyDir"]["sizeLimit"], volume["name"]


def test_a_misspelt_key_is_no_valid_pod(template: dict[str, Any]) -> None:
    spec = {**template["spec"], "restartPolicies": "Never"}
    with pytest.raises(kubernetes_validate.ValidationError, match="restartPolicies"):
        kubernetes_validate.validate({**template, "spec": spec}, KUBERNETES, strict=True)


def test_servers_have_probes_that_do_not_need_airflows_own_image(values: dict[str, Any]) -> None:
    for name in ("scheduler", "dagProcessor", "triggerer"):
        probe = values[name]["livenessProbe"]
        assert probe["command"][:3] == ["airflow", "jobs", "check"]
        assert probe["timeoutSeconds"] < probe["periodSeconds"]
        assert values[name]["logGroomerSidecar"] == {"enabled": False}
    assert {values[name]["defaultUser"]["enabled"] for name in ("apiServer", "webserver")} == {False}


def test_the_executor_makes_a_valid_pod_of_the_template(template: dict[str, Any]) -> None:
    """By KubernetesExecutor's own generator, with the command that it gives to a task."""
    import datetime

    command = ["python", "-m", "airflow.sdk.execution_time.execute_workload", "--json-string", "{}"]
    made = PodGenerator.construct_pod(
        dag_id="score_tides",
        task_id="score",
        pod_id="score-tides-score-1",
        try_number=1,
        kube_image=_task(template)["image"],
        date=datetime.datetime(2026, 1, 5, tzinfo=datetime.UTC),
        args=command,
        pod_override_object=None,
        base_worker_pod=PodGenerator.deserialize_model_file(str(POD)),
        namespace="rescore",
        scheduler_job_id="1",
        run_id="scheduled__2026-01-05",
        map_index=2,
    )
    pod: dict[str, Any] = ApiClient().sanitize_for_serialization(made)
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)
    container = _task(pod)
    assert container["args"] == command
    env = {one["name"]: one for one in container["env"]}
    assert _task(template)["env"] == [env[one["name"]] for one in _task(template)["env"]]
    assert set(env) - {one["name"] for one in _task(template)["env"]} == {"AIRFLOW_IS_K8S_EXECUTOR_POD"}
    assert pod["spec"]["volumes"] == template["spec"]["volumes"]
    assert pod["spec"]["securityContext"] == template["spec"]["securityContext"]


def test_the_image_holds_the_executor_and_the_guide_names_both_files() -> None:
    installed = re.search(r"'\.\[([\w,]+)\]'", (CHECKOUT / "Dockerfile").read_text())
    assert installed is not None and "kubernetes" in installed.group(1).split(",")
    for path in (VALUES, POD):
        assert str(path.relative_to(CHECKOUT)) in GUIDE.read_text()
        assert Path(path).is_file()
