"""The store's tables of what is gone and why: deletions, and legal holds that keep from them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, ForeignKey, Identity, Index, Table, Text

from rescore.store.identifiers import SCHEMA
from rescore.store.schema.tables import metadata, moment

__all__ = ["deletion", "hold_lifted", "legal_hold"]

deletion = Table(
    "deletion",
    metadata,
    Column("deletion_id", BigInteger, Identity(always=True), primary_key=True),
    Column("model", Text),
    Column("what", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("rows", BigInteger),
    Column("bytes", BigInteger),
    Column("rule", Text, nullable=False),
    Column("done_by", Text, nullable=False),
    moment("at", default=True),
    Index("deletion_subject_idx", "subject"),
)

legal_hold = Table(
    "legal_hold",
    metadata,
    Column("hold_id", BigInteger, Identity(always=True), primary_key=True),
    Column("model", Text),
    Column("interval_start", DateTime(timezone=True)),
    Column("interval_end", DateTime(timezone=True)),
    Column("placed_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    moment("placed_at", default=True),
)

hold_lifted = Table(
    "hold_lifted",
    metadata,
    Column("hold_id", BigInteger, ForeignKey(f"{SCHEMA}.legal_hold.hold_id"), primary_key=True),
    Column("lifted_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    moment("lifted_at", default=True),
)
