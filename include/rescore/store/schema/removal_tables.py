"""The store's tables of what is gone and why: deletions, legal holds, erasures and their tombstones."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, ForeignKey, Identity, Index, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from rescore.store.identifiers import SCHEMA
from rescore.store.schema.tables import metadata, moment

__all__ = [
    "deletion",
    "erasure",
    "erasure_done",
    "freezing",
    "frozen_again",
    "hold_lifted",
    "legal_hold",
    "tombstone",
]

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

freezing = Table("freezing", metadata, Column("digest", Text, primary_key=True), moment("at", default=True))

frozen_again = Table(
    "frozen_again",
    metadata,
    Column("again_id", BigInteger, Identity(always=True), primary_key=True),
    Column("snapshot_id", BigInteger, ForeignKey(f"{SCHEMA}.snapshot.snapshot_id"), nullable=False),
    moment("at", default=True),
    Index("frozen_again_snapshot_idx", "snapshot_id"),
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

erasure = Table(
    "erasure",
    metadata,
    Column("erasure_id", BigInteger, Identity(always=True), primary_key=True),
    Column("pseudonym", Text, nullable=False),
    Column("ground", Text, nullable=False),
    Column("asked_by", Text, nullable=False),
    moment("begun_at", default=True),
    Index("erasure_pseudonym_idx", "pseudonym"),
)

tombstone = Table(
    "tombstone",
    metadata,
    Column("tombstone_id", BigInteger, Identity(always=True), primary_key=True),
    Column("erasure_id", BigInteger, ForeignKey(f"{SCHEMA}.erasure.erasure_id"), nullable=False),
    Column("what", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("erased", BigInteger, nullable=False),
    Column("remaining", Text),
    Column("document", JSONB, nullable=False),
    moment("at", default=True),
    Index("tombstone_subject_idx", "what", "subject", "tombstone_id"),
    Index("tombstone_remaining_idx", "remaining", postgresql_where=text("remaining IS NOT NULL")),
)

erasure_done = Table(
    "erasure_done",
    metadata,
    Column("erasure_id", BigInteger, ForeignKey(f"{SCHEMA}.erasure.erasure_id"), primary_key=True),
    Column("report", JSONB, nullable=False),
    moment("done_at", default=True),
)
