"""Which Postgres a store can be on."""

from __future__ import annotations

from rescore.errors import StoreError

__all__ = ["LOWEST", "check_postgres_version", "version_check_sql"]

#: The lowest major version that a store can be on. The steps run on 12 to 14, too, but below 15 every login
#: may make tables in schema ``public``, so that roles that only read could write. Below 14 a busy server does
#: not look whether its client is still there (``client_connection_check_interval``).
LOWEST = 15


def check_postgres_version(number: int, where: str) -> str:
    """The version as people write it, if it is high enough.

    Parameters
    ----------
    number : int
        The server's ``server_version_num``: 180006 is 18.6, 90624 is 9.6.24.
    where : str
        The server, for people.

    Raises
    ------
    StoreError
        Its major version is lower than :data:`LOWEST`.
    """
    major, rest = divmod(number, 10_000)
    version = f"{major}.{rest}" if major >= 10 else f"{major}.{rest // 100}.{rest % 100}"
    if major < LOWEST:
        raise StoreError(
            f"the store's database is Postgres {version}",
            where=where,
            expected=f"Postgres {LOWEST} or later",
            fix="upgrade the server, or name another one in RESCORE_DATABASE_URL",
            data={"version": version, "lowest": LOWEST},
        )
    return version


def version_check_sql() -> str:
    """What refuses a server that is too old in SQL that is printed: it ends the transaction it stands in."""
    return f"""DO $$ BEGIN
  IF current_setting('server_version_num')::int < {LOWEST * 10_000} THEN
    RAISE EXCEPTION 'the store''s database is Postgres %, expected Postgres {LOWEST} or later',
      current_setting('server_version') USING HINT = 'upgrade the server, or take another one';
  END IF;
END $$"""
