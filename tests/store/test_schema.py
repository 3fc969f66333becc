"""The schema: set up once, by anyone, under any name; and what is said when it is not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from rescore.errors import SettingsError, StoreError, StoreSchemaError, StoreUnavailableError
from rescore.local import LocalPostgres
from rescore.store import Store
from rescore.store.database import KNOWN_VERSIONS
from rescore.store.schema.tables import metadata
from tests.shared.superuser import as_administrator
from tests.store.logins import another, as_superuser

CATALOG = """
SELECT c.relname, c.relkind::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
  pg_get_expr(d.adbin, d.adrelid), CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE n.nspname = :schema AND a.attnum > 0 ORDER BY 1, 3
"""
FUNCTIONS = """
SELECT pg_get_functiondef(p.oid) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = :schema UNION ALL
SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = :schema AND NOT t.tgisinternal UNION ALL
SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
WHERE n.nspname = :schema ORDER BY 1
"""


def catalog(store: Store) -> list[tuple[object, ...]]:
    with store.database.transaction() as connection:
        return [
            tuple(row)
            for query in (CATALOG, FUNCTIONS)
            for schema in (store.database.store_schema, store.database.consumer_schema)
            for row in connection.execute(text(query), {"schema": schema})
        ]


def test_printed_sql_makes_what_migrating_makes(postgres_server: LocalPostgres, owned_database: str) -> None:
    migrated = Store(owned_database, store_schema="risk_store", consumer_schema="risk_scores")
    migrated.schema.migrate()
    url = postgres_server.create_database("by_administrator")
    printed = Store(as_administrator(url), store_schema="risk_store", consumer_schema="risk_scores")
    ddl = printed.schema.ddl()
    assert "%%" not in ddl
    with printed.database.engine.connect() as connection:
        connection.connection.cursor().execute(ddl)  # type: ignore[no-untyped-call]
    assert printed.schema.version() == KNOWN_VERSIONS[-1]
    assert catalog(printed) == catalog(migrated)
    assert not any(
        "rescore" in str(row[0]).split("(")[0] and "risk" not in str(row) for row in catalog(migrated)
    )
    names = {role: f"{role}_printed" for role in ("extract", "run", "consumer", "release")}
    with printed.database.engine.begin() as connection:
        connection.exec_driver_sql('CREATE SCHEMA "Bank"')
        for statement in printed.roles.statements(**names, source_schemas=["Bank"]):
            connection.connection.cursor().execute(statement)  # type: ignore[no-untyped-call]
        may = connection.exec_driver_sql(
            "SELECT has_schema_privilege('extract_printed', 'Bank', 'USAGE'),"
            " has_function_privilege('release_printed', lift, 'EXECUTE'),"
            " has_function_privilege('run_printed', lift, 'EXECUTE')"
            " FROM (SELECT 'risk_store.lift_hold(bigint, text, text)' AS lift) l"
        )
        assert may.one() == (True, True, False)
        for role in names.values():
            connection.exec_driver_sql(f"DROP OWNED BY {role}; DROP ROLE {role}")
    for store in (migrated, printed):
        store.close()
    postgres_server.drop_database("by_administrator")


def test_any_number_may_migrate_at_once(owned_database: str) -> None:
    store = Store(owned_database)
    assert store.schema.version() is None
    with ThreadPoolExecutor(4) as pool:
        assert (
            list(pool.map(lambda _: Store(owned_database).schema.migrate(), range(4)))
            == [KNOWN_VERSIONS[-1]] * 4
        )
    store.schema.migrate()
    assert store.models.names() == []
    store.close()


def test_table_definitions_are_those_of_the_migrations(store: Store) -> None:
    with create_engine(store.database.address.sqlalchemy()).connect() as connection:

        def ours(name: str | None, kind: str, parents: object) -> bool:
            if kind == "table":  # those of models are not fixed tables
                return name is not None and "_loans" not in name
            return kind != "schema" or name == "rescore"

        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "include_name": ours,
                "version_table_schema": "rescore",
                "compare_server_default": True,
            },
        )
        differences = [found for found in compare_metadata(context, metadata) if "comment" not in found[0]]
        assert differences == []


def test_an_unmigrated_store_says_how_to_migrate(owned_database: str) -> None:
    store = Store(owned_database)
    with pytest.raises(StoreSchemaError, match="has not been set up") as caught:
        store.runs.latest()
    assert caught.value.fix == "run `rescore store migrate`"
    store.schema.migrate()
    assert store.runs.latest() == []
    store.close()


def test_a_newer_store_is_left_alone(store: Store) -> None:
    with as_superuser(store) as connection:
        connection.execute(text("UPDATE rescore.alembic_version SET version_num = '9999'"))
    later = another(store)
    for use in (later.runs.latest, later.schema.migrate):
        with pytest.raises(StoreSchemaError, match="version 9999, which is newer than this code"):
            use()
    later.close()


def test_a_database_that_is_down_says_so_without_the_password(store: Store) -> None:
    url = store.database.engine.url.set(port=1, password="secret-guess")
    with pytest.raises(StoreUnavailableError) as caught:
        Store(url.render_as_string(hide_password=False)).runs.latest()
    assert caught.value.retryable
    assert "secret-guess" not in str(caught.value)
    assert "127.0.0.1:1/" in str(caught.value)


@pytest.mark.parametrize("wrong", [{"password": "secret-guess"}, {"database": "nowhere"}])
def test_a_refused_login_waits_for_a_person(store: Store, wrong: dict[str, str]) -> None:
    url = store.database.engine.url.set(**wrong)
    with pytest.raises(SettingsError, match="refuses the connection") as caught:
        Store(url.render_as_string(hide_password=False)).runs.latest()
    assert not caught.value.retryable
    assert "secret-guess" not in str(caught.value)
    assert "RESCORE_DATABASE_URL" in (caught.value.fix or "")


def test_a_statement_that_takes_too_long_waits_for_a_person(store: Store) -> None:
    with (
        pytest.raises(StoreError, match="statement timeout") as caught,
        store.database.transaction() as connection,
    ):
        connection.execute(text("SET LOCAL statement_timeout TO 50"))
        connection.execute(text("SELECT pg_sleep(60)"))
    assert not caught.value.retryable
    assert "statement_timeout" in (caught.value.fix or "")


def test_schema_names_are_plain_and_two() -> None:
    with pytest.raises(SettingsError, match="is not a schema name"):
        Store("postgresql://localhost/x", store_schema='a"; drop table run; --')
    with pytest.raises(SettingsError, match="share schema 'scores'"):
        Store("postgresql://localhost/x", store_schema="scores")


def test_a_terminated_connection_is_replaced(store: Store) -> None:
    assert store.runs.latest() == []
    with Store(store.database.url).database.transaction() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rescore'"
                " AND pid <> pg_backend_pid() AND datname = current_database()"
            )
        )
    assert store.runs.latest() == []
