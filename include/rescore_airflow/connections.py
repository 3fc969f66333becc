"""Where the databases are that connection ids name, and the pipeline's context inside Airflow.

An Airflow connection comes first, the environment second, so that the same DAGs run where people
keep their connections in Airflow and where they do not.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from rescore.errors import SettingsError
from rescore.settings import Settings

if TYPE_CHECKING:
    from rescore.pipeline import Context

__all__ = ["SharedContext", "connection_url", "pipeline_context", "postgres_url"]

log = logging.getLogger(__name__)


def postgres_url(connection: Any) -> str:
    """Write an Airflow connection as libpq's ``key='value'`` string.

    Airflow's own ``get_uri`` says ``postgres://`` and adds extras that libpq refuses; here extras that are
    no parameter of libpq are left to Airflow's hooks.

    Raises
    ------
    SettingsError
        The connection is not one to Postgres.
    """
    from rescore.postgres_url import PostgresUrl, is_parameter

    if (connection.conn_type or "").lower() not in {"postgres", "postgresql", "rescore"}:
        raise SettingsError(
            f"the connection {connection.conn_id!r} is of type {connection.conn_type!r}",
            where=f"Airflow connection {connection.conn_id}",
            expected="type postgres or rescore",
            fix="change its type, or name another connection in model.yaml",
        )
    own = {
        "host": connection.host,
        "port": connection.port,
        "dbname": connection.schema,
        "user": connection.login,
        "password": connection.password,
    }
    extras = {name: value for name, value in (connection.extra_dejson or {}).items() if is_parameter(name)}
    given = {name: str(value) for name, value in {**extras, **own}.items() if value not in (None, "")}
    return PostgresUrl(given).dsn


def _airflow_connection(connection_id: str) -> str | None:
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        return postgres_url(Connection.get(connection_id))
    except AirflowNotFoundException:
        return None


def connection_url(connection_id: str) -> str:
    """The URL of a source: the Airflow connection of that id, else ``RESCORE_CONNECTION_<ID>``.

    Raises
    ------
    SettingsError
        Neither exists.
    """
    return _airflow_connection(connection_id) or Settings.from_environment().connection_url(connection_id)


def _store_url(settings: Settings) -> str | None:
    connection_id = os.environ.get("RESCORE_STORE_CONN_ID")
    url = _airflow_connection(connection_id or "rescore_store")
    if url is None and connection_id:
        raise SettingsError(
            f"the store's connection {connection_id!r} does not exist",
            where="environment variable RESCORE_STORE_CONN_ID",
            expected="the id of an Airflow connection",
            fix="add the connection, or unset the variable and set RESCORE_DATABASE_URL",
        )
    return url or settings.database_url


def _check_archive(archive: str) -> None:
    """Refuse a plain path where the next task may run on another machine."""
    from airflow.sdk import conf

    executors = [name.strip() for name in conf.get("core", "executor", fallback="LocalExecutor").split(",")]
    remote = [name for name in executors if name.rpartition(":")[2].rpartition(".")[2] != "LocalExecutor"]
    if remote and "://" not in archive:
        raise SettingsError(
            f"the archive {archive} is a folder of this machine, but tasks run on others too",
            where=f"RESCORE_ARCHIVE, with executor {', '.join(remote)}",
            expected="an fsspec URL, like s3://bucket/rescore; file:///… says that every worker mounts it",
            fix="set RESCORE_ARCHIVE for every Airflow component",
        )


def _settings() -> Settings:
    """The environment's settings, with the store's URL resolved through Airflow."""
    settings = Settings.from_environment()
    _check_archive(settings.archive)
    return replace(settings, database_url=_store_url(settings))


def _open(settings: Settings) -> Context:
    from rescore import pipeline

    return pipeline.Context.from_environment(settings, connection=connection_url, progress=log.info)


def _tried_again() -> bool:
    """Whether Airflow tries the task that runs here again: its last try ends what it worked on."""
    from airflow.sdk import get_current_context

    try:
        instance: Any = get_current_context()["ti"]
    except RuntimeError:  # no task: a trigger, a test
        return True
    return bool(instance.try_number <= instance.max_tries)


@contextmanager
def pipeline_context() -> Iterator[Context]:
    """What the pipeline needs, for one task; its connections are closed afterwards.

    The store is the Airflow connection that ``RESCORE_STORE_CONN_ID`` names (default
    ``rescore_store``), else ``RESCORE_DATABASE_URL``.

    Raises
    ------
    SettingsError
        No store is configured, or the archive is a folder of one machine while tasks run on several.
    """
    with _open(_settings()) as ctx:
        yield replace(ctx, tried_again=_tried_again())


class SharedContext:
    """One context for every request that a process answers, so that they share its few connections.

    The settings are read for every request: when they or the store's URL change, the next request gets
    a new context, and the old one is closed.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._opened: tuple[Settings, Context] | None = None

    def get(self) -> Context:
        """The context for the settings as they are now.

        Raises
        ------
        SettingsError
            As for :func:`pipeline_context`.
        """
        settings = _settings()
        with self._lock:
            if self._opened is None or self._opened[0] != settings:
                opened = _open(settings)
                self._close()
                self._opened = (settings, opened)
            return self._opened[1]

    def close(self) -> None:
        """Close its connections; the next request opens new ones."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._opened is not None:
            self._opened[1].close()
            self._opened = None
