"""The local Postgres: safe by default, keeps its data, leaves nothing behind."""

from __future__ import annotations

import psycopg2


def test_database_is_fresh_utf8_and_utc(database_url: str) -> None:
    connection = psycopg2.connect(database_url)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select current_setting('server_encoding'), current_setting('timezone'), "
            "current_setting('data_checksums'), current_setting('listen_addresses'), "
            "current_setting('unix_socket_directories'), upper('straße é')"
        )
        assert cursor.fetchone() == ("UTF8", "UTC", "on", "127.0.0.1", "", "STRASSE É".replace("SS", "ß"))
    connection.close()
