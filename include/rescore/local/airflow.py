"""The four components of a local Airflow: how each is started, with what settings, and when it is up.

Airflow is never imported here; its components are processes, started by `rescore.local.supervisor`.
``airflow standalone`` is not used: it leaves its children behind when it is terminated, and its log
servers listen on every address.
"""

from __future__ import annotations

import base64
import importlib.metadata
import importlib.util
import json
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg2

from rescore.errors import LocalStackError
from rescore.local.airflow_client import AirflowClient
from rescore.local.files import kept_secret, write_secret
from rescore.local.ports import LOOPBACK, free_port, is_free, port_taken, remembered_port
from rescore.local.rest import get_json
from rescore.local.variables import SINGLE_THREADED
from rescore.postgres_url import PostgresUrl

__all__ = ["COMPONENTS", "LocalAirflow"]

#: Nothing reports to anybody that this runs.
_NO_TELEMETRY = {
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "SCARF_ANALYTICS": "false",
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
}

_USER = "admin"
_SECRETS = ("fernet_key", "jwt_secret", "api_secret")

#: Section of ``airflow.cfg`` to option to value.
_Settings = Mapping[str, Mapping[str, object]]

_FIXED_SETTINGS: _Settings = {
    "core": {
        "executor": "LocalExecutor",
        # Each is a forked process that waits; more than the cores can use only costs memory.
        "parallelism": max(4, os.cpu_count() or 1),
        "load_examples": False,
        "simple_auth_manager_users": f"{_USER}:admin",
        # Looking up the machine's full name can take seconds where there is no DNS.
        "hostname_callable": "socket.gethostname",
        "default_timezone": "utc",
        # A laptop that is busy with other things is slow, not broken.
        "dagbag_import_timeout": 120,
    },
    "api": {"host": LOOPBACK, "workers": 1, "expose_stacktrace": False},
    "dag_processor": {
        "refresh_interval": 10,
        "min_file_process_interval": 15,
        "parsing_processes": 1,
        "dag_file_processor_timeout": 180,
    },
    "scheduler": {
        "enable_health_check": False,
        "scheduler_idle_sleep_time": 0.5,
        # A stopped stack leaves tasks that nobody runs; they are noticed after this many seconds.
        "task_instance_heartbeat_timeout": 120,
    },
    "workers": {
        "execution_api_timeout": 30,
        "max_failed_heartbeats": 6,
        # After a crash the scheduler starts tasks while the API server is still starting: by Airflow's own
        # five questions each of them would lose a try, and soon the run.
        "execution_api_retries": 20,
        "execution_api_retry_wait_max": 10,
    },
    "logging": {
        "file_task_handler_new_folder_permissions": "0o700",
        "file_task_handler_new_file_permissions": "0o600",
        "colored_console_log": False,
    },
}

#: Component to arguments. The log servers stay off: they listen on every address, and on one
#: machine the API server reads the log files itself.
COMPONENTS = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}


@dataclass(frozen=True)
class LocalAirflow:
    """One Airflow with its files below a folder and its metadata in a Postgres database.

    Attributes
    ----------
    home : Path
        Holds ``airflow/`` (secrets, login, port) and ``logs/``.
    database_url : str
        The metadata database; a libpq URL.
    dags, plugins : Path
        The folders that Airflow reads.
    """

    home: Path
    database_url: str
    dags: Path
    plugins: Path

    @property
    def folder(self) -> Path:
        """Airflow's own home."""
        return self.home / "airflow"

    @property
    def url(self) -> str:
        """Address of the page and the API, on loopback."""
        port = remembered_port(self.folder / "port")
        if port is None:
            raise LocalStackError(
                "the local Airflow was never started", where=str(self.folder), fix="make up"
            )
        return f"http://{LOOPBACK}:{port}"

    def login(self) -> tuple[str, str]:
        """User and password of the page and the API."""
        passwords = json.loads((self.folder / "passwords.json").read_text())
        return _USER, passwords[_USER]

    def token(self) -> str:
        """A fresh token (JWT) for the REST API."""
        return self.client().token

    def client(self) -> AirflowClient:
        """A REST client that is logged in."""
        return AirflowClient.log_in(self.url, *self.login())

    @property
    def _address(self) -> PostgresUrl:
        return PostgresUrl.parse(self.database_url, where="AIRFLOW__DATABASE__SQL_ALCHEMY_CONN")

    # -- before the start ---------------------------------------------------------------------

    def prepare(self) -> None:
        """Choose a port, make secrets and a login, each only the first time.

        Raises
        ------
        LocalStackError
            Airflow is not installed, a folder is missing, or the port is taken.
        """
        if importlib.util.find_spec("airflow") is None:
            raise LocalStackError(
                "Airflow is not installed here",
                where=sys.prefix,
                expected="the package apache-airflow",
                fix="pip install 'rescore[airflow]'",
            )
        if not self.dags.is_dir():
            raise LocalStackError(
                "there is no folder of DAGs",
                where=str(self.dags),
                fix="start it in the checkout, or set AIRFLOW__CORE__DAGS_FOLDER",
            )
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in _SECRETS:
            kept_secret(self.folder / name, _new_key)
        kept_secret(self.folder / "passwords.json", lambda: json.dumps({_USER: secrets.token_urlsafe(12)}))
        port_file = self.folder / "port"
        port = remembered_port(port_file)
        if port is None:
            port_file.write_text(f"{free_port()}\n")
        elif not is_free(port):
            raise port_taken(port, port_file, "Airflow")

    def environment(self) -> dict[str, str]:
        """Variables that make a process part of this Airflow, on top of the caller's own."""
        # A proxy of the caller's must not stand between the components.
        not_by_proxy = ",".join(filter(None, (os.environ.get("NO_PROXY"), LOOPBACK, "localhost")))
        return {
            "AIRFLOW_HOME": str(self.folder),
            **_variables(_FIXED_SETTINGS),
            **_variables(self._own_settings()),
            **SINGLE_THREADED,
            **_NO_TELEMETRY,
            "NO_PROXY": not_by_proxy,
            "no_proxy": not_by_proxy,
            "PYTHONUNBUFFERED": "1",
            "TZ": "UTC",
        }

    def _own_settings(self) -> _Settings:
        """What differs from one local Airflow to the next: folders, secrets, addresses."""
        logs, url = self.home / "logs", self.url
        database = self._address.sqlalchemy().render_as_string(hide_password=False)
        fernet_key, jwt_secret, api_secret = ((self.folder / name).read_text().strip() for name in _SECRETS)
        return {
            "core": {
                "dags_folder": self.dags,
                "plugins_folder": self.plugins,
                "fernet_key": fernet_key,
                "simple_auth_manager_passwords_file": self.folder / "passwords.json",
                "execution_api_server_url": f"{url}/execution/",
            },
            "database": {"sql_alchemy_conn": database},
            "api": {"port": url.rsplit(":", 1)[1], "base_url": url, "secret_key": api_secret},
            "api_auth": {"jwt_secret": jwt_secret},
            "logging": {
                "base_log_folder": logs / "tasks",
                "dag_processor_child_process_log_directory": logs / "dag_processor",
            },
        }

    def command(self, arguments: list[str]) -> list[str]:
        """Command line of one of Airflow's own commands."""
        return [sys.executable, "-m", "airflow", *arguments]

    # -- the metadata database ----------------------------------------------------------------

    def migrated(self) -> bool:
        """Whether the metadata database is as this version of Airflow last left it.

        Asking Airflow itself costs as long as migrating: about 9 seconds.
        """
        try:
            record = json.loads((self.folder / "migrated.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return False
        return bool(record == self._migration_record() and record["revisions"])

    def record_migration(self) -> None:
        """Remember what ``airflow db migrate`` has just left."""
        write_secret(self.folder / "migrated.json", json.dumps(self._migration_record()))

    def _migration_record(self) -> dict[str, object]:
        connection = psycopg2.connect(self._address.dsn)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute("select to_regclass('alembic_version') is not null")
                revisions = []
                if cursor.fetchall() == [(True,)]:
                    cursor.execute("select version_num from alembic_version order by 1")
                    revisions = [row[0] for row in cursor.fetchall()]
                cursor.execute("select oid::text from pg_database where datname = current_database()")
                [(database,)] = cursor.fetchall()
        finally:
            connection.close()
        return {
            "airflow": importlib.metadata.version("apache-airflow"),
            "database": database,
            "revisions": revisions,
        }

    # -- after the start ----------------------------------------------------------------------

    def waiting_for(self, since: datetime) -> list[str]:
        """Components that have not yet reported that they work, ``since`` then."""
        try:
            health = get_json(f"{self.url}/api/v2/monitor/health", seconds=5)
        except OSError:
            return list(COMPONENTS)
        return [
            component
            for component in COMPONENTS
            if component != "api-server" and not _reported(health, component.replace("-", "_"), since)
        ]


def _reported(health: Mapping[str, Mapping[str, str | None]], component: str, since: datetime) -> bool:
    state = health.get(component) or {}
    heartbeat = state.get(f"latest_{component}_heartbeat")
    # Just stopped and started again: the last heartbeat is of the one before.
    if state.get("status") != "healthy" or heartbeat is None:
        return False
    return datetime.fromisoformat(heartbeat) >= since


def _variables(settings: _Settings) -> dict[str, str]:
    return {
        f"AIRFLOW__{section}__{option}".upper(): str(value)
        for section, options in settings.items()
        for option, value in options.items()
    }


def _new_key() -> str:
    """32 random bytes, as Fernet wants them."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
