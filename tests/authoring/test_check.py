"""What the test for leakage sees through, and what it says that it can't see."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg2
import pytest

from rescore import authoring, pipeline
from rescore.authoring import check_extract
from rescore.interval import Interval
from rescore.local import LocalPostgres
from rescore.settings import Settings

NOON = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
DAY = Interval(NOON - timedelta(days=2), NOON - timedelta(days=1))
# Two rows an hour up to yesterday, each in a transaction of its own: as if they had come one by one.
SOURCE = """
CREATE TABLE public.call (id bigint PRIMARY KEY, at timestamptz NOT NULL, x float8, missed boolean,
  recorded_at timestamptz NOT NULL);
CREATE FUNCTION public.mean_x() RETURNS float8 STABLE LANGUAGE sql AS 'SELECT avg(x) FROM public.call';
CREATE FUNCTION public.doubled(v float8) RETURNS float8 IMMUTABLE LANGUAGE sql AS 'SELECT v * 2';
"""


def _source(url, tmp_path):
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
                "RESCORE_DATABASE_URL": url,
                "RESCORE_CONNECTION_SOURCE": url,
            }
        )
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
    ctx, folder, connection = _source(url, tmp_path)
    found = check_extract(url, folder, DAY)
    late = [one.what for one in found if "committed later" in one.what]
    assert len(late) == 1
    assert late[0].endswith("public.call (49 of 49 rows)")
    assert "not seen" not in found[-1].what

    with connection.cursor() as cursor:  # the same rows as of tomorrow: nothing was written after that
        cursor.execute("SELECT now() + interval '1 day'")
        [tomorrow] = cursor.fetchone()
    today = Interval(tomorrow - timedelta(days=1), tomorrow)
    assert not any("committed later" in one.what for one in check_extract(url, folder, today))
    connection.close()
    ctx.store.close()


def test_functions_and_untracked_commits_are_said_not_to_be_seen(database_url, tmp_path):
    ctx, folder, connection = _source(database_url, tmp_path)
    [one] = check_extract(database_url, folder, DAY)
    assert one.status == "ok"
    assert one.what.endswith("not seen: whether that column is true (track_commit_timestamp is off)")

    path = folder.path / "extract.sql"
    before, event = path.read_text(), folder.spec.source.event_time
    for call, seen in (("doubled(x)", False), ("x + mean_x()", True)):
        path.write_text(f"SELECT q.id, q.{event}, {call} AS x FROM (\n{before}\n) q")
        found = check_extract(database_url, ctx.model("call"), DAY)
        assert any("extract.sql calls mean_x: what tables" in one.what for one in found) is seen
    connection.close()
    ctx.store.close()
