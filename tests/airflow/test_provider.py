"""What Airflow lists of us among its providers, by its own schema and its own manager."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import airflow
import jsonschema
import pytest
from airflow.providers_manager import ProvidersManager
from airflow.sdk import BaseNotifier
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

from rescore.local import LocalPostgres
from rescore_airflow.hook import RescoreHook
from rescore_airflow.provider import get_provider_info

SCHEMA = Path(airflow.__file__).parent / "provider_info.schema.json"


def test_what_is_said_is_as_airflow_asks() -> None:
    jsonschema.validate(get_provider_info(), json.loads(SCHEMA.read_text()))


def test_airflow_finds_provider_connection_type_and_notifier() -> None:
    manager = ProvidersManager()
    task_runtime = ProvidersManagerTaskRuntime()
    assert manager.providers["rescore"].data["name"] == "Rescore"
    hook = task_runtime.hooks["rescore"]
    assert hook is not None and hook.hook_class_name == "rescore_airflow.hook.RescoreHook"
    assert hook.connection_id_attribute_name == "rescore_conn_id" and hook.connection_testable
    assert manager.field_behaviours["rescore"]["relabeling"]["schema"] == "Database"
    [notifier] = [one for one in manager.notification if "rescore" in one]
    module, _, name = notifier.rpartition(".")
    assert issubclass(getattr(import_module(module), name), BaseNotifier)


def test_modules_that_are_named_exist() -> None:
    info = get_provider_info()
    for kind in ("operators", "triggers", "hooks"):
        for one in info[kind]:
            for module in one["python-modules"]:
                assert import_module(module).__all__, module


def test_a_connection_of_the_type_is_tested_against_its_server(
    postgres_server: LocalPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_BAY", postgres_server.url().replace("postgresql:", "rescore:"))
    works, said = RescoreHook("bay").test_connection()
    assert works and said.startswith("Postgres ") and "database " in said
    monkeypatch.setenv("AIRFLOW_CONN_BAY", "rescore://nobody@127.0.0.1:1/nowhere")
    works, said = RescoreHook("bay").test_connection()
    assert not works and "127.0.0.1" in said
    works, said = RescoreHook("of_no_connection").test_connection()
    assert not works and "RESCORE_CONNECTION_OF_NO_CONNECTION" in said
