"""A folder drafted from a table works as it is: new, check, train, pin, score, reproduce."""

from __future__ import annotations

import venv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2
import pytest

from rescore import authoring, pipeline, source
from rescore.authoring import run_folder_tests
from rescore.errors import ParameterError, RescoreError
from rescore.interval import Interval
from rescore.model.runtime.frames import Features
from rescore.settings import Settings
from tests.shared.logins import set_up, store_settings

SOURCES = """
CREATE SCHEMA shop;
-- Text and number as a composite key; numeric with NULLs; two booleans; a date.
CREATE TABLE shop.line (
  basket text, pos int, amount numeric(10, 2), weight float8, gift boolean, channel text, member_since date,
  note text, placed_at timestamptz NOT NULL, paid boolean NOT NULL, recorded_at timestamptz NOT NULL,
  PRIMARY KEY (basket, pos));
INSERT INTO shop.line
SELECT 'B' || n / 3, n % 3, CASE WHEN n % 7 > 0 THEN (n * 37) % 1000 / 10.0 END, sin(n) * 5, n % 5 = 0,
       (ARRAY['web', 'desk', 'phone'])[1 + (n * 13) % 3], date '2020-01-01' + (n * 7) % 900,
       'note ' || md5(n::text), at, (n * 31) % 97 + (n * 37) % 100 > 95, at + interval '5 seconds'
FROM generate_series(1, 1500) n, LATERAL (SELECT timestamptz '2024-03-01Z' + n * interval '24 minutes' AS at) t;
-- Mixed case, reserved words, a unique index instead of a primary key, an enumeration, no zone.
CREATE TYPE shop.size AS ENUM ('S', 'M', 'L');
CREATE TABLE shop."Order" (
  "OrderId" uuid NOT NULL, "select" int, "user" shop.size, "Total Price" float4, "When" timestamp NOT NULL,
  "order" text NOT NULL, loaded_at timestamptz NOT NULL);
CREATE UNIQUE INDEX ON shop."Order" ("OrderId");
INSERT INTO shop."Order"
SELECT md5(n::text)::uuid, (n * 17) % 50, (ARRAY['S', 'M', 'L'])[1 + n % 3]::shop.size, (n * 29) % 400 / 4.0, at,
       (ARRAY['early', 'late', 'never'])[1 + ((n * 17) % 50 / 20 + n % 7 / 4) % 3],
       at::timestamp AT TIME ZONE 'UTC' + interval '1 minute'
FROM generate_series(1, 1500) n, LATERAL (SELECT timestamp '2024-03-01' + n * interval '24 minutes' AS at) t;
-- Versions: the key comes again with each correction.
CREATE TABLE shop.meter (
  meter int, day date, kwh float8, tariff text, recorded_at timestamptz, PRIMARY KEY (meter, day, recorded_at));
INSERT INTO shop.meter
SELECT m, d, 10 + m + 3 * sin(m * extract(day FROM d)::float8), (ARRAY['a', 'b'])[1 + m % 2], d + version * interval '3 hours'
FROM generate_series(1, 40) m, generate_series(timestamptz '2024-03-01Z', '2024-03-25Z', interval '1 day') d,
     generate_series(1, 2) version;
CREATE TABLE shop.keyless (a int, b float8);
INSERT INTO shop.keyless VALUES (1, 2), (1, 3);
CREATE TABLE shop.empty (a int PRIMARY KEY);
CREATE TABLE shop.tenths (id numeric PRIMARY KEY, x float8, y boolean);
INSERT INTO shop.tenths SELECT n / 10.0, n, n % 2 = 0 FROM generate_series(1, 30) n;
CREATE TABLE shop.wholes AS SELECT id * 10 AS id, x, y FROM shop.tenths;
ALTER TABLE shop.wholes ADD PRIMARY KEY (id);
-- Numbers that float8 can't square, or hold; a text that its type pads.
CREATE TABLE shop.extremes (
  code char(5), id int, at timestamptz, closed_at timestamptz, v float8, n numeric, hull char(3), y boolean,
  recorded_at timestamptz, PRIMARY KEY (code, id));
INSERT INTO shop.extremes
SELECT 'a' || n, n, at, at + n * interval '1 hour', CASE WHEN n = 9 THEN 1e200 ELSE n END,
       CASE WHEN n = 9 THEN 1e400 ELSE n END, (ARRAY['x', 'yy'])[1 + n % 2], n % 3 = 0, at
FROM generate_series(1, 60) n, LATERAL (SELECT timestamptz '2024-03-01Z' + n * interval '1 hour' AS at) t;
CREATE TABLE shop.huge AS SELECT id * 1e30 AS id, x, y FROM shop.wholes;
ALTER TABLE shop.huge ADD PRIMARY KEY (id);
-- Texts of many values, of which some are frequent.
CREATE TABLE shop.pet (id int PRIMARY KEY, issued timestamptz NOT NULL, name text, breed text, street text, cat boolean);
INSERT INTO shop.pet
SELECT n, timestamptz '2024-03-01Z' + n * interval '20 minutes', 'n' || n % 900, 'breed ' || (n % 11) * (n % 17),
       'street ' || n % 180, n % 11 > 5
FROM generate_series(1, 2000) n;
-- Nothing says when a row was recorded.
CREATE TABLE shop.plain (id bigint PRIMARY KEY, at timestamptz NOT NULL, x int, z float8, done boolean);
INSERT INTO shop.plain
SELECT n, timestamptz '2024-03-01Z' + n * interval '24 minutes', (n * 7) % 40, cos(n), (n * 7) % 40 + n % 13 > 25
FROM generate_series(1, 1500) n;
-- As people keep tables: a rare level with a quote, two rows without a time, years, columns of the outcome.
CREATE TABLE shop.parcel (
  id int PRIMARY KEY, sent_at timestamptz, weight float8, depot text, "Built.Year" float8, "yr" smallint, since int,
  hours_until_there float8, there_at timestamptz, damage float8, lost boolean);
INSERT INTO shop.parcel
SELECT n, CASE WHEN n NOT IN (7, 8) THEN at END, (n * 37) % 100, CASE WHEN n = 5 THEN 'O''Hare' WHEN n < 9 THEN 'x' ||
       (n % 2) ELSE (ARRAY['north', 'south'])[1 + n % 2] END, 1870 + (n * 7) % 150, 2000 + n / 500,
       1950 + (n * 11) % 70, 1 + (n * 13) % 50, at + (1 + (n * 13) % 50) * interval '1 hour',
       CASE WHEN n < 1400 THEN cos(n) END, CASE WHEN n < 1400 THEN (n * 37) % 100 + n % 13 > 60 END
FROM generate_series(1, 1500) n, LATERAL (SELECT timestamptz '2024-03-01Z' + n * interval '24 minutes' AS at) t;
CREATE TABLE shop.claim (id int PRIMARY KEY, paid_out float8, recorded_at timestamptz NOT NULL);
INSERT INTO shop.claim SELECT id, weight * 2 + id % 7, there_at FROM shop.parcel;
-- Labels come into rows that are there already; the last ones wait for theirs.
CREATE TABLE shop.delivery (
  id int PRIMARY KEY, sent_at timestamptz NOT NULL, weight float8, depot text, delivered_at timestamptz, state text,
  refund float8, late boolean, recorded_at timestamptz NOT NULL);
INSERT INTO shop.delivery
SELECT n, at, weight, depot, CASE WHEN there THEN arrived END, CASE WHEN there THEN 'delivered' ELSE 'under way' END,
       CASE WHEN there AND n % 3 = 0 THEN n % 20 END, CASE WHEN there THEN hours + n % 11 > 30 END,
       at + interval '5 seconds'
FROM generate_series(1, 1500) n,
     LATERAL (SELECT timestamptz '2024-03-01Z' + n * interval '24 minutes' AS at, (n * 37) % 100 AS weight,
              (ARRAY['north', 'south'])[1 + n % 2] AS depot, 4 + (n * 13) % 40 AS hours) t,
     LATERAL (SELECT at + hours * interval '1 hour' AS arrived) a,
     LATERAL (SELECT arrived <= timestamptz '2024-03-26Z' AS there) x;
-- A column that is filled no more.
CREATE TABLE shop.ended (id int PRIMARY KEY, at timestamptz NOT NULL, x float8, hurt boolean, recorded_at timestamptz NOT NULL);
INSERT INTO shop.ended SELECT n, at, sin(n), CASE WHEN n < 600 THEN n % 3 = 0 END, at
FROM generate_series(0, 1499) n, LATERAL (SELECT timestamptz '2024-03-01Z' + n * interval '24 minutes' AS at) t;
CREATE TABLE shop.claims (id int, paid_out float8);
INSERT INTO shop.claims VALUES (1, 2), (1, 3);
"""  # noqa: E501
LAST = datetime(2024, 3, 24, tzinfo=UTC)


def day(number):
    start = datetime(2024, 3, 1, tzinfo=UTC) + timedelta(days=number)
    return Interval(start, start + timedelta(days=1))


@pytest.fixture(scope="module")
def shop(postgres_server, tmp_path_factory):
    url = postgres_server.create_database("shop")
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(SOURCES)
    connection.close()
    home = tmp_path_factory.mktemp("shop")
    ctx = pipeline.Context.from_environment(
        Settings.from_environment(
            {
                "RESCORE_HOME": str(home),
                "RESCORE_MODELS": str(home / "models"),
                **store_settings(postgres_server, url, "shop"),
            }
        )
    )
    set_up(ctx, "shop")
    yield ctx
    ctx.store.close()


@pytest.mark.parametrize(
    ("name", "table", "target", "key", "features"),
    [
        pytest.param(
            "line",
            "shop.line",
            "paid",
            ["basket", "pos"],
            {"amount", "weight", "gift", "channel", "member_since_age"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "orders",
            "shop.Order",
            "order",
            ["order_id"],
            {"select", "user", "total_price"},
            marks=pytest.mark.slow,
        ),
        pytest.param("meter", "shop.meter", "kwh", ["meter", "day"], {"tariff"}, marks=pytest.mark.slow),
    ],
)
def test_a_drafted_folder_runs_from_check_to_reproduction(shop, name, table, target, key, features):
    folder, made = authoring.new_model(shop, name, table, connection="shop", target=target)
    spec = folder.spec
    assert spec.source.key == key
    assert set(spec.feature_names) == features
    assert spec.source.known_by.column is not None
    assert any("owner" in one for one in made.decide)
    assert "DECIDE" in (folder.path / "model.yaml").read_text()

    checks = authoring.check_model(shop, name)
    assert [one for one in checks if one.status == "failed"] == []
    assert {"folder tests", "leakage: extract", "leakage: labels", "fit"} <= {one.name for one in checks}

    package = pipeline.train_model(shop, name, as_of=LAST)
    pipeline.pin(shop, name, package.version, who="tester", why="first")
    schedule = spec.schedule.schedule()
    done = pipeline.score_interval(shop, name, schedule.interval_ending(schedule.floor(LAST)))
    assert done.rows > 20
    assert pipeline.reproduce_run(shop, done.run_id).verdict == "identical"


def test_a_text_of_many_values_keeps_those_that_most_rows_have(shop):
    folder, made = authoring.new_model(shop, "pet", "shop.pet", connection="shop", target="cat")
    assert folder.spec.feature_names == ["breed"]
    assert set(dict(made.left_out)) == {"name", "street"}, "most rows have none of their frequent values"
    sql = (folder.path / "extract.sql").read_text()
    assert sql.count("'breed ") == 50
    assert "breed 0" in sql
    assert "values that fewer rows have are written as rare" in (folder.path / "model.yaml").read_text()
    day = folder.spec.schedule.schedule().interval_ending(LAST - timedelta(days=5))
    found = source.probe(shop.connection("shop"), folder, day, day.end)
    assert "rare" in found.column("breed").to_pylist()


def test_classes_that_few_rows_have_are_one(shop):
    folder, made = authoring.new_model(
        shop, "depots", "shop.parcel", connection="shop", event_time="sent_at", target="depot"
    )
    assert folder.spec.target.kind == "multiclass"
    assert any(
        "the 3 values that fewer rows have are written as rare, one class" in one for one in made.decide
    )
    first = folder.spec.schedule.schedule().interval_ending(datetime(2024, 3, 2, tzinfo=UTC))
    found = source.labels(shop.connection("shop"), folder, [first], first.end + timedelta(days=3))
    assert set(found.column("depot").to_pylist()) == {"north", "south", "rare"}


def test_labels_that_ended_long_ago_are_not_drafted_as_still_to_come(shop):
    folder, made = authoring.new_model(shop, "ended", "shop.ended", connection="shop", target="hurt")
    assert made.to_come is None
    assert folder.spec.target.delay == timedelta(0)
    assert any(
        "900 rows since 2024-03-11 have no hurt: is it no longer recorded?" in one for one in made.decide
    )
    assert any("`rescore check ended --day 2024-03-11`" in one for one in made.decide)
    assert any("`rescore train ended --as-of 2024-03-11T00:00Z`" in one for one in made.decide)
    assert folder.spec.training.intervals == 7, "three quarters of the 10 days that have labels"


def delivery(shop, name):
    return authoring.new_model(
        shop, name, "shop.delivery", connection="shop", event_time="sent_at", target="late"
    )


def test_what_is_still_to_come_is_drafted_without_what_comes_with_its_label(shop):
    folder, made = delivery(shop, "to_come")
    assert folder.spec.feature_names == ["weight", "depot"]
    left_out = dict(made.left_out)
    assert "has a value of its own in the" in left_out["state"] and "missing" not in left_out["state"]
    assert "has no value in the" in left_out["refund"], "missing in most rows with a label, too"
    assert made.to_come is not None
    assert (made.to_come.closed_by, folder.spec.target.delay) == ("delivered_at", timedelta(days=2))
    assert f"{made.to_come.rows} rows since 2024-03-24 00:00 UTC have no late yet" in made.still_to_come
    assert made.still_to_come in (folder.path / "README.md").read_text()
    assert folder.spec.training.intervals == 16, "three quarters of the 22 whole days that have labels"
    url = shop.connection("shop")
    assert source.labels(url, folder, [day(5)], day(5).end).num_rows < 60, "not before it was known"
    assert source.labels(url, folder, [day(5)], day(7).end).num_rows == 60
    assert any("nothing changed later but the label?" in one for one in made.decide)


@pytest.mark.slow
def test_what_is_still_to_come_is_scored_and_reproduced(shop):
    folder, _ = delivery(shop, "coming")
    assert [one for one in authoring.check_model(shop, "coming") if one.status == "failed"] == []
    last = datetime(2024, 3, 26, tzinfo=UTC)
    package = pipeline.train_model(shop, "coming", as_of=last)
    pipeline.pin(shop, "coming", package.version, who="tester", why="first")
    interval = folder.spec.schedule.schedule().interval_ending(last)
    done = pipeline.score_interval(shop, "coming", interval)
    assert done.rows == 60, "none of them has a label before the interval has ended by two days"
    assert pipeline.reproduce_run(shop, done.run_id).verdict == "identical"


@pytest.mark.slow
def test_a_table_without_recording_times_says_so(shop):
    folder, made = authoring.new_model(shop, "plain", "shop.plain", connection="shop")
    assert not folder.spec.source.known_by.reproducible_from_source
    assert folder.spec.training.source == "frozen_inputs"
    assert folder.spec.target.name == "done"  # guessed, and said so
    assert any("target" in one for one in made.decide)
    assert "can't be extracted again" in (folder.path / "README.md").read_text()
    checks = {one.name: one for one in authoring.check_model(shop, "plain")}
    assert checks["history"].status == "warning"
    assert [one for one in checks.values() if one.status == "failed"] == []


@pytest.mark.slow
def test_a_table_as_people_keep_it_is_drafted_with_what_is_to_be_decided(shop):
    folder, made = authoring.new_model(
        shop, "parcel", "shop.parcel", connection="shop", event_time="sent_at", target="lost"
    )
    yaml, extract = ((folder.path / name).read_text() for name in ("model.yaml", "extract.sql"))
    assert folder.spec.feature_names == ["weight", "depot", "built_year", "yr", "since"]
    assert "the 3 values that fewer rows have are written as rare" in yaml  # O'Hare, x0 and x1
    assert "WHEN t.\"depot\" IN ('north', 'south') THEN" in extract.replace("''", "'")
    assert "2 rows have none: such are never scored" in yaml
    for year in ("built_year", "yr", "since"):
        assert f"# DECIDE: {year} is a calendar year" in yaml
    left_out = dict(made.left_out)
    assert "DECIDE: measures the time from sent_at to there_at" in left_out["hours_until_there"]
    assert "DECIDE: is missing in the rows in which lost is" in left_out["damage"]
    assert any("damage" in one and "known only after the event?" in one for one in made.decide)
    assert folder.spec.target.delay == timedelta(days=2), "so far labels lag behind the last row"
    assert "+ interval '48 hours' <= :as_of" in (folder.path / "labels.sql").read_text()
    checks = authoring.check_model(shop, "parcel")
    assert [one for one in checks if one.status == "failed"] == []
    rows = source.probe(shop.connection("shop"), folder, day(5), day(5).end, limit=1000)
    assert set(rows["depot"].to_pylist()) == {"north", "south"}
    first = source.probe(shop.connection("shop"), folder, day(0), day(0).end, limit=1000)
    assert set(first["depot"].to_pylist()) == {"north", "south", "rare"}


@pytest.mark.parametrize("target", ["lost", "weight"])
@pytest.mark.parametrize("estimator", ["catboost", "forest", "lightgbm", "logistic", "ridge", "xgboost"])
def test_a_draft_begins_with_the_estimator_that_is_named(shop, estimator, target):
    """Each is fitted to rows as the pipeline gets them, with a level that few have and missing values."""
    if (estimator, target) in {("logistic", "weight"), ("ridge", "lost")}:
        return
    folder, _ = authoring.new_model(
        shop, f"parcel_{estimator}_{target}", "shop.parcel", connection="shop", event_time="sent_at",
        target=target, estimator=estimator,
    )  # fmt: skip
    rows = source.probe(shop.connection("shop"), folder, day(0), day(0).end, limit=1000)
    kinds = {feature.name: feature.kind for feature in folder.spec.features}
    features = Features.learn(kinds, rows)
    frame = features.frame(features.conform(rows))
    code: dict[str, Any] = {}
    exec((folder.path / "pipeline.py").read_text(), code)
    model = code["build"](folder.spec.training.hyperparameters, folder.spec.training.seed)
    truth = np.arange(len(frame)) % 2 if target == "lost" else np.arange(len(frame)) / 7
    model.fit(frame, truth)
    scores = model.predict_proba(frame)[:, 1] if target == "lost" else model.predict(frame)
    assert np.isfinite(scores).all()
    assert model.steps[-1][1].get_params()["random_state"] == folder.spec.training.seed


def test_what_a_person_vouches_for_is_kept_and_the_schedule_is_as_asked(shop):
    folder, made = authoring.new_model(
        shop, "vouched", "shop.parcel", connection="shop", event_time="sent_at", target="lost",
        keep=["damage", "there_at"], schedule="0 6 * * 1",
    )  # fmt: skip
    assert folder.spec.feature_names == [
        "weight",
        "depot",
        "built_year",
        "yr",
        "since",
        "there_at_age",
        "damage",
    ]
    assert any("damage" in one and "kept; is it known at the event?" in one for one in made.decide)
    assert "hours_until_there" in dict(made.left_out)
    assert folder.spec.schedule.cron == "0 6 * * 1"
    assert folder.spec.training.intervals == 2  # three whole weeks
    monday = folder.spec.schedule.schedule().interval_ending(datetime(2024, 3, 11, 6, tzinfo=UTC))
    rows = source.probe(shop.connection("shop"), folder, monday, monday.end, limit=1000)
    assert rows.num_rows == 7 * 60
    assert max(rows["there_at_age"].to_pylist()) < 0  # after the event: that is what was vouched for


def test_labels_come_from_another_table_where_they_are_there(shop):
    folder, made = authoring.new_model(
        shop, "claim", "shop.parcel", connection="shop", event_time="sent_at", labels_from="shop.claim"
    )
    assert (folder.spec.target.name, folder.spec.target.kind) == ("paid_out", "regression")
    assert folder.spec.output.unit == "units of paid_out", "it is said beside every change of the score"
    url, far = shop.connection("shop"), datetime(2025, 1, 1, tzinfo=UTC)
    assert source.labels(url, folder, [day(5)], far).num_rows == 60
    assert source.labels(url, folder, [day(5)], day(5).end).num_rows < 60  # recorded with the claim
    assert "lost" in folder.spec.feature_names
    assert made.labels is not None
    with pytest.raises(ParameterError, match=r"id does not identify a row of shop\.claims"):
        authoring.new_model(shop, "claims", "shop.parcel", connection="shop", labels_from="shop.claims")
    assert not (shop.settings.models / "claims").exists()


@pytest.mark.parametrize(
    ("name", "table", "options", "message"),
    [
        ("a", "shop.lines", {}, "there is no table shop.lines"),
        ("a", "line", {}, "does not name a schema and a table"),
        ("a", "shop.keyless", {}, "nothing identifies a row"),
        ("a", "shop.keyless", {"key": ["a"]}, "does not identify a row"),
        ("a", "shop.empty", {}, "has no row"),
        ("a", "shop.plain", {"target": "nothing"}, "has no column 'nothing'"),
        ("a", "shop.plain", {"event_time": "x"}, "--event-time x is int4"),
        ("a", "shop.plain", {"target": "done", "estimator": "ridge"}, "ridge predicts no binary target"),
        ("a", "shop.plain", {"target": "done", "estimator": "magic"}, "magic is not known"),
        ("a", "shop.plain", {"schedule": "every day"}, "'every day' is no cron expression"),
        ("a", "shop.parcel", {"keep": ["nothing"]}, "has no column 'nothing'"),
        ("a", "shop.parcel", {"keep": ["id"]}, "--keep id: it is no feature"),
        ("a", "shop.line", {"target": "paid", "keep": ["note"]}, "--keep note: text of 1,500 values"),
        ("A b", "shop.plain", {}, "can't be a model's name"),
        ("../up", "shop.plain", {}, "can't be a model's name"),
        ("there", "shop.plain", {}, "there is a folder there already"),
    ],
)
def test_bad_input_is_named_and_nothing_is_half_written(shop, name, table, options, message):
    models: Path = shop.settings.models
    (models / "there").mkdir(parents=True, exist_ok=True)
    before = sorted(path.relative_to(models) for path in models.rglob("*"))
    with pytest.raises(ParameterError, match=message):
        authoring.new_model(shop, name, table, connection="shop", **options)
    assert sorted(path.relative_to(models) for path in models.rglob("*")) == before


def test_an_unknown_connection_is_named(shop):
    with pytest.raises(RescoreError, match="'nowhere' is not configured"):
        authoring.new_model(shop, "a", "shop.plain", connection="nowhere")


def test_without_pytest_the_folders_tests_are_skipped_and_that_is_said(shop, tmp_path):
    folder, _ = authoring.new_model(shop, "untested", "shop.plain", connection="shop")
    venv.create(tmp_path / "bare", with_pip=False)
    python = str(tmp_path / "bare" / "bin" / "python")
    found = run_folder_tests(folder, python)
    assert found.status == "skipped"
    assert f"pytest is not installed for {python}" in found.what


@pytest.mark.parametrize(
    ("table", "kind", "asked"), [("wholes", "int8", False), ("tenths", "text", True), ("huge", "text", True)]
)
def test_a_numeric_key_is_never_rounded(shop, table, kind, asked):
    folder, draft = authoring.new_model(shop, table, f"shop.{table}", connection="shop", target="y")
    assert f't."id"::{kind}' in folder.extract_sql
    assert any("its key is written as text" in one for one in draft.decide) == asked


def test_extreme_numbers_and_padded_texts_are_drafted(shop):
    folder, _ = authoring.new_model(
        shop, "extremes", "shop.extremes", connection="shop", event_time="at", target="y", keep=["v"]
    )
    suite = (folder.path / "expectations.py").read_text()
    assert "value_set=['x', 'yy']" in suite or "value_set=['yy', 'x']" in suite
    query = folder.extract_sql.replace('t."n"::float8', "1::float8")  # no float8 holds one of them
    (folder.path / "extract.sql").write_text(query)
    rows = source.probe(shop.source_url(folder), shop.model("extremes"), day(0), day(9).start)
    assert set(rows["hull"].to_pylist()) == {"x", "yy"}
    assert rows["code"].to_pylist()[0] == "a1"
