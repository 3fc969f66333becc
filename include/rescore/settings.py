"""Where things are: read from the environment once, then passed on as a value."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rescore.errors import SettingsError

__all__ = ["Settings", "is_schema_name"]


_LOCK = Path(__file__).parents[2] / "requirements.txt"


@dataclass(frozen=True)
class Settings:
    """Everything about a deployment that is not a model.

    Attributes
    ----------
    home : Path
        ``RESCORE_HOME``: local data, logs, secrets, caches. Default ``var`` in the current folder.
    models : Path
        ``RESCORE_MODELS``: the folder of model folders. Default ``include/models``.
    database_url : str or None
        ``RESCORE_DATABASE_URL``: the Postgres that holds the store, as the login that runs models. Default:
        the local one.
    release_url : str or None
        ``RESCORE_RELEASE_URL``: the same as a login that may release, pin and sign in a person's name.
        Default: ``RESCORE_DATABASE_URL``.
    owner_url : str or None
        ``RESCORE_OWNER_URL``: the same as the login that owns the tables: migrates, creates roles, registers
        models. Default: ``RESCORE_DATABASE_URL``.
    archive : str
        ``RESCORE_ARCHIVE``: an fsspec URL or a path for frozen inputs and packages. Default: ``archive`` in
        ``RESCORE_HOME``.
    store_schema, consumer_schema : str
        ``RESCORE_STORE_SCHEMA``: the schema of the store's tables. Default ``rescore``.
        ``RESCORE_CONSUMER_SCHEMA``: the schema of the consumers' views. Default ``scores``.
    connections : mapping
        ``RESCORE_CONNECTION_<ID>``: source connection id (lower case) to URL. An Airflow connection of that
        id is used first.
    environments : Path or None
        ``RESCORE_ENVIRONMENTS``: the folder of environments built for packages. Default:
        ``environments`` in ``RESCORE_HOME``.
    lock : Path or None
        ``RESCORE_LOCK``: the requirements file with hashes that this environment was installed from;
        packages take the hashes of their own lock from it. Default: the one of the checkout that this
        library is imported from.
    signing_public_key : Path or None
        ``RESCORE_SIGNING_PUBLIC_KEY``: the public key, in PEM, whose owner's signatures are trusted.
    signing_key : Path or None
        ``RESCORE_SIGNING_KEY``: the private key, in PEM and not encrypted, that signs anchors.
    erasure_key : Path or None
        ``RESCORE_ERASURE_KEY``: the file whose bytes key the pseudonyms of erased people. None:
        ``erasure.key`` in ``home``, made when it is first needed.
    anchors : str or None
        ``RESCORE_ANCHORS``: an fsspec URL or a path outside of the store where heads of its history
        are kept.
    false_alarms_per_year : float
        ``RESCORE_FALSE_ALARMS_PER_YEAR``: alarms about drift and performance that all models together may
        raise by chance. Default 4.

    Notes
    -----
    Not part of these settings, read where they are used:

    ``RESCORE_STORE_CONN_ID``: the Airflow connection of the store, in place of ``RESCORE_DATABASE_URL``.
        Default ``rescore_store``, if there is one.
    ``RESCORE_NOTIFY``: a YAML file that says who is told of failures, held scores, verdicts and approvals of
        all models, as ``airflow.notify`` does of one.
    ``RESCORE_CODE_REVISION``: the revision stored with every run, where no git tree is at hand.
    ``RESCORE_IMAGE``: the digest of the container image, kept with the packages that were built in it.
    """

    home: Path
    models: Path
    database_url: str | None
    archive: str
    store_schema: str
    consumer_schema: str
    connections: Mapping[str, str]
    environments: Path | None = None
    lock: Path | None = None
    signing_public_key: Path | None = None
    signing_key: Path | None = None
    erasure_key: Path | None = None
    anchors: str | None = None
    release_url: str | None = None
    owner_url: str | None = None
    false_alarms_per_year: float = 4.0

    @property
    def cache(self) -> Path:
        """What can be made again: packages unpacked, by digest, and copies of a remote archive."""
        return self.home / "cache"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the settings.

        Raises
        ------
        SettingsError
            A schema name that is not a plain lower-case identifier.
        """
        env = os.environ if environ is None else environ
        home = Path(env.get("RESCORE_HOME", "var")).absolute()
        prefix = "RESCORE_CONNECTION_"
        return cls(
            home=home,
            models=Path(env.get("RESCORE_MODELS", "include/models")).absolute(),
            database_url=env.get("RESCORE_DATABASE_URL") or None,
            archive=env.get("RESCORE_ARCHIVE") or str(home / "archive"),
            store_schema=_schema(env, "RESCORE_STORE_SCHEMA", "rescore"),
            consumer_schema=_schema(env, "RESCORE_CONSUMER_SCHEMA", "scores"),
            connections={
                key.removeprefix(prefix).lower(): value
                for key, value in env.items()
                if key.startswith(prefix) and value
            },
            environments=_path(env, "RESCORE_ENVIRONMENTS"),
            lock=_path(env, "RESCORE_LOCK") or (_LOCK if _LOCK.is_file() else None),
            signing_public_key=_path(env, "RESCORE_SIGNING_PUBLIC_KEY"),
            signing_key=_path(env, "RESCORE_SIGNING_KEY"),
            erasure_key=_path(env, "RESCORE_ERASURE_KEY"),
            anchors=env.get("RESCORE_ANCHORS") or None,
            release_url=env.get("RESCORE_RELEASE_URL") or None,
            owner_url=env.get("RESCORE_OWNER_URL") or None,
            false_alarms_per_year=_positive(env, "RESCORE_FALSE_ALARMS_PER_YEAR", cls.false_alarms_per_year),
        )

    def connection_url(self, connection_id: str) -> str:
        """The URL of a source, from ``RESCORE_CONNECTION_<ID>``.

        The variable has the id in capitals, and ``_`` for every character that no shell exports in a name:
        ``my-shop`` is ``RESCORE_CONNECTION_MY_SHOP``.

        Raises
        ------
        SettingsError
            There is no such variable.
        """
        name = re.sub(r"[^a-z0-9_]", "_", connection_id.lower())
        url = self.connections.get(connection_id.lower()) or self.connections.get(name)
        if url is None:
            variable = f"RESCORE_CONNECTION_{name.upper()}"
            raise SettingsError(
                f"the source connection {connection_id!r} is not configured",
                where=f"environment variable {variable}, and Airflow's connections where Airflow runs",
                expected=f"a Postgres URL; configured are: {', '.join(sorted(self.connections)) or '(none)'}",
                fix=f"set {variable}, or add an Airflow connection {connection_id!r} of type postgres",
            )
        return url


def _path(env: Mapping[str, str], variable: str) -> Path | None:
    return Path(env[variable]).absolute() if env.get(variable) else None


def _positive(env: Mapping[str, str], variable: str, default: float) -> float:
    given = env.get(variable) or str(default)
    try:
        number = float(given)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise SettingsError(
            f"{variable}={given!r} is no number above 0",
            where=f"environment variable {variable}",
            expected="a number above 0, like 4 or 0.5",
            fix=f"set it to one, or unset it: the default is {default:g}",
        )
    return number


def is_schema_name(name: str) -> bool:
    """Whether it is a plain lower-case identifier that Postgres does not cut: at most 63 bytes."""
    return re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", name) is not None


def _schema(env: Mapping[str, str], variable: str, default: str) -> str:
    name = env.get(variable) or default
    if not is_schema_name(name):
        raise SettingsError(
            f"{variable}={name!r} is not a schema name",
            where=f"environment variable {variable}",
            expected="lower-case letters, digits and _, at most 63",
            fix=f"set it to a name like {default}",
        )
    return name
