"""A store that an earlier release made, with data, is brought forward."""

from __future__ import annotations

import json
import uuid

import pytest
from sqlalchemy import text

from rescore.digest import table_digest
from rescore.store import Store
from rescore.store.binary_copy import copy_in
from rescore.store.database import KNOWN_VERSIONS, call, run_sql, store_table
from rescore.store.schema.score_table import ScoreLayout
from tests.store.builders import KEY_TYPES, Walk, day, make_scores, make_spec, sha

#: The first version whose runs are bound to what made their scores, and whose attempts are rows.
BOUND = "0005"
#: The first version that keeps a table of keys.
KEYED = "0009"
#: The first version that keeps which probabilities a model publishes.
PROBABILITIES = "0022"
_BOUND_AS_BY_THE_STEP = """
INSERT INTO rescore.attempt (model, interval_start, interval_end, fence, run_id, begun_in, at)
  SELECT model, interval_start, interval_end, fence, run_id, 'claimed', claimed_at FROM rescore.run;
UPDATE rescore.run SET binding = 'sha256:' || encode(sha256(convert_to(concat_ws(E'\n',
    'rescore binding 1', input_digest, package_sha256, score_digest->>'root', rows_scored::text),
    'UTF8')), 'hex') WHERE score_digest IS NOT NULL
"""


@pytest.mark.parametrize("version", KNOWN_VERSIONS[:-1])
def test_a_store_of_an_earlier_version_is_brought_forward_with_its_runs(
    owned_database: str, version: str
) -> None:
    """Made as that release made it; what was published and what is ready keep their scores."""
    store = Store(owned_database)
    with store.database.transaction(checked=False) as connection:
        store.schema.upgrade(connection, version)
    published, ready, stopped = (str(uuid.UUID(int=number)) for number in (1, 2, 3))
    scores = {run: make_scores(day(number)) for number, run in enumerate((published, ready))}
    walk = Walk.__new__(Walk)
    walk.store, walk.spec, walk.version = store, make_spec(), "1.0.0"
    with store.database.transaction(checked=False) as connection:
        run_sql(connection, ScoreLayout.of(walk.spec, KEY_TYPES).create("rescore"))
        values = {"sha": sha("loans1.0.0"), "input": sha("input")}
        column, none = (", probabilities", ", '[]'") if version >= PROBABILITIES else ("", "")
        connection.execute(
            text(
                "INSERT INTO rescore.model (name, key_columns, event_time, labelled, views_format"
                f"{column}) VALUES"
                f""" ('loans', '[["branch", "text"], ["loan_id", "bigint"]]', 'event_time', true, 0{none});"""
                "INSERT INTO rescore.package VALUES ('loans', '1.0.0', :sha, '{}', 'file:///p.whl')"
            ),
            values,
        )
        for number, run in enumerate((published, ready, stopped)):
            interval = day(number)
            digest = None if run == stopped else table_digest(scores[run]).to_dict()
            connection.execute(
                text(
                    "INSERT INTO rescore.claim VALUES ('loans', :start, :end, 1, :run);"
                    "INSERT INTO rescore.run (run_id, model, interval_start, interval_end, as_of, fence,"
                    " state, input_digest, rows_extracted, rows_scored, package_version, package_sha256,"
                    " score_digest, environment)"
                    " VALUES (:run, 'loans', :start, :end, :end, 1, 'checked', :input, 50, :rows, :version,"
                    " :sha, CAST(:digest AS jsonb), '{}');"
                    "INSERT INTO rescore.run_state VALUES (:run, 1, 'claimed'), (:run, 2, 'checked')"
                ),
                {
                    **values,
                    "run": run,
                    "start": interval.start,
                    "end": interval.end,
                    "rows": digest and digest["rows"],
                    "digest": digest and json.dumps(digest),
                    "version": digest and "1.0.0",
                    "sha": digest and values["sha"],
                },
            )
            if digest:
                layout = ScoreLayout.of(walk.spec, KEY_TYPES)
                call(connection, "ensure_partition", "loans", interval.start.date())
                target = store_table(connection, layout.scores_table)
                copy_in(connection, target, scores[run], constants={"run_id": uuid.UUID(run)})
        if version >= BOUND:
            connection.execute(text(_BOUND_AS_BY_THE_STEP))
        if version >= KEYED:
            connection.execute(text("SELECT rescore.ensure_keys('loans')"))
        connection.execute(
            text(
                "INSERT INTO rescore.publication (run_id, model, interval_start, interval_end, fence,"
                " published_at) VALUES (:run, 'loans', :start, :end, 1, now());"
                "UPDATE rescore.run SET state = 'published' WHERE run_id = :run"
            ),
            {"run": published, "start": day().start, "end": day().end},
        )

    assert store.schema.migrate() == KNOWN_VERSIONS[-1]
    store.models.ensure(walk.spec, KEY_TYPES)
    assert store.publications.publish(ready).fence == 1  # its binding, made by the migration, holds
    assert [run.run_id for run in store.runs.published("loans")] == [published, ready]
    with store.database.transaction() as connection:
        for view, rows in (("loans", 100), ("loans_latest", 50), ("loans_history", 100)):
            count = text(f"SELECT count(*) FROM scores.{view}")
            assert connection.execute(count).scalar() == rows
    assert store.scores.of_run(published).equals(scores[published])
    with store.database.transaction() as connection:
        bound = dict(connection.execute(text("SELECT run_id::text, binding FROM rescore.run")).all())  # type: ignore[arg-type]
        attempts = connection.execute(
            text("SELECT run_id::text, fence FROM rescore.attempt ORDER BY 1")
        ).all()
    assert [tuple(row) for row in attempts] == [(published, 1), (ready, 1), (stopped, 1)]
    assert bound[stopped] is None
    root = table_digest(scores[published]).root
    text_of_binding = f"rescore binding 1\n{sha('input')}\n{sha('loans1.0.0')}\n{root}\n50"
    assert bound[published] == sha(text_of_binding)
    store.close()
