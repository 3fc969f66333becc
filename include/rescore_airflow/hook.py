"""The connection type ``rescore``: a Postgres that Rescore reads or writes, with a button that tests it.

Airflow offers the type ``postgres`` only where its Postgres provider is installed; both do.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseHook

from rescore.errors import RescoreError
from rescore_airflow.connections import connection_url

__all__ = ["RescoreHook"]

#: Seconds that a test of a connection waits for the server.
TIMEOUT = 10


class RescoreHook(BaseHook):
    """A database as an Airflow connection names it.

    Parameters
    ----------
    rescore_conn_id : str
        Id of a connection of type ``rescore`` or ``postgres``; extras that libpq knows are used.
    """

    conn_name_attr = "rescore_conn_id"
    default_conn_name = "rescore_store"
    conn_type = "rescore"
    hook_name = "Rescore (Postgres)"

    def __init__(self, rescore_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rescore_conn_id = rescore_conn_id

    def get_conn(self) -> Any:
        """Connect.

        Returns
        -------
        psycopg2.extensions.connection
            The caller closes it.

        Raises
        ------
        SettingsError
            There is no such connection, or it is not one to Postgres.
        """
        import psycopg2

        return psycopg2.connect(connection_url(self.rescore_conn_id), connect_timeout=TIMEOUT)

    def test_connection(self) -> tuple[bool, str]:
        """Whether the server answers, and as whom or why not; Airflow's UI shows the sentence."""
        import psycopg2

        try:
            connection = self.get_conn()
        except (psycopg2.Error, RescoreError) as error:
            return False, str(error).strip()
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT current_user, current_database(), current_setting('server_version')")
                user, database, version = cursor.fetchone()
        finally:
            connection.close()
        return True, f"Postgres {version}, database {database}, as {user}"
