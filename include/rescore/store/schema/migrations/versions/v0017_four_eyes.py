"""Which models' packages need four eyes, since when.

Revision ID: 0017
Revises: 0016
"""

from __future__ import annotations

from alembic import op

from rescore.store.identifiers import sql_template

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_TABLE = """
CREATE TABLE {store}.approval_rule (
  rule_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  model text NOT NULL,
  four_eyes boolean NOT NULL,
  declared_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX approval_rule_model_idx ON {store}.approval_rule (model, rule_id);
COMMENT ON TABLE {store}.approval_rule IS
  'Whether who trained a package may not approve it; the last row of a model holds. Append-only';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {store}.approval_rule
  FOR EACH STATEMENT EXECUTE FUNCTION {store}.refuse_change();
CREATE CONSTRAINT TRIGGER chained AFTER INSERT OR UPDATE OR DELETE ON {store}.approval_rule
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {store}.chain_change('rule_id');
"""


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Add the table with its guards, and let each row enter the chain."""
    op.execute(sql_template(_TABLE, store=store_schema))
