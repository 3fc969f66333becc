"""Airflow connections become URLs that libpq reads as they were meant."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import psycopg2
import psycopg2.extensions
import pytest
from airflow.sdk import Connection
from airflow.sdk.execution_time.context import set_current_context
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from rescore.errors import SettingsError
from rescore_airflow.connections import SharedContext, connection_url, pipeline_context, postgres_url


def test_every_part_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = Connection(
        conn_id="source",
        conn_type="postgres",
        host="db.example",
        login="ada@corp",
        password="p/ss:w@rd?",
        schema="sales data",
        port=6432,
        extra='{"sslmode": "require", "connect_timeout": 5, "cursor": "dictcursor", "iam": false}',
    )
    assert psycopg2.extensions.parse_dsn(postgres_url(connection)) == {
        "host": "db.example",
        "user": "ada@corp",
        "password": "p/ss:w@rd?",
        "dbname": "sales data",
        "port": "6432",
        "sslmode": "require",
        "connect_timeout": "5",
    }


def test_a_socket_folder_and_an_ipv6_host() -> None:
    socket = Connection(conn_id="a", conn_type="postgres", host="/var/run/postgresql", schema="db")
    assert psycopg2.extensions.parse_dsn(postgres_url(socket)) == {
        "host": "/var/run/postgresql",
        "dbname": "db",
    }
    ipv6 = Connection(conn_id="a", conn_type="postgres", host="::1", login="u", schema="db")
    assert psycopg2.extensions.parse_dsn(postgres_url(ipv6))["host"] == "::1"


def test_an_airflow_connection_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESCORE_CONNECTION_HARBOUR", "postgresql://from-rescore/db")
    assert connection_url("harbour") == "postgresql://from-rescore/db"
    monkeypatch.setenv("AIRFLOW_CONN_HARBOUR", "postgres://from-airflow/db")
    from_airflow = psycopg2.extensions.parse_dsn(connection_url("harbour"))
    assert from_airflow == {"host": "from-airflow", "dbname": "db"}


@pytest.mark.parametrize("name", ["my-shop", "100%", "a,b", "it's", "{{ ds }}", "a=b c"])
def test_names_and_passwords_that_mean_something_elsewhere(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = Connection(
        conn_id=name, conn_type="postgres", host="db", login=name, password=name, schema=name
    )
    assert psycopg2.extensions.parse_dsn(postgres_url(connection)) == {
        "host": "db",
        "user": name,
        "password": name,
        "dbname": name,
    }


def test_an_id_with_a_dash_is_found_under_the_name_that_a_shell_exports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RESCORE_CONNECTION_MY_SHOP", "postgresql://shop/db")
    assert connection_url("my-shop") == connection_url("MY_SHOP") == "postgresql://shop/db"
    with pytest.raises(SettingsError, match="set RESCORE_CONNECTION_NO_SHOP, or add") as caught:
        connection_url("no-shop")
    assert "configured are: my_shop" in str(caught.value)


def test_what_is_not_configured_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="'nowhere' is not configured"):
        connection_url("nowhere")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "mysql://host/db")
    with pytest.raises(SettingsError, match="'mysql'"):
        connection_url("warehouse")
    monkeypatch.setenv("RESCORE_STORE_CONN_ID", "missing_store")
    with pytest.raises(SettingsError, match="RESCORE_STORE_CONN_ID"), pipeline_context():
        pass


@pytest.mark.parametrize("executor", ["CeleryExecutor", "LocalExecutor,KubernetesExecutor"])
def test_a_folder_of_one_machine_is_no_archive_for_several(
    executor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESCORE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    monkeypatch.setenv("RESCORE_ARCHIVE", "/var/lib/rescore")
    with pytest.raises(SettingsError, match="is a folder of this machine"), pipeline_context():
        pass
    monkeypatch.setenv("RESCORE_ARCHIVE", "file:///mnt/shared/rescore")
    with pipeline_context() as ctx:
        assert ctx.settings.archive == "file:///mnt/shared/rescore"


def test_a_process_that_answers_requests_has_one_store(
    database_url: str, owned_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESCORE_DATABASE_URL", owned_database)
    shared = SharedContext()
    first = shared.get()
    first.store.schema.migrate()
    for _ in range(5):
        assert shared.get() is first
        assert shared.get().store.history.status() == []
    assert connections_to(database_url) == 1

    monkeypatch.setenv("RESCORE_STORE_SCHEMA", "another")
    second = shared.get()
    assert second is not first, "other settings, another store"
    assert connections_to(database_url) == 0, "the old one is closed"
    shared.close()
    assert shared.get() is not second


def test_a_task_closes_its_store(
    database_url: str, owned_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESCORE_DATABASE_URL", owned_database)
    with pipeline_context() as ctx:
        ctx.store.schema.migrate()
        assert connections_to(database_url) == 1
    assert connections_to(database_url) == 0


def connections_to(url: str) -> int:
    """How many other connections the database has."""
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rescore'"
            " AND datname = current_database()"
        )
        (count,) = cursor.fetchone()
    connection.close()
    return int(count)


@pytest.mark.parametrize(("try_number", "again"), [(1, True), (2, True), (3, False)])
def test_a_task_knows_whether_airflow_tries_it_again(
    try_number: int, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESCORE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert {"try_number", "max_tries"} <= {*RuntimeTaskInstance.model_fields}
    task: Any = {"ti": SimpleNamespace(try_number=try_number, max_tries=2)}
    with set_current_context(task), pipeline_context() as ctx:
        assert ctx.tried_again is again
    with pipeline_context() as ctx:
        assert ctx.tried_again
