"""The flights as a source: what the year holds, and when each row of it became known."""

from __future__ import annotations

import zipfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg2
import pytest

from rescore.demo import flights
from rescore.errors import SettingsError, SourceQueryError, SourceSchemaError, SourceUnavailableError
from tests.demo.conftest import NEW_YORK, execute, new_york

# -- what the year holds --------------------------------------------------------------------------


def test_every_row_of_the_files_is_there(flights_url: str) -> None:
    counted = {t: execute(flights_url, f"SELECT count(*) FROM flights.{t}")[0][0] for t in flights.TABLES}
    assert counted == {
        "schedule": 336_776,
        "arrival": 327_346,
        "weather": 26_115,
        "plane": 3_322,
        "airport": 1_458,
    }


def test_the_utc_hour_makes_a_flight_unique_and_the_date_does_not(flights_url: str) -> None:
    [(rows, by_hour, by_date)] = execute(
        flights_url,
        """SELECT count(*), count(DISTINCT (time_hour, carrier, flight)),
                  count(DISTINCT ((scheduled_departure AT TIME ZONE 'America/New_York')::date,
                                  carrier, flight))
           FROM flights.schedule""",
    )
    assert (rows, by_hour, by_date) == (336_776, 336_776, 336_752)


@pytest.mark.slow
def test_scheduled_times_equal_those_of_an_independent_reading_of_the_file(flights_url: str) -> None:
    """Wall clocks of the destination; days around both clock changes, and every 97th flight."""
    zones = dict(execute(flights_url, "SELECT faa, tzone FROM flights.airport"))
    zones |= dict.fromkeys(("SJU", "BQN", "PSE"), "America/Puerto_Rico") | {"STT": "America/St_Thomas"}
    columns = "time_hour, carrier, flight, scheduled_departure, scheduled_arrival"
    loaded = {
        (hour, carrier, flight): (departure, arrival)
        for hour, carrier, flight, departure, arrival in execute(
            flights_url, f"SELECT {columns} FROM flights.schedule"
        )
    }
    with zipfile.ZipFile(flights.data_folder() / "flights.csv.zip") as archive:
        lines = archive.read("flights.csv").decode().splitlines()[1:]
    change = {("3", "9"), ("3", "10"), ("11", "2"), ("11", "3")}
    compared = 0
    for number, line in enumerate(lines):
        year, month, day, _, departs, _, _, arrives, _, carrier, flight, _, _, dest, *_, hour = line.split(
            ","
        )
        if number % 97 and (month, day) not in change:
            continue
        # Sums of an aware datetime keep the wall clock; a repeated one is its first pass (fold 0).
        departure = _at(datetime(int(year), int(month), int(day), tzinfo=NEW_YORK), departs).astimezone(UTC)
        wall = _at(datetime(int(year), int(month), int(day), tzinfo=ZoneInfo(zones[dest])), arrives)
        arrival = wall.astimezone(UTC)
        if arrival <= departure:
            arrival = (wall + timedelta(days=1)).astimezone(UTC)
        assert loaded[datetime.fromisoformat(hour), carrier, int(flight)] == (departure, arrival), line
        compared += 1
    assert compared > 6_000


def _at(midnight: datetime, hhmm: str) -> datetime:
    return midnight + timedelta(hours=int(hhmm) // 100, minutes=int(hhmm) % 100)


def test_planned_block_times_are_possible(flights_url: str) -> None:
    [(shortest, longest)] = execute(
        flights_url,
        """SELECT min(scheduled_arrival - scheduled_departure), max(scheduled_arrival - scheduled_departure)
           FROM flights.schedule""",
    )
    assert (shortest, longest) == (timedelta(minutes=50), timedelta(minutes=700))


def test_the_airport_table_lacks_what_the_source_lacks(flights_url: str) -> None:
    missing = execute(
        flights_url,
        "SELECT DISTINCT dest FROM flights.schedule "
        "LEFT JOIN flights.airport ON faa = dest WHERE faa IS NULL",
    )
    assert {dest for (dest,) in missing} == {"SJU", "BQN", "STT", "PSE"}


# -- when it became known -------------------------------------------------------------------------


def test_an_arrival_is_known_when_the_plane_is_there(flights_url: str) -> None:
    [(rows, wrong)] = execute(
        flights_url,
        """SELECT count(*), count(*) FILTER (
                    WHERE a.recorded_at <> s.scheduled_arrival + a.arr_delay * interval '1 minute')
           FROM flights.arrival a JOIN flights.schedule s USING (time_hour, carrier, flight)""",
    )
    assert (rows, wrong) == (327_346, 0)


def test_a_schedule_is_known_a_month_before_and_says_nothing_of_planes(flights_url: str) -> None:
    [(least, most)] = execute(
        flights_url,
        """SELECT min(scheduled_departure - recorded_at), max(scheduled_departure - recorded_at)
           FROM flights.schedule""",
    )
    assert least >= timedelta(days=30)
    assert most <= timedelta(days=31, hours=1)
    columns = execute(
        flights_url,
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'flights' "
        "AND table_name = 'schedule'",
    )
    assert {name for (name,) in columns}.isdisjoint({"tailnum", "dep_time", "dep_delay", "air_time"})


def test_the_weather_stops_before_the_last_day(flights_url: str) -> None:
    [(last,)] = execute(flights_url, "SELECT max(recorded_at) FROM flights.weather")
    assert last == datetime(2013, 12, 30, 23, tzinfo=UTC)


def test_labels_known_by_the_first_of_april(flights_url: str) -> None:
    statement = """SELECT count(*) FROM flights.arrival a
        JOIN flights.schedule s USING (time_hour, carrier, flight)
        WHERE s.scheduled_departure >= %s AND s.scheduled_departure < %s AND a.recorded_at <= %s"""
    quarter = (new_york(1, 1, 0), new_york(4, 1, 0))
    assert execute(flights_url, statement, *quarter, new_york(4, 1)) == [(77_910,)]
    assert execute(flights_url, statement, *quarter, new_york(4, 2)) == [(77_911,)]


# -- loading --------------------------------------------------------------------------------------


@pytest.fixture
def few_flights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package's files cut short, so that loading takes no time."""
    whole, cut = flights.data_folder(), tmp_path / "data"
    cut.mkdir()
    for name in ("weather.csv", "planes.csv", "airports.csv"):
        lines = (whole / name).read_text().splitlines(keepends=True)
        (cut / name).write_text("".join(lines[:2000]))
    with zipfile.ZipFile(whole / "flights.csv.zip") as archive, archive.open("flights.csv") as stream:
        head = b"".join(stream.readline() for _ in range(500))
    with zipfile.ZipFile(cut / "flights.csv.zip", "w") as archive:
        archive.writestr("flights.csv", head)
    monkeypatch.setattr(flights, "data_folder", lambda: cut)
    return cut


def _contents(url: str, schema: str = "flights") -> dict[str, Counter[str]]:
    return {
        table: Counter(row for (row,) in execute(url, f"SELECT t::text FROM {schema}.{table} t"))
        for table in flights.TABLES
    }


def test_loading_again_changes_nothing(database_url: str, few_flights: Path) -> None:
    first = flights.load(database_url)
    before = _contents(database_url)
    again = flights.load(database_url.replace("postgresql://", "postgresql+psycopg2://"))
    assert (first.already, again.already) == (False, True)
    assert first.rows == again.rows
    assert _contents(database_url) == before


def test_loading_mends_what_is_missing(database_url: str, few_flights: Path) -> None:
    flights.load(database_url)
    before = _contents(database_url)
    execute(database_url, "DELETE FROM flights.arrival WHERE carrier = 'UA'")
    execute(database_url, "DROP TABLE flights.plane")
    assert not flights.load(database_url).already
    assert _contents(database_url) == before


def test_other_files_replace_the_rows(database_url: str, few_flights: Path) -> None:
    flights.load(database_url)
    planes = few_flights / "planes.csv"
    planes.write_text("".join(planes.read_text().splitlines(keepends=True)[:101]))
    assert flights.load(database_url).rows["plane"] == 100


def test_a_load_that_fails_leaves_nothing(database_url: str, few_flights: Path) -> None:
    with (few_flights / "airports.csv").open("a") as file:
        file.write("XXX,Nowhere,not a latitude,0,0,0,A,America/New_York\n")
    with pytest.raises(SourceQueryError, match="can't be loaded"):
        flights.load(database_url)
    assert execute(database_url, "SELECT count(*) FROM pg_namespace WHERE nspname = 'flights'") == [(0,)]


def test_tables_of_others_are_left_alone(database_url: str, few_flights: Path) -> None:
    execute(database_url, "CREATE SCHEMA ours; CREATE TABLE ours.weather (mine text)")
    with pytest.raises(SourceSchemaError) as caught:
        flights.load(database_url, schema="ours")
    assert "weather" in str(caught.value)
    assert execute(database_url, "SELECT count(*) FROM ours.weather") == [(0,)]


def test_the_schema_is_a_parameter(database_url: str, few_flights: Path) -> None:
    loaded = flights.load(database_url, schema="Year 2013")
    assert execute(database_url, 'SELECT count(*) FROM "Year 2013".schedule') == [(loaded.rows["schedule"],)]


def test_a_role_that_may_not_create_is_told_so(database_url: str, few_flights: Path) -> None:
    execute(database_url, "CREATE ROLE reader LOGIN PASSWORD 'reader'")
    try:
        server = psycopg2.extensions.parse_dsn(database_url)
        url = f"postgresql://reader:reader@{server['host']}:{server['port']}/{server['dbname']}"
        with pytest.raises(SourceQueryError, match="permission denied"):
            flights.load(url)
    finally:
        execute(database_url, "DROP ROLE reader")


def test_a_database_that_is_down_is_worth_another_try(few_flights: Path) -> None:
    with pytest.raises(SourceUnavailableError) as caught:
        flights.load("postgresql://nobody@127.0.0.1:1/nothing")
    assert caught.value.retryable


def test_without_the_package_the_fix_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="not installed") as caught:
        flights.data_folder()
    assert "rescore[demo]" in str(caught.value)
