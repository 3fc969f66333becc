"""Training judges its rows as scoring does: each interval by itself, labelled or not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import psycopg2
import pytest

from rescore import pipeline, source
from rescore.errors import SpecError, ValidationError
from rescore.interval import Interval
from tests.shared.harbour import FIRST, MODEL, TRAINED_AS_OF

#: Moon and gauge are unique in a day; over 30 days the moon comes back.
UNIQUE_IN_A_DAY = """
import great_expectations as gx
import great_expectations.expectations as gxe

def suite():
    return gx.ExpectationSuite(name="tides", expectations=[
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["gauge", "moon"], severity="{severity}")])
"""


@pytest.fixture
def readings(untrained, postgres_server):
    """The context, and a way to change its source, which its own login only reads."""

    def execute(statement, *values):
        database = untrained.settings.database_url.rpartition("/")[2]
        url = postgres_server.url(database)
        with psycopg2.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
        connection.close()

    return untrained, execute


def expect(ctx, severity):
    (ctx.model(MODEL).path / "expectations.py").write_text(UNIQUE_IN_A_DAY.format(severity=severity))


def frozen(ctx, digest):
    return source.read_frozen(ctx.archive.get_input(digest), digest)


def test_what_holds_in_each_interval_holds_in_training(readings):
    ctx, execute = readings
    expect(ctx, "critical")
    rows = frozen(ctx, pipeline.train_snapshot(ctx, MODEL, as_of=TRAINED_AS_OF))
    moons = rows.select(["gauge", "moon"]).group_by(["gauge", "moon"]).aggregate([]).num_rows
    assert moons < rows.num_rows == 30 * 24 * 3

    execute("UPDATE harbour.readings SET moon = 0 WHERE reading BETWEEN 50 AND 52")
    with pytest.raises(
        ValidationError, match="1 of 30 training intervals would not have been scored"
    ) as caught:
        pipeline.train_snapshot(ctx, MODEL, as_of=TRAINED_AS_OF)
    [example] = caught.value.examples
    assert example.startswith("2024-01-03T00:00:00Z/2024-01-04T00:00:00Z: gauge, moon: 9 of 72 rows")


def test_a_row_is_set_aside_for_what_an_unlabelled_row_beside_it_is(readings):
    ctx, execute = readings
    expect(ctx, "warning")
    before = frozen(ctx, pipeline.train_snapshot(ctx, MODEL, as_of=TRAINED_AS_OF))
    execute("UPDATE harbour.readings SET moon = 0, level = CASE WHEN reading = 51 THEN level END"
            " WHERE reading IN (50, 51) AND gauge = 'pier'")  # fmt: skip
    digest = pipeline.train_snapshot(ctx, MODEL, as_of=TRAINED_AS_OF)
    rows = frozen(ctx, digest)
    gone = {(row["gauge"], row["reading"]) for row in before.to_pylist()} - {
        (row["gauge"], row["reading"]) for row in rows.to_pylist()
    }
    assert gone == {("pier", 50), ("pier", 51)}
    [snapshot] = ctx.store.snapshots.of_model(MODEL, kind="training", digest=digest)
    assert snapshot.details["set_aside"] == 2
    assert snapshot.details["labelled"] == snapshot.details["extracted"] - 1


@pytest.mark.slow
def test_a_feature_without_a_value_in_all_of_training_is_refused_by_name(readings):
    ctx, execute = readings
    until = FIRST + timedelta(days=30)
    execute("UPDATE harbour.readings SET moon = NULL WHERE measured_at < %s", until)
    (ctx.model(MODEL).path / "expectations.py").write_text(UNIQUE_IN_A_DAY.format(severity="info"))
    with pytest.raises(SpecError, match="moon has no value in any of 2,160 training rows"):
        pipeline.train_snapshot(ctx, MODEL, as_of=TRAINED_AS_OF)
    execute("UPDATE harbour.readings SET moon = 'NaN' WHERE reading < 700")
    with pytest.raises(SpecError, match="moon has no value"):
        pipeline.train_snapshot(ctx, MODEL, as_of=TRAINED_AS_OF)
    execute("UPDATE harbour.readings SET moon = 1000 WHERE reading = 600")
    pipeline.train_snapshot(ctx, MODEL, as_of=TRAINED_AS_OF)


def test_a_clock_that_is_hours_off_the_hour_beside_it_is_told_and_stops_nothing(readings):
    ctx, execute = readings
    folder = ctx.model(MODEL).path
    for name, old, new in (
        ("extract.sql", "moon, wind", "moon, wind, clock_hour"),
        (
            "model.yaml",
            "  - {name: wind, kind",
            "  - {name: clock_hour, kind: numeric}\n  - {name: wind, kind",
        ),
    ):
        (folder / name).write_text((folder / name).read_text().replace(old, new))
    query = (folder / "extract.sql").read_text()
    (folder / "extract.sql").write_text(query.replace("wind, clock_hour", "clock_hour, wind"))
    execute("ALTER TABLE harbour.readings ADD clock_hour int")
    told = []
    ctx = replace(ctx, progress=told.append)

    def said(zone):
        execute(
            "UPDATE harbour.readings SET clock_hour = extract(hour FROM measured_at AT TIME ZONE %s)", zone
        )
        del told[:]
        digest = pipeline.train_snapshot(ctx, MODEL, as_of=TRAINED_AS_OF)
        [snapshot] = ctx.store.snapshots.of_model(MODEL, kind="training", digest=digest)
        return [line for line in told if "clock_hour" in line], snapshot.details.get("hours_apart", [])

    assert said("UTC") == ([], [])
    [line], [kept] = said("America/New_York")
    assert line.startswith(
        "tides: measured_at is 5 hours ahead of clock_hour in UTC: is a local time stored as"
    )
    assert kept in line
    day = Interval(TRAINED_AS_OF, TRAINED_AS_OF + timedelta(days=1))
    run_id = pipeline.validate_run(ctx, pipeline.begin_extract(ctx, MODEL, day))
    report = ctx.store.reports.validation_of(ctx.store.runs.get(run_id))
    [note] = [one for one in report["results"] if "clock_hour" in (one["column"] or "")]
    assert (note["severity"], note["success"], note["observed"]) == ("info", False, -5)
    assert kept in note["message"]
