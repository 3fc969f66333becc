"""Whether a source answers, and as whom it sees us."""

from __future__ import annotations

from rescore.source.session import Session
from rescore.spec import SourceSpec

__all__ = ["describe_server"]


def describe_server(url: str, declared: SourceSpec) -> str:
    """The source's database, user and version in a line, asked of the server itself.

    Raises
    ------
    SourceUnavailableError
        The database can't be reached now.
    SettingsError
        The URL names no database, or the login is refused.
    """
    with Session(url, declared) as session:
        [row] = session.ask(
            "SELECT current_database()::text AS db, current_user::text AS who,"
            " current_setting('server_version') AS version"
        )
    return f"{row['db']} answers as {row['who']}, Postgres {row['version'].split()[0]}"
