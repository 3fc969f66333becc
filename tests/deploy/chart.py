"""What the official chart makes of ``deploy/kubernetes/values.yaml``, as far as commands and variables go."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

__all__ = ["COMPONENTS", "POD", "VALUES", "environment", "pod_of", "read", "secrets_of"]

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
VALUES, POD = FOLDER / "values.yaml", FOLDER / "pod-template.yaml"
#: Compose's name of what the chart calls by the other.
COMPONENTS = {
    "prepare": "migrateDatabaseJob",
    "api-server": "apiServer",
    "scheduler": "scheduler",
    "dag-processor": "dagProcessor",
    "triggerer": "triggerer",
}
#: What the chart sets by itself: the variable, the value that names the secret, and the key in it.
_BUILT_IN = {
    "AIRFLOW__CORE__FERNET_KEY": (("fernetKeySecretName",), "fernet-key"),
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": (("data", "metadataSecretName"), "connection"),
    "AIRFLOW__API__SECRET_KEY": (("apiSecretKeySecretName",), "api-secret-key"),
    "AIRFLOW__API_AUTH__JWT_SECRET": (("jwtSecretName",), "jwt-secret"),
}


def read(path: Path) -> dict[str, Any]:
    """The document of a YAML file."""
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    return document


def _reference(name: str, secret: str, key: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def environment(values: Mapping[str, Any], component: str) -> list[dict[str, Any]]:
    """The ``env`` of a component's container.

    Parameters
    ----------
    values : mapping
        The chart's values.
    component : str
        Their name of it.

    Returns
    -------
    list of dict
        As Kubernetes has it, a name and a value or a reference to a secret each.
    """
    own = values[component]
    env = list(own.get("env", []))
    if own.get("applyCustomEnv", True):
        env += values["env"]
        env += [_reference(one["envName"], one["secretName"], one["secretKey"]) for one in values["secret"]]
    for name, (path, key) in _BUILT_IN.items():
        secret: Any = values
        for part in path:
            secret = secret[part]
        env.append(_reference(name, secret, key))
    return env


def secrets_of(env: list[dict[str, Any]]) -> set[str]:
    """Which secrets are read, as ``name/key``."""
    found = (one["valueFrom"]["secretKeyRef"] for one in env if "valueFrom" in one)
    return {f"{one['name']}/{one['key']}" for one in found}


def pod_of(values: Mapping[str, Any], component: str) -> dict[str, Any]:
    """A pod with all that the values say of a component's; what the chart adds by itself is not in it."""
    own = values[component]
    image = values["images"]["airflow"]
    container = {
        "name": component.lower(),
        "image": f"{image['repository']}:{image['tag']}",
        "args": own["args"],
        "env": environment(values, component),
        "resources": own["resources"],
        "securityContext": values["securityContexts"]["container"],
        "volumeMounts": values["volumeMounts"],
    }
    for probe in ("startupProbe", "livenessProbe"):
        if "command" in own.get(probe, {}):
            said = dict(own[probe])
            container[probe] = {"exec": {"command": said.pop("command")}, **said}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": component.lower()},
        "spec": {
            "containers": [container],
            "securityContext": values["securityContexts"]["pod"],
            "volumes": values["volumes"],
        },
    }
