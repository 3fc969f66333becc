"""Shards: the parts in which a large run's scores are staged.

Revision ID: 0014
Revises: 0013
"""

from __future__ import annotations

from alembic import op

from rescore.store.identifiers import sql_template

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_TABLE = """
ALTER TABLE {store}.staging ADD COLUMN shard integer;
CREATE TABLE {store}.shard (
  run_id uuid NOT NULL REFERENCES {store}.run (run_id),
  number integer NOT NULL CHECK (number >= 0),
  fence bigint NOT NULL,
  first_row bigint NOT NULL,
  rows bigint NOT NULL CHECK (rows >= 0),
  input_digest text NOT NULL,
  package_version text NOT NULL,
  package_sha256 text NOT NULL,
  environment jsonb NOT NULL,
  attempt integer NOT NULL DEFAULT 0,
  digest jsonb,
  begun_at timestamptz,
  done_at timestamptz,
  PRIMARY KEY (run_id, number)
);
COMMENT ON TABLE {store}.shard IS
  'Parts in which an attempt stages a run''s scores: which rows, by which attempt, and what was staged';
"""


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Add the table of shards, and to each staging table the shard that it is of."""
    op.execute(sql_template(_TABLE, store=store_schema))
