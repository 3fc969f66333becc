"""What the test for leakage sees through, and what it says that it can't see."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest

from rescore import authoring, pipeline, source
from rescore.authoring import check_extract
from rescore.authoring.checks.event_times import check_late
from rescore.authoring.checks.training import sample_window
from rescore.errors import SourceQueryError, TrainingError
from rescore.interval import Interval
from rescore.local import LocalPostgres
from rescore.settings import Settings
from tests.shared.logins import set_up, store_settings

pytestmark = pytest.mark.slow

NOON = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
DAY = Interval(NOON - timedelta(days=2), NOON - timedelta(days=1))
# Two rows an hour up to yesterday, each in a transaction of its own: as if they had come one by one.
SOURCE = """
CREATE TABLE public.call (id bigint PRIMARY KEY, at timestamptz NOT NULL, x float8, missed boolean,
  recorded_at timestamptz NOT NULL);
CREATE FUNCTION public.mean_x() RETURNS float8 STABLE LANGUAGE sql AS 'SELECT avg(x) FROM public.call';
CREATE FUNCTION public.doubled(v float8) RETURNS float8 IMMUTABLE LANGUAGE sql AS 'SELECT v * 2';
"""


def _source(server, url, tmp_path):
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(SOURCE)
        for half in range(96):
            moment = DAY.start + half * timedelta(minutes=30)
            cursor.execute(
                "INSERT INTO call VALUES (%s, %s, sin(%s), %s, %s)",
                (half, moment, half, half % 3 == 0, moment),
            )
    ctx = pipeline.Context.from_environment(
        Settings.from_environment(
            {
                "RESCORE_HOME": str(tmp_path),
                "RESCORE_MODELS": str(tmp_path / "models"),
                **store_settings(server, url, "source"),
            }
        )
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"GRANT TEMPORARY ON DATABASE {connection.info.dbname} TO rescore_extract;"
            "GRANT SELECT ON public.call TO rescore_extract"
        )
    folder, _ = authoring.new_model(ctx, "call", "public.call", target="missed")
    return ctx, folder, connection


@pytest.fixture(scope="module")
def keeps_commit_times(tmp_path_factory):
    server = LocalPostgres(
        tmp_path_factory.mktemp("commits"),
        tied=True,
        settings={"track_commit_timestamp": "on", "fsync": "off"},
    )
    server.start()
    yield server
    server.stop()


def test_commits_after_the_moment_give_a_lying_column_away(keeps_commit_times, tmp_path):
    """Everything was written today, whatever recorded_at says."""
    url = keeps_commit_times.create_database("calls")
    ctx, folder, connection = _source(keeps_commit_times, url, tmp_path)
    reader = ctx.settings.connection_url("source")
    found = check_extract(reader, folder, DAY)
    late = [one.what for one in found if "committed later" in one.what]
    assert len(late) == 1
    assert late[0].endswith("public.call (49 of 49 rows)")
    assert "not seen" not in found[-1].what

    with connection.cursor() as cursor:  # the same rows as of tomorrow: nothing was written after that
        cursor.execute("SELECT now() + interval '1 day'")
        [tomorrow] = cursor.fetchone()
    today = Interval(tomorrow - timedelta(days=1), tomorrow)
    assert not any("committed later" in one.what for one in check_extract(reader, folder, today))
    connection.close()
    ctx.store.close()


def test_functions_and_untracked_commits_are_said_not_to_be_seen(postgres_server, database_url, tmp_path):
    ctx, folder, connection = _source(postgres_server, database_url, tmp_path)
    reader = ctx.settings.connection_url("source")
    [one] = check_extract(reader, folder, DAY)
    assert one.status == "ok"
    assert one.what.endswith("not seen: whether that column is true (track_commit_timestamp is off)")

    with connection.cursor() as cursor:
        cursor.execute(f"REVOKE TEMPORARY ON DATABASE {connection.info.dbname} FROM rescore_extract")
        with pytest.raises(SourceQueryError, match="grant TEMPORARY on the database to the role"):
            check_extract(reader, folder, DAY)
        cursor.execute(f"GRANT TEMPORARY ON DATABASE {connection.info.dbname} TO rescore_extract")

    path = folder.path / "extract.sql"
    before, event = path.read_text(), folder.spec.source.event_time
    for call, seen in (("doubled(x)", False), ("x + mean_x()", True)):
        path.write_text(f"SELECT q.id, q.{event}, {call} AS x FROM (\n{before}\n) q")
        found = check_extract(reader, ctx.model("call"), DAY)
        assert any("extract.sql calls mean_x: what tables" in one.what for one in found) is seen
    connection.close()
    ctx.store.close()


WIDE = 900
WEEKS = """
CREATE TABLE public.job (id bigint PRIMARY KEY, at timestamptz NOT NULL, hour int, x float8, recorded_at timestamptz NOT NULL, {wide});
INSERT INTO public.job SELECT n, at, extract(hour FROM at AT TIME ZONE 'America/New_York'), n % 17, at, {values}
FROM generate_series(0, 16 * 7 * 12 - 1) n, LATERAL (SELECT timestamptz '2024-01-01Z' + n * interval '90 minutes' AS at) t;
CREATE TABLE public.verdict (id bigint PRIMARY KEY, bad boolean, recorded_at timestamptz NOT NULL);
INSERT INTO public.verdict SELECT id, id % 17 > 8, at + interval '30 hours' FROM public.job;
""".format(  # noqa: E501
    wide=", ".join(f"c{number} float8" for number in range(WIDE)),
    values=", ".join(f"n % {number + 2}" for number in range(WIDE)),
)


@pytest.fixture
def job(postgres_server, database_url, tmp_path):
    """A weekly model whose labels are known 30 hours after each row."""
    connection = psycopg2.connect(database_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(WEEKS)
        ctx = pipeline.Context.from_environment(
            Settings.from_environment(
                {
                    "RESCORE_HOME": str(tmp_path),
                    "RESCORE_MODELS": str(tmp_path / "models"),
                    **store_settings(postgres_server, database_url, "source"),
                }
            )
        )
        set_up(ctx, "public")
        folder, _ = authoring.new_model(
            ctx, "job", "public.job", event_time="at", labels_from="public.verdict"
        )
        path = folder.path / "model.yaml"
        yaml = re.sub(r"delay: \w+", "delay: 30h", path.read_text(), count=1)
        path.write_text(re.sub(r'cron: ".*?"', 'cron: "0 0 * * 1"', yaml))
        yield ctx, ctx.model("job"), cursor
    connection.close()
    ctx.store.close()


def week(folder):
    return folder.spec.schedule.schedule().last_intervals(datetime(2024, 3, 18, tzinfo=UTC), 1)[0]


def rows_of(ctx, folder):
    return source.probe(ctx.source_url(folder), folder, week(folder), week(folder).end, limit=10_000)


def labels(ctx, folder):
    found = authoring.check_labels(ctx.source_url(folder), folder, week(folder), rows_of(ctx, folder))
    return [(one.status, one.what) for one in found]


def test_labels_of_a_long_interval_are_known_by_its_end_and_of_its_last_rows_are_not(job):
    ctx, folder, cursor = job
    assert len(folder.spec.feature_names) > 830
    assert [one.status for one in authoring.check_extract(ctx.source_url(folder), folder, week(folder))] == [
        "ok"
    ]
    assert [status for status, _ in labels(ctx, folder)] == ["ok"]

    cursor.execute("UPDATE verdict SET recorded_at = j.at FROM job j WHERE j.id = verdict.id")
    [_, (status, what)] = labels(ctx, folder)
    assert status == "failed"
    assert (
        "are known by 2024-03-17T22:30:00+00:00, when those happened, though model.yaml says 30h later"
        in what
    )

    path = folder.path / "model.yaml"
    yaml = re.sub(r"known_by: .*", "known_by: none", path.read_text())
    path.write_text(yaml.replace("training:\n", "training:\n  from: frozen_inputs\n"))
    assert [status for status, _ in labels(ctx, ctx.model("job"))] == ["warning"]  # it can't be looked at


def test_one_column_of_very_many_that_reads_the_future_is_named(job):
    ctx, folder, cursor = job
    cursor.execute("ALTER TABLE verdict ADD COLUMN score float8 DEFAULT 7")
    path = folder.path / "extract.sql"
    own = '(SELECT v.score FROM public.verdict v WHERE v.id = t."id" AND v.recorded_at > :as_of) AS "c899"'
    path.write_text(path.read_text().replace('t."c899" AS "c899"', own))
    path.write_text(path.read_text().replace("v.recorded_at > :as_of", "true"))
    [found] = authoring.check_extract(ctx.source_url(folder), ctx.model("job"), week(folder))
    assert found.status == "failed"
    assert "other values in c899," in found.what


def test_rows_that_come_after_their_interval_are_counted(job):
    ctx, folder, cursor = job
    url, rows = ctx.source_url(folder), rows_of(ctx, folder)
    assert check_late(url, folder, week(folder), rows) == []
    cursor.execute("UPDATE job SET recorded_at = at + interval '2 days'")
    [found] = check_late(url, folder, week(folder), rows_of(ctx, folder))
    assert found.status == "warning"
    assert found.what.startswith(f"31 of 112 rows of {week(folder)} were known only after it had ended")
    assert "make recorded_at the event time" in found.fix


def test_rows_beyond_those_that_were_looked_at_are_not_late(job):
    ctx, folder, _ = job
    first = rows_of(ctx, folder).slice(0, 20)
    url = ctx.source_url(folder)
    assert check_late(url, folder, week(folder), first, whole=False) == []
    [found] = check_late(url, folder, week(folder), first)
    assert "92 of 112 rows" in found.what


def test_an_hour_beside_the_event_says_when_a_local_time_was_stored_as_utc(job):
    ctx, folder, cursor = job
    path = folder.path / "model.yaml"
    path.write_text(path.read_text().replace("timezone: UTC", "timezone: America/New_York"))
    assert authoring.check_event_times(rows_of(ctx, ctx.model("job")), ctx.model("job")) == []
    cursor.execute("UPDATE job SET at = (at AT TIME ZONE 'America/New_York') AT TIME ZONE 'UTC'")
    [found] = authoring.check_event_times(rows_of(ctx, ctx.model("job")), ctx.model("job"))
    assert found.status == "warning"
    assert found.what.startswith("event_time is 5 hours behind hour in America/New_York")


def narrow(folder):
    """Fourteen weeks of the few columns that are no ``c…``."""
    path = folder.path / "model.yaml"
    yaml = re.sub(r"intervals: \d+\n  holdout", "intervals: 14\n  holdout", path.read_text())
    path.write_text(re.sub(r"(?m)^  - \{name: \"c\d+\".*\n", "", yaml))
    extract = folder.path / "extract.sql"
    extract.write_text(
        re.sub(r'(?m)^ *t."c\d+" AS "c\d+",?\n', "", extract.read_text()).replace(",\nFROM", "\nFROM")
    )
    suite = folder.path / "expectations.py"
    suite.write_text(re.sub(r"(?m)^.*column=\'c\d+\'.*\n", "", suite.read_text()))


def test_a_class_that_the_last_intervals_lack_fails_nothing(job):
    ctx, folder, cursor = job
    cursor.execute(
        "UPDATE verdict SET bad = false FROM job j WHERE j.id = verdict.id AND j.at >= '2024-01-29Z'"
    )
    narrow(folder)
    checks = {one.name: one for one in authoring.check_model(ctx, "job", week(folder))}
    assert checks["fit"].status == "ok", checks["fit"]
    cursor.execute("UPDATE verdict SET bad = false")
    checks = {one.name: one for one in authoring.check_model(ctx, "job", week(folder))}
    assert checks["fit"].status == "skipped"
    assert [one for one in checks.values() if one.status == "failed"] == []


def test_a_class_that_only_the_first_of_the_last_intervals_have_fails_nothing(job):
    """Of the last six weeks one fold would have no bad one: the fit is tried on weeks that do."""
    ctx, folder, cursor = job
    cursor.execute(
        "UPDATE verdict SET bad = false FROM job j WHERE j.id = verdict.id AND j.at >= '2024-02-26Z'"
    )
    window, can_fit = sample_window(ctx.source_url(folder), folder, week(folder))
    assert can_fit and [one.end.day for one in window] == [12, 19, 26]


STRICT = """
from xgboost import XGBClassifier

def build(hyperparameters, seed):
    return XGBClassifier(n_estimators=5, random_state=seed)
"""


def test_a_class_that_one_fit_lacks_fails_nothing(job):
    """Training takes many intervals; of the check's few one has it, and XGBoost wants each in every fit."""
    ctx, folder, cursor = job
    cursor.execute(
        "ALTER TABLE verdict ALTER bad TYPE text USING CASE WHEN bad THEN 'bad' ELSE 'good' END;"
        "UPDATE verdict SET bad = 'best' WHERE id = (SELECT max(id) FROM job WHERE at < '2024-03-07Z')"
    )
    narrow(folder)
    path = folder.path / "model.yaml"
    path.write_text(re.sub(r"kind: binary\n(  positive: .*\n)?", "kind: multiclass\n", path.read_text()))
    (folder.path / "pipeline.py").write_text(STRICT)
    checks = {one.name: one for one in authoring.check_model(ctx, "job", week(folder))}
    assert checks["fit"].status == "skipped", checks["fit"]
    assert checks["fit"].what.startswith("'best' of bad occurs in too few of the intervals looked at")
    assert [one for one in checks.values() if one.status == "failed"] == []


def test_a_feature_that_the_last_intervals_lack_fails_nothing(job):
    """It has values in the training window, and training fits it; the check's few intervals have none."""
    ctx, folder, cursor = job
    narrow(folder)
    suite = folder.path / "expectations.py"  # drafted when each row had one
    suite.write_text(
        suite.read_text().replace(
            "ExpectColumnValuesToNotBeNull(column='x', severity=\"warning\"",
            "ExpectColumnValuesToNotBeNull(column='x', severity=\"info\"",
        )
    )
    cursor.execute("UPDATE job SET x = NULL WHERE at >= '2024-01-20Z'")
    checks = {one.name: one for one in authoring.check_model(ctx, "job", week(folder))}
    assert checks["fit"].status == "skipped" and checks["fit"].what.startswith("x: no value in the ")
    assert [one for one in checks.values() if one.status == "failed"] == []


def test_labels_that_come_weeks_late_fail_nothing(job):
    """A regression whose last weeks have no label yet, though the declared delay is over."""
    ctx, folder, cursor = job
    cursor.execute(
        "ALTER TABLE verdict ALTER bad TYPE float8 USING CASE WHEN id < 16 * 7 * 5 THEN id % 17 END"
    )
    path = folder.path / "model.yaml"
    yaml = re.sub(r"kind: binary\n(  positive: .*\n)?", "kind: regression\n", path.read_text())
    path.write_text(re.sub(r"intervals: \d+\n  holdout", "intervals: 14\n  holdout", yaml))
    url, late = ctx.source_url(folder), ctx.model("job")
    window, can_fit = sample_window(url, late, week(folder))
    assert can_fit and len(window) >= 3
    assert window[-1].end < week(folder).start
    cursor.execute("UPDATE verdict SET bad = NULL")
    with pytest.raises(
        TrainingError, match=r"no row of the 1[0-9] intervals up to .* has a known label"
    ) as caught:
        sample_window(url, late, week(folder))
    assert "--day" in (caught.value.fix or "") and "target.delay" in (caught.value.fix or "")
