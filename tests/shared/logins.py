"""A store as a deployment uses it: a login for each part of the work, none of them a superuser."""

from __future__ import annotations

from rescore.local import LocalPostgres, Logins
from rescore.pipeline import Context
from rescore.store import Store

__all__ = ["set_up", "set_up_store", "store_settings"]


def store_settings(server: LocalPostgres, url: str, *sources: str) -> dict[str, str]:
    """The settings that name the database of ``url``, and in it the sources of these connection ids."""
    logins = Logins.prepare(server, url.rpartition("/")[2])
    return {
        "RESCORE_DATABASE_URL": logins.run,
        "RESCORE_RELEASE_URL": logins.release,
        "RESCORE_OWNER_URL": logins.owner,
        **{f"RESCORE_CONNECTION_{source.upper()}": logins.extract for source in sources},
    }


def set_up(ctx: Context, *source_schemas: str) -> None:
    """Migrate the store, and give each role its rights."""
    ctx.store.schema.migrate()
    ctx.store.roles.create(source_schemas=source_schemas)


def set_up_store(server: LocalPostgres, url: str) -> Store:
    """The same for a store that no model extracts for, in the database of ``url``; opened."""
    logins = Logins.prepare(server, url.rpartition("/")[2])
    store = Store(logins.run, release_url=logins.release, owner_url=logins.owner)
    store.schema.migrate()
    store.roles.create()
    return store
