"""The environment in which commands, Airflow and tests use the same folders, store and sources."""

from __future__ import annotations

from rescore.local.logins import Logins
from rescore.local.postgres import LocalPostgres
from rescore.model import THREAD_VARIABLES
from rescore.settings import Settings

__all__ = ["OWNERS", "SINGLE_THREADED", "STORE_DATABASE", "environment", "settings_variables"]

#: The store's database on the local Postgres.
STORE_DATABASE = "rescore"

#: What only set-up needs; no worker has it in its environment.
OWNERS = ("RESCORE_OWNER_URL",)

#: Numbers must come out the same on every machine, so each process has one thread; parallel work is
#: done by processes. These have to be in the environment before numpy is first loaded.
SINGLE_THREADED = dict.fromkeys(THREAD_VARIABLES, "1")


#: Source connections of the demos' models.
DEMO_SOURCES = ("ames_source", "flights_source")


def environment(settings: Settings) -> dict[str, str]:
    """Variables with which a process uses the same folders, store and sources as this one.

    Without a ``RESCORE_DATABASE_URL`` they name the local Postgres, by a login for each part of the work.
    Source connections are those declared; the demos' (:data:`DEMO_SOURCES`) are the store's own database
    unless declared, as a login that only reads it.

    Raises
    ------
    LocalStackError
        There is no ``RESCORE_DATABASE_URL``, and the local Postgres was never started.
    """
    variables = settings_variables(settings)
    if settings.database_url is not None:
        return {**_demo_sources(settings.database_url), **variables, **SINGLE_THREADED}
    logins = Logins.of(LocalPostgres(settings.home), STORE_DATABASE)
    return {
        **_demo_sources(logins.extract),
        **variables,
        "RESCORE_DATABASE_URL": logins.run,
        "RESCORE_RELEASE_URL": logins.release,
        "RESCORE_OWNER_URL": logins.owner,
        **SINGLE_THREADED,
    }


def _demo_sources(url: str) -> dict[str, str]:
    return {f"RESCORE_CONNECTION_{name.upper()}": url for name in DEMO_SOURCES}


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
        "RESCORE_RELEASE_URL": settings.release_url,
        "RESCORE_OWNER_URL": settings.owner_url,
        "RESCORE_ENVIRONMENTS": settings.environments,
        "RESCORE_LOCK": settings.lock,
        "RESCORE_SIGNING_PUBLIC_KEY": settings.signing_public_key,
    }
    return variables | {name: str(value) for name, value in paths.items() if value}
