"""What scoring and training see of the flights: the right days, only what was known, no leak."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import roc_auc_score

from rescore import source
from rescore.digest import table_digest
from rescore.errors import EmptyIntervalError
from rescore.folder import ModelFolder
from rescore.interval import Interval
from tests.demo.conftest import Extract, due, execute, new_york

pytestmark = pytest.mark.slow

RECENT = ["origin_late_24h", "carrier_late_24h", "carrier_late_7d", "fleet_seats", "fleet_age"]


def weather(table: pa.Table) -> list[str]:
    return [name for name in table.column_names if name.startswith("weather_")]


def same(one: pa.Table, other: pa.Table) -> bool:
    return table_digest(one).root == table_digest(other).root


# -- the right rows -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("month", "day", "rows"),
    [
        (4, 1, 970),
        (4, 2, 983),
        (4, 3, 992),
        (4, 4, 985),
        (4, 5, 981),
        (4, 6, 770),
        (4, 7, 911),
        (12, 31, 776),
    ],
)
def test_an_interval_holds_the_flights_of_the_day_it_ends_on(
    extract: Extract, month: int, day: int, rows: int
) -> None:
    table = extract(month, day)
    assert table.num_rows == rows
    hours = table["time_hour"].to_pylist()
    assert min(hours) >= new_york(month, day, 0)
    assert max(hours) < new_york(month, day, 0) + timedelta(days=1)


@pytest.mark.parametrize(
    ("month", "day", "hours", "event_time"),
    [
        (3, 10, 23, datetime(2013, 3, 10, 7, tzinfo=UTC)),
        (3, 11, 24, datetime(2013, 3, 11, 7, tzinfo=UTC)),
        (11, 3, 25, datetime(2013, 11, 3, 8, tzinfo=UTC)),
        (11, 4, 24, datetime(2013, 11, 4, 8, tzinfo=UTC)),
    ],
)
def test_days_of_23_and_25_hours(
    extract: Extract,
    folder: ModelFolder,
    flights_url: str,
    month: int,
    day: int,
    hours: int,
    event_time: datetime,
) -> None:
    interval = due(folder, month, day)
    assert interval.duration == timedelta(hours=hours)
    table = extract(month, day)
    assert set(table["event_time"].to_pylist()) == {event_time}
    assert event_time in interval
    [(scheduled,)] = execute(
        flights_url,
        """SELECT count(*) FROM flights.schedule
           WHERE (scheduled_departure AT TIME ZONE 'America/New_York')::date = make_date(2013, %s, %s)""",
        month,
        day,
    )
    assert table.num_rows == scheduled


def test_the_schedule_covers_the_year(folder: ModelFolder) -> None:
    schedule = folder.spec.schedule.schedule()
    first, last = schedule.first_interval(), schedule.last_interval()
    assert first is not None
    assert last is not None
    assert (first.end, last.end) == (new_york(1, 1), new_york(12, 31))


def test_a_morning_without_weather(extract: Extract) -> None:
    table = extract(12, 31)
    assert {name: table[name].null_count for name in weather(table)} == dict.fromkeys(weather(table), 776)
    assert table["origin_late_24h"].null_count == 0
    day_before = extract(12, 30)
    assert day_before["weather_temp"].null_count == 0


def test_a_reading_is_used_for_three_hours(extract: Extract, flights_copy: str) -> None:
    """At 03:00 New York (07:00 UTC in April) a reading of 04:00 UTC is still of use, one of 03:59 is not."""
    statement = """DELETE FROM flights.weather
        WHERE recorded_at > %s AND recorded_at < '2013-04-02 09:00+00'"""
    execute(flights_copy, statement, datetime(2013, 4, 2, 4, tzinfo=UTC))
    [(temperature,)] = execute(
        flights_copy,
        "SELECT temp FROM flights.weather WHERE origin = 'JFK' AND time_hour = '2013-04-02 04:00+00'",
    )
    table = extract(4, 2, url=flights_copy)
    from_jfk = table.filter(pc.equal(table["origin"], "JFK"))
    assert set(from_jfk["weather_temp"].to_pylist()) == {temperature}
    execute(
        flights_copy,
        "UPDATE flights.weather SET recorded_at = recorded_at - interval '1 minute' "
        "WHERE time_hour = '2013-04-02 04:00+00'",
    )
    assert extract(4, 2, url=flights_copy)["weather_temp"].null_count == 983


def test_destinations_that_the_registry_lacks(extract: Extract) -> None:
    table = extract(4, 1)
    unlisted = table.filter(pc.invert(table["dest_in_registry"]))
    assert 0 < unlisted.num_rows < 60
    assert set(unlisted["dest"].to_pylist()) <= {"SJU", "BQN", "STT", "PSE"}


def test_recent_shares_equal_a_plain_count(extract: Extract, flights_url: str) -> None:
    table = extract(4, 5)
    moment = new_york(4, 5, 3).astimezone(UTC)  # hours, not wall clock, count
    for origin in ("EWR", "JFK", "LGA"):
        [(late, arrived)] = execute(
            flights_url,
            "SELECT count(*) FILTER (WHERE arr_delay >= 15), count(*) FROM flights.arrival "
            "WHERE origin = %s AND recorded_at > %s AND recorded_at <= %s",
            origin,
            moment - timedelta(hours=24),
            moment,
        )
        rows = table.filter(pc.equal(table["origin"], origin))
        assert set(rows["origin_late_24h"].to_pylist()) == {late / arrived}
    row = table.filter(pc.equal(table["carrier"], "B6")).slice(0, 1).to_pylist()[0]
    [(late, arrived, seats)] = execute(
        flights_url,
        "SELECT count(*) FILTER (WHERE arr_delay >= 15), count(*), sum(seats)::float8 / count(seats) "
        "FROM flights.arrival LEFT JOIN flights.plane USING (tailnum) "
        "WHERE (carrier, origin, dest) = (%s, %s, %s) "
        "AND arrival.recorded_at > %s AND arrival.recorded_at <= %s",
        row["carrier"],
        row["origin"],
        row["dest"],
        moment - timedelta(days=28),
        moment,
    )
    assert (row["route_late_28d"], row["route_arrivals_28d"], row["fleet_seats"]) == (late, arrived, seats)


# -- known by -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_happened_later_changes_nothing(extract: Extract, flights_copy: str) -> None:
    before = extract(4, 5, url=flights_copy)
    moment = new_york(4, 5, 3)
    for statement in (
        "UPDATE flights.arrival SET arr_delay = 999, tailnum = 'N10156' WHERE recorded_at > %s",
        "DELETE FROM flights.arrival WHERE recorded_at > %s AND carrier = 'UA'",
        "UPDATE flights.weather SET temp = 200, wind_speed = 149 WHERE recorded_at > %s",
    ):
        execute(flights_copy, statement, moment)
    assert same(extract(4, 5, url=flights_copy), before)
    execute(flights_copy, "UPDATE flights.arrival SET arr_delay = 999 WHERE recorded_at <= %s", moment)
    assert not same(extract(4, 5, url=flights_copy), before)


def test_an_earlier_as_of_sees_less(extract: Extract, folder: ModelFolder) -> None:
    """Yesterday noon: no reading younger than 3 hours at 03:00, no arrival after noon."""
    table = extract(4, 5, as_of=new_york(4, 4, 12))
    usual = extract(4, 5)
    assert table.num_rows == usual.num_rows
    assert table["weather_temp"].null_count == table.num_rows
    arrivals = [pc.sum(one["route_arrivals_28d"]).as_py() for one in (table, usual)]
    assert arrivals[0] < arrivals[1]
    assert not table["origin_late_24h"].equals(usual["origin_late_24h"])
    with pytest.raises(EmptyIntervalError):
        extract(4, 5, as_of=new_york(3, 5, 12))


@pytest.mark.parametrize(
    ("table", "column", "unknown"), [("plane", "fleet_seats", None), ("airport", "dest_in_registry", False)]
)
def test_registries_are_read_as_known(
    extract: Extract, flights_copy: str, table: str, column: str, unknown: object
) -> None:
    execute(flights_copy, f"UPDATE flights.{table} SET recorded_at = %s", new_york(4, 5, 5))
    assert set(extract(4, 5, url=flights_copy)[column].to_pylist()) == {unknown}


def test_labels_are_read_as_known(folder: ModelFolder, flights_url: str) -> None:
    interval = due(folder, 4, 5)
    counts = [
        source.labels(flights_url, folder, [interval], as_of).num_rows
        for as_of in (interval.end, new_york(4, 5, 15), new_york(4, 6), new_york(4, 8))
    ]
    [(arrived,)] = execute(
        flights_url,
        """SELECT count(*) FROM flights.arrival JOIN flights.schedule USING (time_hour, carrier, flight)
           WHERE (scheduled_departure AT TIME ZONE 'America/New_York')::date = '2013-04-05'""",
    )
    assert counts[0] == 0
    assert 0 < counts[1] < counts[2] <= counts[3] == arrived


def test_labels_of_a_long_range_are_those_of_its_intervals(folder: ModelFolder, flights_url: str) -> None:
    schedule = folder.spec.schedule.schedule()
    intervals = list(schedule.intervals(due(folder, 3, 8).start, due(folder, 3, 13).end))
    assert len(intervals) == 6
    whole = [Interval(intervals[0].start, intervals[-1].end)]
    as_of = new_york(4, 1)
    key = ["time_hour", "carrier", "flight", "late"]
    one = source.labels(flights_url, folder, whole, as_of).select(key)
    many = source.labels(flights_url, folder, intervals, as_of).select(key)
    assert one.sort_by([(name, "ascending") for name in key]) == many.sort_by([(n, "ascending") for n in key])
    quarter = [Interval(new_york(12, 31, year=2012), new_york(3, 31))]
    assert source.labels(flights_url, folder, quarter, as_of).num_rows == 77_910


def test_a_day_is_ready_once_its_schedule_is_known(folder: ModelFolder, flights_copy: str) -> None:
    interval = due(folder, 4, 5)
    assert source.is_ready(flights_copy, folder, interval, interval.end)
    assert not source.is_ready(flights_copy, folder, interval, new_york(3, 5))
    execute(flights_copy, "DELETE FROM flights.schedule WHERE scheduled_departure >= %s", new_york(4, 5, 0))
    assert not source.is_ready(flights_copy, folder, interval, interval.end)


# -- the same bits --------------------------------------------------------------------------------


def test_shuffled_tables_without_an_index_give_the_same_rows(extract: Extract, flights_copy: str) -> None:
    before = extract(3, 10, url=flights_copy)
    # Rows of later days go too: they were not known, and shuffling a year takes long.
    for table in ("schedule", "arrival", "weather", "plane", "airport"):
        execute(
            flights_copy,
            f"""CREATE TABLE flights.shuffled AS SELECT * FROM flights.{table} t
                  WHERE recorded_at < '2013-03-11' ORDER BY hashtext(t::text);
                DROP TABLE flights.{table};
                ALTER TABLE flights.shuffled RENAME TO {table};
                ANALYZE flights.{table}""",
        )
    assert same(extract(3, 10, url=flights_copy), before)


# -- training -------------------------------------------------------------------------------------


def test_the_first_quarter_as_training_sees_it(snapshot: source.TrainingSnapshot) -> None:
    assert (snapshot.rows, len(snapshot.intervals)) == (77_910, 90)
    assert (snapshot.intervals[0].end, snapshot.intervals[-1].end) == (new_york(1, 1), new_york(3, 31))
    assert snapshot.extracted == 80_789


@pytest.mark.parametrize(("month", "day"), [(1, 1), (2, 9), (3, 10), (3, 31)])
def test_training_sees_what_scoring_saw(
    snapshot: source.TrainingSnapshot, extract: Extract, folder: ModelFolder, month: int, day: int
) -> None:
    interval = due(folder, month, day)
    [share] = [share for share in snapshot.per_interval if share.interval == interval]
    assert share.digest == table_digest(extract(month, day))


def test_the_first_day_has_no_past_and_later_ones_do(snapshot: source.TrainingSnapshot) -> None:
    table = source.read_frozen(snapshot.path, snapshot.digest.root)
    first = pc.equal(table["interval_end"], pa.scalar(new_york(1, 1), pa.timestamp("us", tz="UTC")))
    for name in RECENT:
        assert table.filter(first)[name].null_count == pc.sum(first).as_py(), name
        later = table.filter(pc.invert(first))[name]
        assert later.null_count < 0.07 * len(later), name


def test_no_feature_tells_the_outcome(
    snapshot: source.TrainingSnapshot, folder: ModelFolder, flights_url: str
) -> None:
    """Alone, the best feature ranks flights at .66; dep_delay, known too late, would at .88."""
    table = source.read_frozen(snapshot.path, snapshot.digest.root)
    table = table.take(np.arange(0, table.num_rows, 4))
    late = table["late"].to_numpy(zero_copy_only=False)
    ranked = {name: _ranks(table[name], late) for name in folder.spec.feature_names}
    assert {name: area for name, area in ranked.items() if area > 0.70} == {}
    assert max(ranked.values()) > 0.6


def test_nothing_tells_that_a_flight_will_be_cancelled(
    folder: ModelFolder, flights_url: str, tmp_path: Path, extract: Extract
) -> None:
    """``tailnum`` is missing in the file for cancelled flights only; no feature may be missing so."""
    tables = [extract(2, 8), extract(2, 9), extract(3, 8)]
    labels = [
        source.labels(flights_url, folder, [due(folder, m, d)], new_york(4, 1))
        for m, d in ((2, 8), (2, 9), (3, 8))
    ]
    arrived = {
        tuple(row.values())
        for one in labels
        for row in one.select(["time_hour", "carrier", "flight"]).to_pylist()
    }
    table = pa.concat_tables(tables)
    gone = np.array(
        [
            tuple(r.values()) not in arrived
            for r in table.select(["time_hour", "carrier", "flight"]).to_pylist()
        ]
    )
    assert gone.sum() > 900
    for name in folder.spec.feature_names:
        missing = table[name].is_null().to_numpy()
        assert roc_auc_score(gone, missing) < 0.65, name


def _ranks(column: pa.ChunkedArray, late: np.ndarray) -> float:
    """How well a column alone ranks flights, in either direction (AUC >= .5)."""
    if pa.types.is_string(column.type):  # levels by their own late share
        codes = column.combine_chunks().dictionary_encode().indices.to_numpy()
        values = (np.bincount(codes, late) / np.bincount(codes))[codes]
    else:
        values = column.cast(pa.float64()).fill_null(-1e9).to_numpy()
    area = float(roc_auc_score(late, values))
    return max(area, 1 - area)
