"""The views of the store that Rescore reads itself, as SQLAlchemy sees them; see ``tables.py``."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import UUID

from rescore.store.identifiers import CONSUMER_SCHEMA, SCHEMA
from rescore.store.schema.tables import publication

__all__ = ["gaps", "publication_current", "publication_history", "status"]

_views = MetaData()

_publication_columns = (
    "sequence",
    "run_id",
    "model",
    "interval_start",
    "interval_end",
    "fence",
    "published_at",
)


def _publication_view(name: str, *more: Column[object]) -> Table:
    columns = [Column(column, publication.c[column].type) for column in _publication_columns]
    texts = [Column("reason", Text), Column("released_by", Text)]
    return Table(name, _views, *columns, *texts, *more, schema=SCHEMA)


#: The publications that no later one of the same model and interval supersedes.
publication_current = _publication_view("publication_current")
#: All publications, each with the moment its successor took over (NULL: current).
publication_history = _publication_view(
    "publication_history", Column("superseded_at", DateTime(timezone=True))
)
#: One row per model, for consumers.
status = Table("status", _views, Column("model", Text), schema=CONSUMER_SCHEMA)
#: Intervals that are overdue and have no scores, for consumers.
gaps = Table(
    "gaps",
    _views,
    Column("model", Text),
    *(Column(name, DateTime(timezone=True)) for name in ("interval_start", "interval_end", "due_at")),
    Column("attempt_state", Text),
    Column("attempt_run_id", UUID(as_uuid=False)),
    Column("attempt_problem", Text),
    schema=CONSUMER_SCHEMA,
)
