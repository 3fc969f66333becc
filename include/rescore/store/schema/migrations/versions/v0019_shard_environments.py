"""A shard's numeric environment is compared before it is scored: a function's parameters change.

Revision ID: 0019
Revises: 0018
"""

from __future__ import annotations

from alembic import op

from rescore.store.identifiers import sql_template

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

# Another one, that is given the environment, takes its place.
_OLD = "DROP FUNCTION IF EXISTS {store}.shard_begin(uuid, bigint, integer)"


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Drop the function whose parameters changed; all are made anew after the last step."""
    op.execute(sql_template(_OLD, store=store_schema))
