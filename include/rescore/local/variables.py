"""The environment in which commands, Airflow and tests use the same folders, store and sources."""

from __future__ import annotations

from rescore.local.postgres import LocalPostgres
from rescore.model import THREAD_VARIABLES
from rescore.settings import Settings

__all__ = ["SINGLE_THREADED", "STORE_DATABASE", "environment", "settings_variables"]

#: The store's database on the local Postgres.
STORE_DATABASE = "rescore"

#: Numbers must come out the same on every machine, so each process has one thread; parallel work is
#: done by processes. These have to be in the environment before numpy is first loaded.
SINGLE_THREADED = dict.fromkeys(THREAD_VARIABLES, "1")


def environment(settings: Settings) -> dict[str, str]:
    """Variables with which a process uses the same folders, store and sources as this one.

    Without a ``RESCORE_DATABASE_URL`` they name the local Postgres. Source connections are those
    declared; ``flights_source``, the demo's, is the store's own database unless declared.

    Raises
    ------
    LocalStackError
        There is no ``RESCORE_DATABASE_URL``, and the local Postgres was never started.
    """
    store = settings.database_url or LocalPostgres(settings.home).url(STORE_DATABASE)
    return {
        "RESCORE_CONNECTION_FLIGHTS_SOURCE": store,
        **settings_variables(settings),
        "RESCORE_DATABASE_URL": store,
        **SINGLE_THREADED,
    }


def settings_variables(settings: Settings) -> dict[str, str]:
    """Variables from which `Settings.from_environment` reads the same settings again."""
    variables = {
        "RESCORE_HOME": str(settings.home),
        "RESCORE_MODELS": str(settings.models),
        "RESCORE_ARCHIVE": settings.archive,
        "RESCORE_STORE_SCHEMA": settings.store_schema,
        "RESCORE_CONSUMER_SCHEMA": settings.consumer_schema,
        **{f"RESCORE_CONNECTION_{name.upper()}": url for name, url in settings.connections.items()},
    }
    paths = {
        "RESCORE_DATABASE_URL": settings.database_url,
        "RESCORE_ENVIRONMENTS": settings.environments,
        "RESCORE_LOCK": settings.lock,
        "RESCORE_SIGNING_PUBLIC_KEY": settings.signing_public_key,
    }
    return variables | {name: str(value) for name, value in paths.items() if value}
