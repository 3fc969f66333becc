"""A store as a deployment uses it: a login for each part of the work, none of them a superuser."""

from __future__ import annotations

from rescore.local import LocalPostgres, Logins
from rescore.pipeline import Context

__all__ = ["set_up", "store_settings"]


def store_settings(server: LocalPostgres, url: str, source: str) -> dict[str, str]:
    """The settings that name the database of ``url``, and in it the source of connection id ``source``."""
    logins = Logins.prepare(server, url.rpartition("/")[2])
    return {
        "RESCORE_DATABASE_URL": logins.run,
        "RESCORE_RELEASE_URL": logins.release,
        "RESCORE_OWNER_URL": logins.owner,
        f"RESCORE_CONNECTION_{source.upper()}": logins.extract,
    }


def set_up(ctx: Context, source_schema: str) -> None:
    """Migrate the store, and give each role its rights."""
    ctx.store.schema.migrate()
    ctx.store.roles.create(source_schemas=[source_schema])
