"""Publishing: exactly once, whole, accounted for, and only what was staged."""

from __future__ import annotations

import pytest
import psycopg2
from sqlalchemy import text
from store.builders import Walk, day, make_scores

from rescore.digest import table_digest
from rescore.store import Store


def test_published_scores_are_what_consumers_read(walk: Walk, store: Store) -> None:
    scores = make_scores(day())
    run = walk.checked(day(), scores, excluded=make_scores(day(), rows=3, seed=9))
    with store.transaction() as connection:
        assert connection.execute(text("SELECT count(*) FROM scores.loans")).scalar() == 0
    publication = store.publish(run)
    assert publication.superseded_at is None
    assert table_digest(store.scores_of(run)) == table_digest(scores)
    with store.transaction() as connection:
        rows = connection.execute(text("SELECT * FROM scores.loans ORDER BY branch, loan_id")).all()
    assert [row.score for row in rows] == scores["score"].to_pylist()
    print(rows[0]._mapping)
    print(store.status())
    print(store.run(run))
