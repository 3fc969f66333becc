"""The leakage test on the flights: silent on the model as it is, loud on each way to know the future."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rescore import source
from rescore.authoring import check_extract, check_labels, check_values
from tests.demo.conftest import due, execute


@pytest.fixture(scope="module")
def rows(folder, flights_url, interval):
    return source.probe(flights_url, folder, interval, interval.end, limit=9_999)


def failed(results):
    return [one.what for one in results if one.status == "failed"]


@pytest.fixture(scope="module")
def interval(folder):
    return due(folder, 4, 3)


def test_the_flights_read_only_what_was_known(folder, flights_url, interval, rows):
    assert failed(check_extract(flights_url, folder, interval)) == []
    assert failed(check_labels(flights_url, folder, interval, rows)) == []


@pytest.mark.slow
def test_a_flights_own_delay_as_a_feature_is_caught(folder, flights_url, interval):
    """In place of the wind: what the flight's own delay was, known hours after the run."""
    own = (
        "(SELECT a.arr_delay::float8 FROM flights.arrival a WHERE a.time_hour = f.time_hour"
        " AND a.carrier = f.carrier AND a.flight = f.flight) AS weather_temp"
    )
    sql = folder.extract_sql.replace("reading.temp AS weather_temp", own)
    assert sql != folder.extract_sql
    [what] = failed(check_extract(flights_url, replace(folder, extract_sql=sql), interval))
    assert "would have other values in weather_temp" in what
    assert "extract.sql reads what was not known by 2013-04-03T08:00:00+00:00" in what


def test_a_filter_that_is_forgotten_is_caught(folder, flights_url, interval, rows):
    sql = folder.labels_sql.replace("AND a.recorded_at <= :as_of", "")
    assert sql != folder.labels_sql
    assert failed(check_labels(flights_url, replace(folder, labels_sql=sql), interval, rows))


@pytest.mark.slow
def test_a_recorded_at_that_lies_is_caught(folder, flights_copy, interval, tmp_path):
    """Arrivals are said to have been recorded a day before the flight left, and read as if known."""
    execute(flights_copy, "UPDATE flights.arrival SET recorded_at = time_hour - interval '24 hours'")
    own = (
        "(SELECT a.arr_delay::float8 FROM flights.arrival a WHERE a.time_hour = f.time_hour"
        " AND a.carrier = f.carrier AND a.flight = f.flight AND a.recorded_at <= :as_of) AS weather_temp"
    )
    lying = replace(folder, extract_sql=folder.extract_sql.replace("reading.temp AS weather_temp", own))
    assert failed(check_extract(flights_copy, lying, interval)) == []  # by its own word it was known
    [what] = failed(
        check_labels(
            flights_copy,
            lying,
            interval,
            source.probe(flights_copy, lying, interval, interval.end, limit=9999),
        )
    )
    assert "the known-by column lies" in what
    snapshot = source.snapshot(
        flights_copy,
        lying,
        [interval],
        interval.end + folder.spec.target.delay * 2,
        tmp_path / "rows.parquet",
    )
    values = check_values(source.read_frozen(snapshot.path, snapshot.digest.root), lying)
    assert values.status == "failed"
    assert "weather_temp predicts the label perfectly" in values.what
