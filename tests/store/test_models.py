"""Registering models: typed tables, months on demand, names that do not clash."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from sqlalchemy import make_url, text

from rescore.digest import table_digest
from rescore.errors import NotFoundError, SpecError, StoreError, StoreSchemaError
from rescore.interval import Interval
from rescore.manifest import Manifest
from rescore.spec import ModelSpec
from rescore.store import Store
from tests.store.builders import KEY_TYPES, TIMESTAMP, Walk, day, make_scores, make_spec, sha
from tests.store.logins import another, as_superuser


def test_registering_is_idempotent_also_at_once(store: Store) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: another(store).models.ensure(make_spec("cards"), KEY_TYPES), range(4)))
    store.models.ensure(
        make_spec("cards"), {**KEY_TYPES, "branch": pa.dictionary(pa.int32(), pa.large_string())}
    )
    assert store.models.names() == ["cards", "loans"]


def test_views_of_an_older_form_are_made_anew(walk: Walk, store: Store) -> None:
    store.publications.publish(walk.checked(day()))
    with as_superuser(store) as connection:
        connection.execute(text("UPDATE rescore.model SET views_format = 0"))
        connection.execute(text("DROP VIEW scores.loans_latest"))
    store.models.ensure(make_spec(), KEY_TYPES)
    with as_superuser(store) as connection:
        assert connection.execute(text("SELECT count(*) FROM scores.loans_latest")).scalar() == 50
        described = connection.execute(text("SELECT obj_description('scores.loans'::regclass)")).scalar()
    assert described == "100 % 'sure' to default; see {docs} [probability]"


def test_other_columns_for_the_same_model_are_refused(store: Store) -> None:
    for spec, types in (
        (make_spec(), {**KEY_TYPES, "loan_id": pa.date32()}),
        (make_spec(key=("loan_id", "branch")), KEY_TYPES),
        (make_spec(event_time="seen_at"), KEY_TYPES),
        (make_spec(kind="regression"), KEY_TYPES),
        (_publishing({"no": "p_no", "yes": "p_yes"}), KEY_TYPES),
    ):
        with pytest.raises(StoreSchemaError, match="have other columns now") as caught:
            store.models.ensure(spec, types)
        assert "call the new model loans_v2" in str(caught.value)


def _publishing(probabilities: dict[str, str], name: str = "loans") -> ModelSpec:
    """A model of several classes that publishes their probabilities."""
    declared = make_spec(name, kind="multiclass").model_dump()
    declared["output"]["probabilities"] = probabilities
    return ModelSpec.model_validate(declared)


def test_a_probability_takes_the_name_of_no_other_column(store: Store) -> None:
    for taken in ("score", "label", "loan_id", "event_time", "verdict"):
        with pytest.raises(SpecError, match=f"calls the column of a probability '{taken}'"):
            store.models.ensure(_publishing({"a": taken, "b": "p_b"}, "cards"), KEY_TYPES)


def test_names_that_the_views_need_are_refused(store: Store) -> None:
    for name in ("status", "loans_latest", "loans_history"):
        with pytest.raises(SpecError, match="a view of the same name"):
            store.models.ensure(make_spec(name), KEY_TYPES)
    for key, event_time in ((("branch", "score"), "event_time"), (("event_time", "branch"), "seen_at")):
        with pytest.raises(SpecError, match="is a column of the consumers' views"):
            spec = make_spec("cards", key, event_time)
            store.models.ensure(spec, dict.fromkeys(key, pa.string()))
    with pytest.raises(StoreError, match="a float, which identifies nothing"):
        store.models.ensure(make_spec("cards"), {**KEY_TYPES, "loan_id": pa.float64()})
    assert store.models.names() == ["loans"]


def test_every_key_type_and_an_event_time_in_the_key(store: Store) -> None:
    name = "m" * 48  # the longest a model's name can be
    key = ("at", "on", "small", "wide", "active", "code")
    types = [TIMESTAMP, pa.date32(), pa.int16(), pa.int32(), pa.bool_(), pa.string()]
    spec = make_spec(name, key, event_time="at", kind="regression")
    store.models.ensure(spec, dict(zip(key, types, strict=True)))
    start = datetime(1969, 12, 31, 12, tzinfo=UTC)  # two decades, one before 1970
    interval = Interval(start, start + timedelta(days=1))
    # By code point, unlike most languages' order: "B" < "a" < "é".
    codes = ["B", "a", "é"]
    rows = [
        (start + timedelta(hours=8 * hour), start.date(), -1, 7, active, code)
        for hour in range(3)
        for active in (False, True)
        for code in codes
    ]
    columns = [pa.array(values, kind) for values, kind in zip(zip(*rows, strict=True), types, strict=True)]
    scores = pa.table([*columns, pa.array(range(18), pa.float64())], names=[*key, "score"])
    store.packages.add(name, "1.0.0", sha(name), Manifest(), "file:///p.whl")
    run = store.runs.claim(name, interval, interval.end)
    store.runs.advance(run, "extracted", input_digest=sha("input"), rows_extracted=18)
    store.scores.stage(run, scores, package_version="1.0.0", package_sha256=sha(name))
    assert table_digest(store.scores.of_run(run)) == table_digest(scores)
    with as_superuser(store) as connection:
        months = connection.execute(
            text("SELECT relid::regclass::text FROM pg_partition_tree(to_regclass(:t)) WHERE isleaf"),
            {"t": f"rescore.scores_{name}"},
        ).scalars()
        assert sorted(month.removeprefix("rescore.") for month in months) == [
            f"scores196001_{name}",
            f"scores197001_{name}",
        ]
        columns = connection.execute(
            text(
                "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(:v) AND attnum > 0"
                " ORDER BY attnum"
            ),
            {"v": f"scores.{name}"},
        ).scalars()
        assert list(columns)[:8] == [*key, "event_time", "score"]


def test_months_are_created_by_many_at_once(walk: Walk, store: Store) -> None:
    runs = [walk.claim(day(number)) for number in range(27, 35)]  # over the end of March
    for run in runs:
        walk.extract(run, 50)

    def stage(index: int) -> int:
        other = Store(store.database.url)
        staged = other.scores.stage(runs[index], make_scores(day(27 + index)), **walk.package)
        other.close()
        return staged.rows

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(stage, range(8))) == [50] * 8


def test_scores_that_do_not_fit_are_refused_before_anything_is_written(walk: Walk, store: Store) -> None:
    run = walk.claim(day())
    good = make_scores(day())
    with pytest.raises(StoreError, match="has no frozen input"):
        store.scores.stage(run, good, **walk.package)
    walk.extract(run, 50)
    swapped = good.take(pa.array([1, 0, *range(2, 50)]))
    wrong = {
        "has other columns": good.select(["branch", "loan_id", "score", "event_time", "label"]),
        "not ordered by key": swapped,
        "a key occurs twice": pa.concat_tables([good.slice(0, 1), good]),
        "lies outside the run's interval": make_scores(day(1)),
        "not a float64": good.set_column(3, "score", good["score"].cast(pa.float32())),
        "is NULL in 1 of 50 rows": good.set_column(3, "score", pa.array([None, *[0.5] * 49], pa.float64())),
    }
    for message, table in wrong.items():
        with pytest.raises(StoreError, match=message):
            store.scores.stage(run, table, **walk.package)
    assert store.scores.of_run(run).num_rows == 0
    store.scores.stage(run, good, **walk.package)
    assert store.scores.stage(run, good, **walk.package).rows == 50  # again: nothing happens
    with pytest.raises(StoreError, match="has staged other scores already"):
        store.scores.stage(run, make_scores(day(), seed=2), **walk.package)


def test_an_unregistered_model_is_named(store: Store) -> None:
    run = store.runs.claim("cars", day(), day().end)
    with pytest.raises(NotFoundError, match="model 'cars' has no score table"):
        store.scores.stage(run, make_scores(day()), package_version="1.0.0", package_sha256=sha("cars"))


def test_a_key_that_was_widened_in_the_source_widens_the_tables_and_keeps_old_scores(
    walk: Walk, store: Store
) -> None:
    narrow = {"branch": pa.string(), "loan_id": pa.int32()}
    walk.spec = make_spec("orders")
    store.models.ensure(walk.spec, narrow)
    store.packages.add("orders", "1.0.0", sha("orders1.0.0"), Manifest(), "file:///p.whl")
    before = make_scores(day()).set_column(1, "loan_id", pa.array(range(50), pa.int32()))
    old = walk.checked(day(), before, excluded=make_scores(day(), rows=2))
    store.publications.publish(old)
    ready = walk.checked(
        day(1), make_scores(day(1)).set_column(1, "loan_id", pa.array(range(50), pa.int32()))
    )
    with as_superuser(store) as connection:
        connection.execute(text("GRANT SELECT ON scores.orders_latest TO PUBLIC"))

    store.models.ensure(walk.spec, KEY_TYPES)  # loan_id is bigint now
    assert store.scores.of_run(old).equals(before)
    store.publications.publish(ready)  # its digest is that of the narrow rows
    wide = make_scores(day(40)).set_column(1, "loan_id", pa.array(range(2**31, 2**31 + 50), pa.int64()))
    store.publications.publish(walk.checked(day(40), wide))
    store.models.ensure(walk.spec, narrow)  # a run over rows that were frozen before
    with as_superuser(store) as connection:
        kinds = connection.execute(
            text(
                "SELECT DISTINCT format_type(atttypid, atttypmod) FROM pg_attribute JOIN pg_class c"
                " ON c.oid = attrelid WHERE attname = 'loan_id' AND relname LIKE '%orders%' AND relkind IN"
                " ('r', 'p', 'v')"
            )
        ).scalars()
        assert list(kinds) == ["bigint"]
        assert connection.execute(text("SELECT count(*), max(loan_id) FROM scores.orders")).one() == (
            150,
            2**31 + 49,
        )
        grants = "SELECT count(*) FROM information_schema.role_table_grants WHERE grantee = 'PUBLIC'"
        grants += " AND table_name = 'orders_latest'"
        assert connection.execute(text(grants)).scalar() == 1
    with pytest.raises(StoreSchemaError, match="have other columns now"):
        store.models.ensure(walk.spec, {"branch": pa.string(), "loan_id": pa.string()})


NARROW = {"branch": pa.string(), "loan_id": pa.int32()}


def test_a_consumers_own_view_stands_in_the_way_of_a_wider_key_and_is_named(store: Store) -> None:
    spec = make_spec("orders")
    store.models.ensure(spec, NARROW)
    with as_superuser(store) as connection:
        connection.execute(text("CREATE VIEW public.mine AS SELECT loan_id, score FROM scores.orders_latest"))
    with pytest.raises(StoreSchemaError, match="the key of orders is wider now") as caught:
        store.models.ensure(spec, KEY_TYPES)
    assert "view mine depends on view scores.orders_latest" in caught.value.examples
    assert "drop it, score again" in (caught.value.fix or "")
    with as_superuser(store) as connection:
        connection.execute(text("DROP VIEW public.mine"))
    store.models.ensure(spec, KEY_TYPES)


def test_whose_tables_they_are_is_said_to_a_role_that_may_not_widen_them(store: Store) -> None:
    spec = make_spec("orders")
    store.models.ensure(spec, NARROW)
    with as_superuser(store) as connection:
        connection.execute(text("CREATE ROLE widens_not LOGIN PASSWORD 'w'"))
        connection.execute(text("GRANT USAGE ON SCHEMA rescore, scores TO widens_not"))
        connection.execute(text("GRANT ALL ON ALL TABLES IN SCHEMA rescore TO widens_not"))
    url = make_url(store.database.url).set(username="widens_not", password="w")
    other = Store(url.render_as_string(hide_password=False))
    try:
        with pytest.raises(StoreSchemaError, match="this role may not alter its tables") as caught:
            other.models.ensure(spec, KEY_TYPES)
        assert caught.value.expected == "their owner, rescore_owner"
        assert "score one interval as rescore_owner" in (caught.value.fix or "")
    finally:
        other.close()
        with as_superuser(store) as connection:
            connection.execute(text("DROP OWNED BY widens_not"))
            connection.execute(text("DROP ROLE widens_not"))


def test_a_key_that_the_index_can_not_hold_is_an_error_with_a_fix(walk: Walk) -> None:
    rows = make_scores(day(), rows=1)
    # Random, so that compressing it does not help.
    long = "".join(random.Random(1).choices("0123456789abcdef", k=9_000))
    with pytest.raises(StoreError, match="index row") as caught:
        walk.checked(day(), rows.set_column(0, "branch", pa.array([long])))
    assert "identify rows by a shorter column" in (caught.value.fix or "")
