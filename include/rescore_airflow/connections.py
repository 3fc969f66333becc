"""Connection ids to URLs, and the pipeline's context inside Airflow.

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
from urllib.parse import quote, urlencode

from rescore.errors import SettingsError
from rescore.settings import Settings

if TYPE_CHECKING:
    from rescore.pipeline import Context

__all__ = ["SharedContext", "connection_url", "pipeline_context", "postgres_url"]

log = logging.getLogger(__name__)

#: What of a connection's extras libpq understands; the rest is meant for Airflow's own hooks.
_LIBPQ = {
    *("application_name", "channel_binding", "client_encoding", "connect_timeout", "gssencmode", "hostaddr"),
    *("keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval", "krbsrvname", "options"),
    *("passfile", "require_auth", "service", "sslcert", "sslcrl", "sslkey", "sslmode", "sslpassword"),
    *("sslrootcert", "target_session_attrs", "tcp_user_timeout"),
}


def postgres_url(connection: Any) -> str:
    """Write an Airflow connection as a libpq URL.

    Airflow's own ``get_uri`` says ``postgres://`` and adds extras that libpq refuses.

    Raises
    ------
    SettingsError
        The connection is not one to Postgres.
    """
    if (connection.conn_type or "").lower() not in {"postgres", "postgresql"}:
        raise SettingsError(
            f"the connection {connection.conn_id!r} is of type {connection.conn_type!r}",
            where=f"Airflow connection {connection.conn_id}",
            expected="type postgres",
            fix="change its type, or name another connection in model.yaml",
        )
    extras = connection.extra_dejson or {}
    query = {key: str(value) for key, value in sorted(extras.items()) if key in _LIBPQ}
    host = connection.host or ""
    if host.startswith("/"):
        query["host"], host = host, ""
    user = quote(connection.login or "", safe="")
    if connection.password:
        user += ":" + quote(connection.password, safe="")
    host = f"[{host}]" if ":" in host else quote(host, safe="")
    return (
        "postgresql://"
        + (f"{user}@" if user else "")
        + host
        + (f":{connection.port}" if connection.port else "")
        + (f"/{quote(connection.schema, safe='')}" if connection.schema else "/")
        + (f"?{urlencode(query)}" if query else "")
    )


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
    url = _airflow_connection(connection_id)
    if url is None:
        url = Settings.from_environment().connections.get(connection_id.lower())
    if url is None:
        raise SettingsError(
            f"the source connection {connection_id!r} is not configured",
            where=f"Airflow connections, and the variable RESCORE_CONNECTION_{connection_id.upper()}",
            expected="one of the two",
            fix=f"add an Airflow connection {connection_id!r} of type postgres, or set the variable",
        )
    return url


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
        yield ctx


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
