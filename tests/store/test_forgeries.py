"""What a session with the rights of the run role can't forge, with plain SQL."""

from __future__ import annotations

import psycopg2
import pytest

from rescore.store import Store
from tests.store.builders import Walk, day, make_scores, sha
from tests.store.logins import Logins, as_superuser

_KEY = "branch, loan_id, event_time, score, label"
_ROW = "'b0', 1000, '2024-03-01 12:00Z', 0.5, 'pays'"
_PACKAGE = f"'loans', '1.0.0', '{sha('loans1.0.0')}'"
_OUTSIDE = "'b0', 1000, '2024-03-09 12:00Z', 0.5, 'pays'"

#: What is forged, and how. ``PUBLISHED`` is a run that consumers see, ``HELD`` one that waits for a person,
#: ``CLAIMED`` one that was only claimed; each has fence 1.
FORGERIES = {
    "a score of a published run": f"INSERT INTO rescore.scores_loans (run_id, {_KEY})"
    f" VALUES ('PUBLISHED', {_ROW})",
    "a score that no digest covers": f"INSERT INTO rescore.scores_loans (run_id, {_KEY})"
    f" VALUES ('PUBLISHED', {_OUTSIDE})",
    "a score put into a month": f"INSERT INTO rescore.scores202001_loans (run_id, {_KEY})"
    f" VALUES ('PUBLISHED', {_ROW})",
    "a row that was set aside": "INSERT INTO rescore.excluded_loans"
    " VALUES ('PUBLISHED', 1000, 'b0', 1000, '2024-03-01 12:00Z', 'rejected', 'x')",
    "no error of a held run": "UPDATE rescore.run SET error = NULL WHERE run_id = 'HELD'",
    "no reason to hold": "SELECT rescore.hold('HELD', 1, NULL)",
    "a held run published": "SELECT rescore.publish('HELD', 1, 'known')",
    "a release in a person's name": "SELECT rescore.release('HELD', 1, 'known', 'ada')",
    "a release by the inner function": "SELECT rescore.publish_run('HELD', 1, 'known', 'ada')",
    "a publication of a claimed run": "INSERT INTO rescore.publication (run_id, model, interval_start,"
    " interval_end, fence, published_at) SELECT run_id, model, interval_start, interval_end, 1, now()"
    " FROM rescore.run WHERE run_id = 'CLAIMED'",
    "a claimed run published": "SELECT rescore.publish('CLAIMED', 1, NULL)",
    "a claimed run that is checked": "UPDATE rescore.run SET state = 'checked' WHERE run_id = 'CLAIMED'",
    "a state that was not reached": "SELECT rescore.enter_state('CLAIMED', 'checked')",
    "a state that stands for nothing": "SELECT rescore.advance('CLAIMED', 1, 'checked', '{}')",
    "a state's time": "INSERT INTO rescore.run_state VALUES ('PUBLISHED', 9, 'published', '2020-01-01')",
    "a drift report": "UPDATE rescore.drift SET verdict = 'ok' WHERE run_id = 'HELD'",
    "a drift report after the check": "SELECT rescore.record_drift('HELD', 1, 'ok', 'fine', '{}')",
    "a validation": "UPDATE rescore.validation SET success = true WHERE run_id = 'PUBLISHED'",
    "a validation after the scores": "SELECT rescore.record_validation('HELD', 1, true, '{}')",
    "an input under scores": f"""SELECT rescore.note_facts('HELD', 1, '{{"input_digest": "{sha("x")}"}}')""",
    "a pin dated 2020": "INSERT INTO rescore.pin (model, version, sha256, who, why, evidence, pinned_at)"
    " SELECT model, version, sha256, 'ada', 'x', '{}', '2020-01-01' FROM rescore.package",
    "a pin in a person's name": f"SELECT rescore.add_pin({_PACKAGE}, 'ada', 'x', '{{}}')",
    "a pin by the inner function": f"SELECT rescore.pin_package({_PACKAGE}, 'ada', 'x', '{{}}')",
    "four eyes no longer": "INSERT INTO rescore.approval_rule (model, four_eyes) VALUES ('loans', false)",
    "a signature": "INSERT INTO rescore.signature (model, sha256, bundle, who)"
    " VALUES ('loans', 'x', '{}', 'ada')",
    "a lower fence": "UPDATE rescore.claim SET fence = 0",
    "a lower fence of a run": "UPDATE rescore.run SET fence = 0",
    "an attempt": "INSERT INTO rescore.attempt"
    " SELECT model, interval_start, interval_end, 9, run_id, 'claimed', now() FROM rescore.claim",
    "a package": "INSERT INTO rescore.package VALUES ('loans', '9.0.0', 'x', '{}', 'x', '2020-01-01')",
    "a manifest": "UPDATE rescore.package SET manifest = '{}'",
    "a snapshot": "UPDATE rescore.snapshot SET rows = 0",
    "a performance": "INSERT INTO rescore.performance (run_id, as_of, metrics, at)"
    " VALUES ('PUBLISHED', now(), '{}', '2020-01-01')",
    "a reproduction": "INSERT INTO rescore.reproduction (run_id, verdict, details)"
    " VALUES ('PUBLISHED', 'x', '{}')",
    "an entry of the chain": "SELECT rescore.chain_append('pin', ARRAY['pin_id'], 'insert', '{}')",
    "no rows": "SELECT rescore.delete_rows('CLAIMED', NULL, 'x', 'ada')",
    "a deletion": "SELECT rescore.note_deletion('loans', 'frozen input', 'x', 1, 1, 'x', 'ada')",
    "a deletion of a table": "SELECT rescore.note_table_deletion('loans', 'frozen input',"
    " 'x', 1, 1, now(), 'x', 'ada')",
    "a deletion of a stray": f"SELECT rescore.note_stray_deletion('{sha('x')}', 1, 'x', 'ada', NULL)",
    "a withdrawal": "SELECT rescore.withdraw_package('loans', '1.0.0', 1, 'x', 'ada')",
    "partitions": "SELECT rescore.tend_partitions('loans')",
    "a retirement": "SELECT rescore.retire_model('loans', 'ada', 'x')",
    "a model in use again": "INSERT INTO rescore.retirement (model) VALUES ('loans')",
    "a legal hold": "SELECT rescore.place_hold('loans', NULL, NULL, 'ada', 'x')",
    "no guard": "ALTER TABLE rescore.run DISABLE TRIGGER ALL",
    "no history": "DELETE FROM rescore.publication",
    "no history at all": "TRUNCATE rescore.publication",
    "a table of its own": "CREATE TABLE rescore.mine (id int)",
    "another view": "CREATE OR REPLACE VIEW scores.loans AS SELECT 1",
    "the owner's password": "SELECT rolpassword FROM pg_authid",
    "a file of the server": "SELECT pg_read_file('/etc/passwd')",
}
#: All that a forgery would change, row by row.
_CHANGED = (
    "run",
    "claim",
    "run_state",
    "attempt",
    "drift",
    "validation",
    "pin",
    "publication",
    "package",
    "approval_rule",
    "retirement",
)
_ALL = " UNION ALL ".join(f"SELECT '{table}', t::text FROM rescore.{table} t" for table in _CHANGED)
_ALL += " UNION ALL SELECT 'scores', t::text FROM rescore.scores_loans t ORDER BY 1, 2"


def test_the_run_role_forges_nothing(logins: Logins, store: Store, walk: Walk) -> None:
    held = walk.checked(day(1), verdict="drifted")
    store.runs.hold(held, "drifted")
    [published] = store.runs.published("loans")
    runs = {"published": published.run_id, "held": held.run_id, "claimed": walk.claim(day(2)).run_id}
    with as_superuser(store) as connection:
        before = connection.exec_driver_sql(_ALL).all()
    passed = []
    for what, statement in FORGERIES.items():
        try:
            for name, run_id in runs.items():
                statement = statement.replace(name.upper(), run_id)  # noqa: PLW2901
            logins.run("run", statement)
            passed.append(what)
        except psycopg2.Error as refused:
            assert refused.pgcode in {"42501", "RS000", "RS005", "55000"}, (what, refused)
    assert passed == []
    with as_superuser(store) as connection:
        assert connection.exec_driver_sql(_ALL).all() == before


@pytest.mark.parametrize(
    ("forged", "said"),
    [
        ("UPDATE", "permission denied"),
        ("INSERT after the end", "permission denied|does not exist"),
        ("another run", "not those of their digest"),
        ("another interval", "lies outside the run's interval"),
        ("one row more", "not those of their digest"),
        ("a crash of the server", "not those of their digest"),
    ],
)
def test_staged_rows_are_what_was_promised(logins: Logins, store: Store, forged: str, said: str) -> None:
    """The run role adds rows to its own table, while it stages, and every row is checked."""
    with Store(logins.url("run")) as mine:
        walk = Walk(mine)
        run = walk.claim(day(3))
        walk.extract(run, 1)
        walk.validate(run)
        with mine.database.transaction() as connection:
            (table,) = connection.exec_driver_sql(
                "SELECT rescore.stage_begin(%s, %s)", (run.run_id, run.fence)
            ).one()
        digest = f'{{"root": "{sha("one row")}", "rows": 1}}'
        finish = (
            f"SELECT rescore.stage_finish('{run.run_id}', {run.fence}, '1.0.0', '{sha('loans1.0.0')}',"
            f" '{digest}', NULL)"
        )
        insert = f"INSERT INTO rescore.{table} ({_KEY}) VALUES "
        row = _ROW.replace("03-01", "03-04")
        other = store.runs.published("loans")[0].run_id
        with pytest.raises(psycopg2.Error, match=said):
            logins.run(
                "run", insert + f"({_OUTSIDE})" if forged == "another interval" else insert + f"({row})"
            )
            if forged == "UPDATE":
                logins.run("run", f"UPDATE rescore.{table} SET score = 1")
            if forged == "another run":
                logins.run("run", f"INSERT INTO rescore.{table} (run_id, {_KEY}) VALUES ('{other}', {row})")
            if forged == "one row more":
                logins.run("run", insert + f"({row})")
            if forged == "a crash of the server":  # which leaves nothing in a table outside of its log
                with as_superuser(store) as connection:
                    kind = "SELECT relpersistence::text FROM pg_class WHERE relname = %s"
                    assert connection.exec_driver_sql(kind, (table,)).scalar_one() == "u"
                    connection.exec_driver_sql(f"TRUNCATE rescore.{table}")
            logins.run("run", finish)
            logins.run("run", insert + f"({row})")


def test_a_staging_that_was_killed_is_begun_again_and_its_table_dropped(walk: Walk, store: Store) -> None:
    def staged() -> int:
        with as_superuser(store) as connection:
            return int(
                connection.exec_driver_sql(
                    "SELECT count(*) FROM pg_class WHERE relname LIKE 'staged%%' AND relkind = 'r'", ()
                ).scalar_one()
            )

    run = walk.claim(day(1))
    walk.extract(run, 50)
    walk.validate(run)
    with store.database.transaction() as connection:
        connection.exec_driver_sql("SELECT rescore.stage_begin(%s, %s)", (run.run_id, run.fence))
    assert staged() == 1  # killed before or while it copied
    retry = store.runs.resume(run, "validated")
    walk.score(retry, make_scores(day(1)))
    assert staged() == 0
    walk.check(retry)
    store.publications.publish(retry)
