"""COPY: every bit survives the way into Postgres and back."""

from __future__ import annotations

import uuid
from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2 import sql
from sqlalchemy import text

from rescore.digest import table_digest
from rescore.errors import StoreError
from rescore.store import Store
from rescore.store.binary_copy import copy_in, query_batches
from tests.shared.waiting import until
from tests.store.builders import TIMESTAMP
from tests.store.logins import as_superuser

COLUMNS = {
    "a_bool": (pa.bool_(), "boolean", st.booleans()),
    "a_small": (pa.int16(), "smallint", st.integers(-(2**15), 2**15 - 1)),
    "an_int": (pa.int32(), "integer", st.integers(-(2**31), 2**31 - 1)),
    "a_big": (pa.int64(), "bigint", st.integers(-(2**63), 2**63 - 1)),
    "a_text": (pa.string(), "text", st.text(st.characters(exclude_characters="\0", codec="utf-8"))),
    "a_float": (pa.float64(), "double precision", st.floats(allow_subnormal=True)),
    "a_date": (pa.date32(), "date", st.dates()),
    "a_moment": (TIMESTAMP, "timestamptz", st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)),
    "a_note": (pa.string(), "text", st.none() | st.text("ab\n\\,\"'é", max_size=5)),
}
SCHEMA = pa.schema([(name, kind) for name, (kind, _, _) in COLUMNS.items()])


@pytest.fixture
def target(store: Store) -> sql.Identifier:
    columns = ", ".join(f"{name} {kind}" for name, (_, kind, _) in COLUMNS.items())
    with as_superuser(store) as connection:
        connection.execute(text(f"CREATE TABLE public.copied (run_id uuid, {columns})"))
        connection.execute(text("GRANT ALL ON public.copied TO PUBLIC"))
    return sql.Identifier("copied")


def round_trip(store: Store, target: sql.Identifier, table: pa.Table, *, setting: str = "") -> pa.Table:
    run_id = uuid.uuid4()
    with store.database.transaction() as connection:
        assert copy_in(connection, target, table, constants={"run_id": run_id}) == table.num_rows
    names = ", ".join(table.column_names)
    url = f"{store.database.libpq_url} {setting}"
    batches = query_batches(url, f"SELECT {names} FROM copied WHERE run_id = '{run_id}'")
    return pa.Table.from_batches(list(batches)).cast(table.schema)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(*[strategy for _, _, strategy in COLUMNS.values()]), min_size=1, max_size=20))
def test_any_value_of_any_type_comes_back_as_it_was(
    store: Store, target: sql.Identifier, rows: list[tuple[object, ...]]
) -> None:
    columns = [
        pa.array(values, kind) for values, kind in zip(zip(*rows, strict=True), SCHEMA.types, strict=True)
    ]
    table = pa.Table.from_arrays(columns, schema=SCHEMA)
    back = round_trip(store, target, table)
    assert table_digest(back) == table_digest(table)


def test_the_bits_of_floats_survive(store: Store, target: sql.Identifier) -> None:
    patterns = "8000000000000000 7ff8000000000000 7ff8deadbeef0001 fff8000000000000 0000000000000001"
    patterns += " 800fffffffffffff 7ff0000000000000 fff0000000000000 3fb999999999999a"
    bits = np.array([int(pattern, 16) for pattern in patterns.split()], "u8")
    table = pa.table({"a_float": pa.array(bits.view("f8"), from_pandas=False)})
    back = round_trip(store, target, table)["a_float"].to_numpy()
    assert back.view("u8").tolist() == bits.tolist()


def test_chunks_slices_and_dictionaries_are_only_forms(store: Store, target: sql.Identifier) -> None:
    rows = 150_000  # more than two encoded chunks
    whole = pa.table(
        {
            "a_text": pa.array([f"é{number % 7}" for number in range(rows)]).dictionary_encode(),
            "a_big": np.arange(rows),
            "a_date": pa.array([date(1969, 12, 31)] * rows),
        }
    )
    table = pa.concat_tables([whole.slice(3, 10), whole.slice(13, 0), whole.slice(13)])
    with store.database.transaction() as connection:
        copy_in(connection, target, table)
        found = connection.execute(
            text("SELECT count(*), min(a_big), max(a_big), sum(a_big), max(a_text), max(a_date) FROM copied")
        ).one()
    assert tuple(found) == (rows - 3, 3, rows - 1, sum(range(3, rows)), "é6", date(1969, 12, 31))


def test_a_missing_value_or_an_unknown_type_is_refused(store: Store, target: sql.Identifier) -> None:
    with store.database.transaction() as connection:
        with pytest.raises(StoreError, match=r"column 'a_big' is NULL in 1 of 2 rows"):
            copy_in(connection, target, pa.table({"a_big": pa.array([1, None])}))
        with pytest.raises(StoreError, match=r"'a_big' has type float, for which the store has no column"):
            copy_in(connection, target, pa.table({"a_big": pa.array([1.5], pa.float32())}))


def test_a_server_that_quotes_every_identifier_gives_the_same_types(
    store: Store, target: sql.Identifier
) -> None:
    table = pa.table({"a_text": ["x"], "a_float": [0.1], "a_bool": [True]})
    plain = round_trip(store, target, table)
    with as_superuser(store) as connection:
        name = connection.execute(text("SELECT current_database()")).scalar()
        connection.execute(text(f"ALTER DATABASE {name} SET quote_all_identifiers TO on"))
    for setting in ("", "application_name=another"):  # of an address that was met before, and of a new one
        assert round_trip(store, target, table, setting=setting).equals(plain)


def test_reading_back_does_not_read_the_whole_catalogue_each_time(
    store: Store, target: sql.Identifier
) -> None:
    """A store of a hundred models has tens of thousands of columns, and each run is read back."""
    read = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_sys_tables WHERE relname = 'pg_attribute'"
    others = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND usename <> current_user AND application_name <> 'rescore'"
    )
    found = []
    for _ in range(3):
        round_trip(store, target, pa.table({"a_big": [1]}))
        with as_superuser(store) as connection:
            until(lambda: connection.execute(others).scalar() == 0, "the end of the connections")
        with as_superuser(store) as connection:
            found.append(int(connection.execute(text(read)).scalar_one()))
    with as_superuser(store) as connection:
        columns = int(connection.execute(text("SELECT count(*) FROM pg_attribute")).scalar_one())
    assert found[2] - found[1] < columns / 2


def test_reading_back_waits_for_a_lock_no_longer_than_declared(store: Store, target: sql.Identifier) -> None:
    url = store.database.libpq_url
    [[bound]] = [
        batch.column(0).to_pylist() for batch in query_batches(url, "SELECT current_setting('lock_timeout')")
    ]
    assert bound == "30s"
    with store.database.transaction() as connection:
        connection.execute(text("LOCK TABLE copied IN ACCESS EXCLUSIVE MODE"))
        impatient = f"{url} options='-c lock_timeout=100'"
        with pytest.raises(StoreError, match="lock timeout"):
            list(query_batches(impatient, "SELECT a_text FROM copied"))
