"""The console without a server: Airflow's own auth manager and tables, and a store with a few models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from airflow import settings
from airflow.api_fastapi.app import create_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.models import import_all_models
from airflow.models.base import Base
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.utils.session import create_session
from fastapi import FastAPI
from fastapi.testclient import TestClient

from rescore.store import Store
from tests.shared.fleet import Fleet

__all__ = ["KINDS", "Console", "prepare_airflow"]

KINDS = ("score", "train", "publish", "monitor")


@dataclass
class Console:
    """The console over a filled store.

    Attributes
    ----------
    app : FastAPI
        As the API server mounts it.
    store : Store
        What it reads.
    fleet : Fleet
        What filled the store.
    models : Path
        The model folders.
    names : list of str
        The models.
    """

    app: FastAPI
    store: Store
    fleet: Fleet
    models: Path
    names: list[str]

    def client(self, role: str | None = "admin", **headers: str) -> TestClient:
        """A browser of somebody with this role; ``anonymous`` has not logged in."""
        client = TestClient(self.app, follow_redirects=False)
        client.headers.update(headers)
        if role != "anonymous":
            user = SimpleAuthManagerUser(username=str(role), role=role)
            client.cookies.set("_token", create_auth_manager().generate_jwt(user))
        return client

    def get(self, path: str, **headers: str) -> str:
        """The text of a page, for an admin."""
        answer = self.client(**headers).get(path)
        assert answer.status_code == 200, answer.text
        return answer.text


def prepare_airflow(dag_ids: list[str]) -> None:
    """Airflow's tables in the tests' own home, with some DAGs in them, and its auth manager."""
    import_all_models()
    Base.metadata.create_all(settings.engine)
    create_auth_manager().init()
    with create_session() as session:
        if session.get(DagBundleModel, "tests") is None:
            session.add(DagBundleModel(name="tests"))
            session.flush()
        for dag_id in dag_ids:
            if session.get(DagModel, dag_id) is None:
                session.add(DagModel(dag_id=dag_id, bundle_name="tests"))
