"""Retries that bring no older input back, publications whose claim is locked briefly, and look-ups by digest.

The functions are made anew after the last step; the indexes are what retention, erasures and every attempt
at scoring look a frozen table up by.

Revision ID: 0024
Revises: 0023
"""

from __future__ import annotations

from alembic import op

from rescore.store.identifiers import sql_template

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_INDEXES = """
CREATE INDEX run_input_digest_idx ON {store}.run (input_digest) WHERE input_digest IS NOT NULL;
CREATE INDEX snapshot_unlabelled_idx ON {store}.snapshot ((details->>'unlabelled_digest'));
CREATE INDEX tombstone_remaining_idx ON {store}.tombstone (remaining) WHERE remaining IS NOT NULL;
"""


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Add the indexes: each table is read once, and has a row a run, a snapshot or an erased table."""
    op.execute(sql_template(_INDEXES, store=store_schema))
