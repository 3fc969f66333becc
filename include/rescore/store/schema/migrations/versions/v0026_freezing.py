"""Which tables are being put in the archive: the file of a writer that was killed is known.

Revision ID: 0026
Revises: 0025
"""

from __future__ import annotations

from alembic import op

from rescore.store.identifiers import sql_template

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_TABLE = """
CREATE TABLE {store}.freezing (
  digest text PRIMARY KEY CHECK (digest ~ '^sha256:[0-9a-f]{64}$'),
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE {store}.freezing IS
  'Tables that somebody began to put in the archive and that no snapshot names yet, by content digest';
"""


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Add the table; files that killed processes left before are not in it."""
    op.execute(sql_template(_TABLE, store=store_schema))
