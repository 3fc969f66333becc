"""Scoring one interval from extraction to what consumers read."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import psycopg2
import pytest

from rescore import pipeline, source
from rescore.errors import (
    EmptyIntervalError,
    IntervalError,
    NotFoundError,
    OutageError,
    SettingsError,
    SourceEventTimeError,
    SourceKeyError,
    SourceSchemaError,
    SourceUnavailableError,
    StaleFenceError,
    StoreSchemaError,
    StoreUnavailableError,
    UnknownModelError,
    ValidationError,
)
from rescore.interval import Interval


def test_a_published_interval_is_read_with_all_that_explains_it(harbour):
    done = pipeline.score_interval(harbour.ctx, "tides", harbour.day(31))

    rows = harbour.execute("SELECT count(*), min(package_version), min(verdict) FROM scores.tides")
    assert rows == [(72, "1.0.0", done.verdict)]
    run = harbour.ctx.store.runs.get(done.run_id)
    assert run.rows_extracted == run.rows_scored == done.rows == 72
    assert run.as_of == harbour.day(31).end
    [status] = harbour.ctx.store.history.status()
    assert status.model == "tides"
    assert status.package_version == "1.0.0"


def test_a_consumer_who_can_do_nothing_else_reads_the_scores(harbour):
    pipeline.score_interval(harbour.ctx, "tides", harbour.day(31))
    harbour.execute("DROP ROLE IF EXISTS reader")
    harbour.execute("CREATE ROLE reader")
    harbour.execute("GRANT USAGE ON SCHEMA scores TO reader")
    harbour.execute("GRANT SELECT ON ALL TABLES IN SCHEMA scores TO reader")
    try:
        connection = psycopg2.connect(harbour.url)
        with connection, connection.cursor() as cursor:
            cursor.execute("SET ROLE reader")
            cursor.execute("SELECT count(score) FROM scores.tides")
            assert cursor.fetchone() == (72,)
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute("SELECT * FROM rescore.run")
        connection.close()
    finally:
        harbour.execute("DROP OWNED BY reader")
        harbour.execute("DROP ROLE reader")


def test_the_same_interval_has_one_digest_however_and_wherever_it_is_scored(harbour, tmp_path):
    """Again, from another folder, and after the source's rows were shuffled on disk."""
    day = harbour.day(31)
    first = pipeline.score_interval(harbour.ctx, "tides", day)
    elsewhere = pipeline.score_interval(harbour.elsewhere(tmp_path / "other"), "tides", day)
    harbour.execute(
        "CREATE TABLE shuffled AS SELECT * FROM harbour.readings ORDER BY md5(gauge || reading::text);"
        "TRUNCATE harbour.readings; INSERT INTO harbour.readings SELECT * FROM shuffled"
    )
    shuffled = pipeline.score_interval(harbour.ctx, "tides", day)

    assert first.score_digest == elsewhere.score_digest == shuffled.score_digest
    assert len({first.run_id, elsewhere.run_id, shuffled.run_id}) == 3
    assert harbour.execute("SELECT count(*) FROM scores.tides") == [(72,)]
    assert harbour.execute("SELECT count(*) FROM scores.tides_history") == [(216,)]


def test_training_sees_the_very_rows_that_scoring_saw(harbour, tmp_path):
    """Law 4, also for rows that were corrected later: both see what was known at the time."""
    days = [harbour.day(number) for number in (31, 32)]
    late = days[1].end + timedelta(hours=5)
    harbour.execute(
        "INSERT INTO harbour.readings SELECT 'late', reading, measured_at, pressure, moon, wind, level, %s"
        " FROM harbour.readings WHERE gauge = 'pier'",
        late,
    )
    frozen = [
        source.extract(harbour.url, harbour.folder, day, day.end, tmp_path / f"{day.start:%d}.parquet")
        for day in days
    ]
    snapshot = source.snapshot(harbour.url, harbour.folder, days, late, tmp_path / "training.parquet")
    assert [share.digest for share in snapshot.per_interval] == [one.digest for one in frozen]


def test_rows_set_aside_are_shown_with_their_reason_and_add_up(harbour):
    harbour.execute(
        "UPDATE harbour.readings SET pressure = 2000 WHERE reading = 24 * 31 AND gauge = 'pier';"
        "UPDATE harbour.readings SET pressure = NULL WHERE reading = 24 * 31 AND gauge = 'lock'"
    )
    done = pipeline.score_interval(harbour.ctx, "tides", harbour.day(31))

    assert done.rows == 70
    excluded = harbour.execute("SELECT gauge, kind, reason FROM scores.tides_excluded ORDER BY gauge")
    assert [(gauge, kind) for gauge, kind, _ in excluded] == [("lock", "rejected"), ("pier", "quarantined")]
    assert all("pressure" in reason for _, _, reason in excluded)
    assert pipeline.reproduce_run(harbour.ctx, done.run_id).verdict == "identical"


def test_rows_without_a_moment_are_counted_in_the_runs_validation_and_block_nothing(harbour):
    harbour.execute("UPDATE harbour.readings SET measured_at = NULL WHERE reading = 24 * 31")
    done = pipeline.score_interval(harbour.ctx, "tides", harbour.day(31))

    assert done.rows == 69
    report = harbour.ctx.store.reports.validation_of(done.run_id)
    first = report["results"][0]
    assert (first["severity"], first["success"], first["observed"]) == ("info", False, 3)
    assert "harbour.readings.measured_at is NULL in 3 rows: they are in no interval" in first["message"]
    assert report["success"]
    assert "failed: 1 info" in report["summary"]


def test_a_cleared_task_scores_under_a_new_claim_and_the_earlier_attempt_can_not_publish(harbour):
    ctx = harbour.ctx
    run_id = pipeline.validate_run(ctx, pipeline.begin_extract(ctx, "tides", harbour.day(31)))
    first = pipeline.score_run(ctx, run_id)
    again = pipeline.score_run(ctx, run_id)

    assert first == run_id
    assert again != first
    with pytest.raises(StaleFenceError):
        pipeline.drift_run(ctx, first)
    done = pipeline.publish_run(ctx, pipeline.drift_run(ctx, again))
    assert done.run_id == again
    assert pipeline.publish_run(ctx, again) == done
    assert ctx.store.runs.get(again).score_digest == ctx.store.runs.get(first).score_digest


def test_clearing_everything_from_validation_on_gives_the_same_scores(harbour):
    ctx = harbour.ctx
    extracted = pipeline.begin_extract(ctx, "tides", harbour.day(31))

    def onwards() -> dict:
        run_id = pipeline.validate_run(ctx, extracted)
        return pipeline.publish_run(ctx, pipeline.drift_run(ctx, pipeline.score_run(ctx, run_id)))

    first, second = onwards(), onwards()
    assert first.run_id != second.run_id
    assert first.score_digest == second.score_digest
    [current] = ctx.store.runs.published("tides")
    assert current.run_id == second.run_id


def test_half_a_table_loaded_stops_before_publishing(harbour):
    """Rows of a third of the day: what there is looks as it always does."""
    harbour.execute("DELETE FROM harbour.readings WHERE reading >= 744 AND reading < 768 AND reading % 3 > 0")
    with pytest.raises(OutageError, match=r"Only 24 rows where 72 to 72 were to be expected: 67 % of them"):
        pipeline.score_interval(harbour.ctx, "tides", harbour.day(31))


def test_a_retry_whose_rows_retention_took_is_validated_again(harbour, tmp_path):
    """Which rows were set aside went with them: scoring all of the rows would be wrong."""
    harbour.execute("UPDATE harbour.readings SET pressure = 2000 WHERE reading = 24 * 31 AND gauge = 'pier'")
    ctx = harbour.ctx
    killed = pipeline.validate_run(ctx, pipeline.begin_extract(ctx, "tides", harbour.day(31)))
    pipeline.sweep(ctx, who="ada", now=pipeline.utc_now() + timedelta(days=200))
    assert ctx.store.deletions.of_runs([killed])
    assert ctx.store.excluded.positions(ctx.store.runs.extracted(killed)) == []

    done = pipeline.publish_run(ctx, pipeline.drift_run(ctx, pipeline.score_run(ctx, killed)))
    assert done.run_id != killed
    assert done.rows == 71
    assert harbour.execute("SELECT gauge, run_id::text FROM scores.tides_excluded") == [("pier", done.run_id)]
    assert pipeline.reproduce_run(ctx, done.run_id).verdict == "identical"


def test_an_outage_stops_before_publishing_and_says_what_is_missing(harbour):
    harbour.execute("UPDATE harbour.readings SET moon = NULL WHERE measured_at >= %s", harbour.day(31).start)
    with pytest.raises(OutageError, match="moon"):
        pipeline.score_interval(harbour.ctx, "tides", harbour.day(31))

    [run] = harbour.ctx.store.runs.latest("tides")
    assert (run.state, run.verdict, run.publication) == ("stopped", "outage", None)
    assert harbour.execute("SELECT count(*) FROM scores.tides") == [(0,)]


def test_too_many_bad_rows_stop_the_run(harbour):
    harbour.execute(
        "UPDATE harbour.readings SET pressure = 2000 WHERE measured_at >= %s AND gauge = 'pier'",
        harbour.day(31).start,
    )
    with pytest.raises(ValidationError, match=r"(?s)24 of 72 rows .*pressure"):
        pipeline.score_interval(harbour.ctx, "tides", harbour.day(31))
    [run] = harbour.ctx.store.runs.latest("tides")
    assert run.state == "failed"
    assert "24 of 72" in run.error["message"]


BAD_SOURCES = {
    "duplicate key": (
        "INSERT INTO harbour.readings SELECT * FROM harbour.readings WHERE reading = 744 AND gauge = 'pier'",
        SourceKeyError,
        "pier",
    ),
    "null key": (
        "UPDATE harbour.readings SET gauge = NULL WHERE reading = 744 AND gauge = 'pier'",
        SourceKeyError,
        "gauge",
    ),
    "column missing": (
        "ALTER TABLE harbour.readings RENAME COLUMN moon TO luna",
        None,
        "moon",
    ),
    "other type": (
        "ALTER TABLE harbour.readings ALTER COLUMN moon TYPE numeric",
        SourceSchemaError,
        "moon",
    ),
    "empty interval": ("DELETE FROM harbour.readings", EmptyIntervalError, "no row"),
}


@pytest.mark.parametrize("case", BAD_SOURCES)
def test_rows_that_can_not_be_scored_give_a_typed_error_and_publish_nothing(harbour, case):
    statement, error, words = BAD_SOURCES[case]
    harbour.execute(statement)
    with pytest.raises(error or Exception, match=words) as caught:
        pipeline.score_interval(harbour.ctx, "tides", harbour.day(31))
    assert not caught.value.retryable
    assert caught.value.fix
    [run] = harbour.ctx.store.runs.latest("tides")
    assert run.state == "failed"
    assert words in run.error["message"]
    assert harbour.ctx.store.runs.published("tides") == []


def test_an_event_time_outside_the_interval_is_refused(harbour, tmp_path):
    models = _copied_model(harbour, tmp_path)
    extract = models / "tides" / "extract.sql"
    extract.write_text(extract.read_text().replace("measured_at >= :interval_start", "true"))
    ctx = replace(harbour.ctx, settings=replace(harbour.ctx.settings, models=models))
    with pytest.raises(SourceEventTimeError, match="measured_at"):
        pipeline.score_interval(ctx, "tides", harbour.day(31))


def test_only_intervals_of_the_schedule_that_have_ended_are_scored(harbour):
    day = harbour.day(31)
    with pytest.raises(IntervalError, match="not one of the schedule"):
        pipeline.begin_extract(harbour.ctx, "tides", Interval(day.start, day.end + timedelta(days=1)))
    with pytest.raises(IntervalError, match="outside the schedule"):
        pipeline.begin_extract(harbour.ctx, "tides", harbour.day(-40))
    with pytest.raises(IntervalError, match="not ended"):
        pipeline.begin_extract(harbour.ctx, "tides", harbour.day(40_000))
    assert harbour.ctx.store.runs.latest("tides") == []


def test_an_unknown_model_lists_those_there_are(harbour):
    with pytest.raises(UnknownModelError, match=r"(?s)tide.*tides"):
        pipeline.begin_extract(harbour.ctx, "tide", harbour.day(31))


def test_a_database_that_is_down_is_worth_a_retry_and_leaves_the_run_open(harbour):
    nobody = "postgresql://nobody:secret@127.0.0.1:9/nothing"
    no_source = replace(harbour.ctx, connection=lambda _: nobody)
    with pytest.raises(SourceUnavailableError, match=r"127\.0\.0\.1") as caught:
        pipeline.begin_extract(no_source, "tides", harbour.day(31))
    assert caught.value.retryable
    assert "secret" not in str(caught.value)
    settings = replace(harbour.ctx.settings, database_url=nobody)
    with pytest.raises(StoreUnavailableError) as caught:
        pipeline.begin_extract(pipeline.Context.from_environment(settings), "tides", harbour.day(31))
    assert caught.value.retryable
    assert "secret" not in str(caught.value)


def test_a_connection_that_is_not_configured_is_named(harbour):
    settings = replace(harbour.ctx.settings, connections={})
    with pytest.raises(SettingsError, match="RESCORE_CONNECTION_HARBOUR"):
        pipeline.begin_extract(pipeline.Context.from_environment(settings), "tides", harbour.day(31))
    unreadable = replace(harbour.ctx, connection=lambda _: "postgresql://me:se/cret@127.0.0.1/x")
    with pytest.raises(SettingsError) as caught:
        pipeline.begin_extract(unreadable, "tides", harbour.day(31))
    assert caught.value.where == "the source connection 'harbour' of model tides"
    assert "cret" not in str(caught.value)


def test_a_store_that_was_never_made_says_how_to_make_it(harbour, owned_database):
    settings = replace(harbour.ctx.settings, database_url=owned_database)
    with pytest.raises(StoreSchemaError, match="rescore store migrate"):
        pipeline.begin_extract(pipeline.Context.from_environment(settings), "tides", harbour.day(31))


def test_without_a_pin_nothing_is_scored(harbour):
    harbour.execute("ALTER TABLE rescore.pin DISABLE TRIGGER USER; DELETE FROM rescore.pin")
    with pytest.raises(NotFoundError, match=r"(?s)no package of tides is pinned.*rescore pin"):
        pipeline.score_interval(harbour.ctx, "tides", harbour.day(31))


def _copied_model(harbour, tmp_path):
    import shutil

    models = tmp_path / "models"
    shutil.copytree(harbour.ctx.settings.models, models)
    return models
