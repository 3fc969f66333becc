"""Which models publish the probability of each class, and in which columns.

Revision ID: 0022
Revises: 0021
"""

from __future__ import annotations

from alembic import op

from rescore.store.identifiers import sql_template

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

# Each class whose probability is published, with its column, in the order of the columns.
_COLUMN = """
ALTER TABLE {store}.model ADD COLUMN probabilities jsonb NOT NULL DEFAULT '[]';
ALTER TABLE {store}.model ALTER COLUMN probabilities DROP DEFAULT;
"""


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Add the column: models from before publish none."""
    op.execute(sql_template(_COLUMN, store=store_schema))
