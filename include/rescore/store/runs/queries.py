"""Reading runs and publications as values: functions of a connection."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, select

from rescore.errors import NotFoundError
from rescore.interval import Interval
from rescore.sha256 import Sha256
from rescore.store.records import ExtractedRun, Publication, Run, ScoredRun
from rescore.store.schema.tables import drift as drift_table
from rescore.store.schema.tables import run as run_table
from rescore.store.schema.tables import run_state as state_table
from rescore.store.schema.view_handles import publication_history

__all__ = ["publications_of", "read_run", "read_runs", "run_row", "run_uuid"]


def run_row(connection: Connection, run_id: str) -> Row[Any]:
    """The row of a run."""
    query = select(run_table).where(run_table.c.run_id == run_uuid(run_id))
    row = connection.execute(query).one_or_none()
    if row is None:
        raise _not_found(run_id)
    return row


def read_run(connection: Connection, run_id: str) -> Run:
    """One run.

    Raises
    ------
    NotFoundError
        No such run.
    """
    runs = read_runs(connection, select(run_table).where(run_table.c.run_id == run_uuid(run_id)))
    if not runs:
        raise _not_found(run_id)
    return runs[0]


def read_runs(connection: Connection, query: Select[Any]) -> list[Run]:
    """The runs that a query of the table ``run`` gives, in its order."""
    rows = connection.execute(query).all()
    ids = [row.run_id for row in rows]
    states: dict[str, dict[str, datetime]] = {}
    entered = select(state_table).where(state_table.c.run_id.in_(ids))
    for entry in connection.execute(entered.order_by(state_table.c.run_id, state_table.c.position)):
        states.setdefault(entry.run_id, {})[entry.state] = entry.at
    drift_query = select(drift_table.c.run_id, drift_table.c.verdict, drift_table.c.sentence)
    verdicts = {
        found.run_id: (found.verdict, found.sentence)
        for found in connection.execute(drift_query.where(drift_table.c.run_id.in_(ids)))
    }
    models = {row.model for row in rows}
    publications = publications_of(connection, models, publication_history.c.run_id.in_(ids))
    published = {publication.run_id: publication for publication in publications}
    return [
        _run(row, states[row.run_id], verdicts.get(row.run_id, (None, None)), published.get(row.run_id))
        for row in rows
    ]


def publications_of(
    connection: Connection, models: Iterable[str], *conditions: ColumnElement[bool]
) -> list[Publication]:
    """Publications of some models by sequence, with the moment each was superseded."""
    # The model is always named: it is what the view's window can be narrowed by.
    query = select(publication_history).where(publication_history.c.model.in_(list(models)), *conditions)
    query = query.order_by(publication_history.c.sequence)
    return [
        Publication(
            row.sequence,
            row.run_id,
            row.model,
            Interval(row.interval_start, row.interval_end),
            row.fence,
            row.published_at,
            row.reason,
            row.superseded_at,
            row.released_by,
        )
        for row in connection.execute(query)
    ]


def run_uuid(run_id: str) -> str:
    """A run's id, if it is a UUID at all.

    Raises
    ------
    NotFoundError
        It is not.
    """
    try:
        return str(uuid.UUID(run_id))
    except ValueError:
        raise _not_found(run_id) from None


def _not_found(run_id: str) -> NotFoundError:
    return NotFoundError(
        f"there is no run {run_id}", expected="the UUID of a run", fix="`rescore runs MODEL` lists them"
    )


def _run(
    row: Row[Any],
    states: dict[str, datetime],
    drift: tuple[str | None, str | None],
    publication: Publication | None,
) -> Run:
    same = {field.name: row._mapping[field.name] for field in fields(Run) if field.name in row._mapping}
    facts = same | {
        "interval": Interval(row.interval_start, row.interval_end),
        "states": states,
        "input_digest": row.input_digest and Sha256(row.input_digest),
        "package_sha256": row.package_sha256 and Sha256(row.package_sha256),
        "score_digest": row.score_digest and Sha256(row.score_digest["root"]),
        "verdict": drift[0],
        "sentence": drift[1],
        "publication": publication,
    }
    scored = row.score_digest is not None and row.package_sha256 is not None
    kind = Run if row.input_digest is None else ScoredRun if scored else ExtractedRun
    return kind(**facts)
