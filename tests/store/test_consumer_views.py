"""What consumers can ask with the schema ``scores`` alone: status, runs, gaps, comments, notifications."""

from __future__ import annotations

import json
import re
import select
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extras
import pytest
import yaml
from sqlalchemy import text

from rescore.errors import OutageError
from rescore.interval import Interval
from rescore.store import DueInterval, Store
from tests.store.builders import DAY, START, Walk, day, make_scores
from tests.store.logins import as_superuser

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "consumers.md"
NOW = datetime.now(UTC)

Ask = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def ask(store: Store) -> Iterator[Ask]:
    """Runs SQL as a member of the consumers' role, who has no other right."""
    role = f"reader_{store.database.engine.url.database}"
    names = {name: f"{name}_{role}" for name in ("extract", "run", "release")}
    store.roles.create(consumer=role, **names)
    with as_superuser(store) as connection:
        connection.execute(text(f"ALTER ROLE {role} LOGIN PASSWORD 'pw'"))
    url = store.database.engine.url.set(username=role, password="pw", drivername="postgresql")
    connection = psycopg2.connect(url.render_as_string(hide_password=False))
    connection.autocommit = True

    def run(statement: str) -> list[dict[str, Any]]:
        with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.execute(statement)
            return [dict(row) for row in cursor.fetchall()]

    yield run
    connection.close()
    with as_superuser(store) as owner:
        for name in (role, *names.values()):
            owner.execute(text(f"DROP OWNED BY {name}; DROP ROLE {name}"))


def queries() -> list[str]:
    """The guide's SQL, of the model that the tests have."""
    blocks = re.findall(r"```sql\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    named = {r"\bflight_delay": "loans", r"\bcarrier\b": "branch", r"\bflight\b": "loan_id"}
    for pattern, name in named.items():
        blocks = [re.sub(pattern, name, block) for block in blocks]
    return [block.replace("'UA'", "'b0é'").replace("= 17", "= 2") for block in blocks]


def test_the_guides_readers_can_be_made(store: Store) -> None:
    """Within a transaction that is undone: roles belong to the whole server."""
    statements = re.findall(r"^    ((?:CREATE|GRANT) .*);$", GUIDE.read_text(), re.MULTILINE)
    assert len(statements) == 4
    with as_superuser(store) as connection:
        undone = connection.begin_nested()
        for statement in ("CREATE ROLE bob", *statements):
            connection.execute(text(statement.replace("flight_delay", "loans")))
        reads = "SELECT has_table_privilege(:who, :view, 'SELECT')"
        for who, view, may in (
            ("anna", "loans_history", True),
            ("bob", "loans_latest", True),
            ("bob", "loans_history", False),
        ):
            asked = {"who": who, "view": f"scores.{view}"}
            assert connection.execute(text(reads), asked).scalar() is may, (who, view)
        undone.rollback()


def declare(store: Store, *due: Interval, within: timedelta = DAY, ends: bool = False) -> None:
    store.timetables.declare("loans", "daily", [DueInterval(one, one.end + within) for one in due], ends=ends)


def test_every_question_of_the_guide_is_answered_to_a_consumer(walk: Walk, store: Store, ask: Ask) -> None:
    excluded = make_scores(day(), rows=3).drop_columns(["score", "label"])
    store.publications.publish(walk.checked(day(), excluded=excluded))
    store.publications.publish(walk.checked(day(), make_scores(day(), seed=2)))
    store.publications.publish(walk.checked(day(1), verdict="outage"), reason="seen it", released_by="ada")
    store.runs.fail(walk.claim(day(2)), "the source is down\n  where: bank")
    declare(store, day(2))
    answers = [ask(query) for query in queries()]
    assert len(answers) == 13
    usable, reach, one, interval, past, why_not, changed, missing, tried, made, released, days, _ = answers
    assert usable[0]["usable"] is False and "late" in usable[0]["why"]
    assert (reach[0]["interval_end"], reach[0]["late"]) == (START + 2 * DAY, True)
    assert len(one) == 1 and len(interval) == 50 and past == []
    assert why_not == []  # the run that took the place of the first set nothing aside
    assert len(changed) == 50 and all(row["before"] != row["after"] for row in changed)
    assert [(row["attempt_state"], row["attempt_problem"]) for row in missing] == [
        ("failed", "the source is down")
    ]
    assert [row["state"] for row in tried] == ["failed", "published", "published", "published"]
    assert made[0]["pinned_by"] == "ada" and made[0]["input_digest"].startswith("sha256:")
    assert [(row["released_by"], row["reason"]) for row in released] == [("ada", "seen it")]
    assert (days[0]["ok"], days[0]["other"]) == (1, 1)


def test_the_source_file_of_dbt_names_what_there_is(ask: Ask) -> None:
    [source] = yaml.safe_load(GUIDE.with_suffix(".dbt.yml").read_text())["sources"]
    own = {"carrier": "branch", "flight": "loan_id"}
    for table in source["tables"]:
        columns = [own.get(column["name"], column["name"]) for column in table["columns"]]
        columns += [table["loaded_at_field"]] if "loaded_at_field" in table else []
        view = table["name"].replace("flight_delay", "loans")
        ask(f"SELECT {', '.join(columns)} FROM {source['schema']}.{view}")
    stated = {table["name"].replace("flight_delay", "loans") for table in source["tables"]}
    assert stated == {
        row["viewname"] for row in ask("SELECT viewname FROM pg_views WHERE schemaname = 'scores'")
    }


def test_every_view_and_column_says_what_it_means(ask: Ask) -> None:
    silent = ask(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " CROSS JOIN LATERAL (SELECT 0 AS attnum, 'the view' AS attname UNION ALL"
        "   SELECT attnum, attname FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0) a"
        " WHERE n.nspname = 'scores' AND coalesce(length(col_description(c.oid, a.attnum)),"
        "   length(obj_description(c.oid, 'pg_class')) * (a.attnum = 0)::int, 0) < 3"
    )
    assert silent == []


def status(ask: Ask) -> dict[str, Any]:
    [row] = ask("SELECT usable, why, late, due_at FROM scores.status")
    return row


def test_scores_are_late_when_the_next_are_due_and_missing(walk: Walk, store: Store, ask: Ask) -> None:
    assert status(ask)["usable"] is False and "nothing has been published yet" in status(ask)["why"]
    today = Interval(NOW - DAY, NOW)
    tomorrow = Interval(NOW, NOW + DAY)
    declare(store, today, tomorrow, within=timedelta(hours=1))
    store.publications.publish(walk.checked(today, make_scores(today)))
    row = status(ask)
    assert (row["usable"], row["late"], row["due_at"]) == (True, False, NOW + DAY + timedelta(hours=1))
    assert row["why"].endswith(f"the next are due by {NOW + DAY + timedelta(hours=1):%Y-%m-%d %H:%M} UTC")


def test_late_says_which_scores_were_due_when_nothing_runs_any_more(
    walk: Walk, store: Store, ask: Ask
) -> None:
    store.publications.publish(walk.checked(day()))
    declare(store, day(), day(1), day(2))
    row = status(ask)
    assert (row["usable"], row["late"], row["due_at"]) == (False, True, START + 3 * DAY)
    assert "late: those of 2024-03-02 00:00 UTC to 2024-03-03 00:00 UTC were due by 2024-03-04" in row["why"]
    assert [gap["interval_start"] for gap in ask("SELECT * FROM scores.gaps ORDER BY interval_start")] == [
        START + DAY,
        START + 2 * DAY,
    ]


def test_without_a_timetable_nobody_knows_and_after_its_end_nothing_is_late(
    walk: Walk, store: Store, ask: Ask
) -> None:
    store.publications.publish(walk.checked(day()))
    assert (status(ask)["late"], status(ask)["usable"]) == (None, True)
    declare(store, day(), ends=True)
    assert (status(ask)["late"], status(ask)["usable"]) == (False, True)
    assert "the schedule has ended" in status(ask)["why"]


@pytest.mark.parametrize(("by", "usable"), [(None, False), ("ada", True)])
def test_an_outage_is_usable_only_if_a_person_released_it(
    walk: Walk, store: Store, ask: Ask, by: str | None, usable: bool
) -> None:
    store.publications.publish(walk.checked(day(), verdict="outage"), reason="declared", released_by=by)
    assert status(ask)["usable"] is usable
    assert "outage" in status(ask)["why"] and "it is outage" in status(ask)["why"]


@pytest.mark.parametrize(("verdict", "usable"), [("worse", False), ("ok", True)])
def test_performance_that_is_worse_makes_scores_unusable(
    walk: Walk, store: Store, ask: Ask, verdict: str, usable: bool
) -> None:
    run = walk.checked(day())
    store.publications.publish(run)
    latest = {"verdict": verdict, "sentence": "auc fell to .6"}
    store.reports.record_performance(run, day(3).end, {"latest": latest}, label_coverage=1.0)
    assert status(ask)["usable"] is usable
    [shown] = store.history.status()
    assert (shown.performance, shown.performance_sentence) == (verdict, "auc fell to .6")
    assert ("auc fell to .6" in shown.why) is not usable


def test_runs_show_each_attempt_that_ended_with_what_made_it(walk: Walk, store: Store, ask: Ask) -> None:
    first = walk.checked(day())
    store.publications.publish(first)
    store.publications.publish(walk.checked(day(), make_scores(day(), seed=2)))
    held = walk.claim(day(1))
    walk.extract(held, 50)
    walk.validate(held)
    walk.score(held, make_scores(day(1)))
    store.runs.hold(held, "drifted: amount")
    walk.check(held, "drifted")
    store.runs.fail(walk.claim(day(2)), "the source is down\n  where: bank")
    walk.claim(day(3))  # goes on
    rows = {row["run_id"]: row for row in ask("SELECT * FROM scores.runs")}
    assert sorted(row["state"] for row in rows.values()) == ["failed", "held", "published", "published"]
    run = store.runs.scored(first)
    shown = rows[first.run_id]
    for name in ("input_digest", "package_sha256", "package_version", "verdict", "sentence", "code_revision"):
        assert shown[name] == getattr(run, name)
    assert shown["score_digest"] == run.score_digest
    assert run.publication is not None and shown["superseded_at"] == run.publication.superseded_at
    problems = {row["state"]: row["problem"] for row in rows.values()}
    assert (problems["failed"], problems["held"]) == ("the source is down", "drifted: amount")


def test_a_changed_schedule_replaces_what_comes_and_keeps_what_was_due(store: Store) -> None:
    past = [Interval(NOW - (n + 1) * DAY, NOW - n * DAY) for n in (2, 1)]
    current = Interval(NOW - DAY, NOW + timedelta(hours=1))
    declare(store, *past, current)
    declare(store, Interval(NOW - 9 * DAY, NOW - 8 * DAY), Interval(NOW - DAY, NOW + timedelta(hours=2)))
    ends = [one.interval.end for one in store.timetables.of_model("loans")]
    assert ends == [*(one.end for one in past), NOW + timedelta(hours=2)]


def test_a_publication_notifies_with_the_documented_payload(walk: Walk, store: Store) -> None:
    listener = psycopg2.connect(store.database.libpq_url)
    listener.autocommit = True
    listener.cursor().execute("LISTEN scores_published")
    runs = [walk.checked(day()), walk.checked(day(), make_scores(day(), seed=2))]
    with pytest.raises(OutageError):
        store.publications.publish(walk.checked(day(5), verdict="outage"))
    published = store.publications.publish(runs[-1])
    select.select([listener], [], [], 10)
    listener.poll()
    [told] = [json.loads(one.payload) for one in listener.notifies]
    listener.close()
    documented = re.findall(
        r"^\| `(.*?)` \|", GUIDE.read_text().split("The payload is JSON")[1], re.MULTILINE
    )
    assert set(told) == {name for names in documented for name in names.split("`, `")}
    assert told["run_id"] == published.run_id and told["model"] == "loans"
    assert (told["supersedes"], told["verdict"], told["package_version"]) == (None, "ok", "1.0.0")
    assert datetime.fromisoformat(told["interval_start"]) == START
    assert datetime.fromisoformat(told["published_at"]) == published.published_at
