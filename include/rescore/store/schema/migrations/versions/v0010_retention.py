"""What retention deleted, by which rule; and legal holds that keep it from deleting.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

from alembic import op

from rescore.store.identifiers import sql_template

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE {store}.deletion (
  deletion_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  model text,
  what text NOT NULL,
  subject text NOT NULL,
  rows bigint CHECK (rows >= 0),
  bytes bigint CHECK (bytes >= 0),
  rule text NOT NULL,
  done_by text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX deletion_subject_idx ON {store}.deletion (subject);
COMMENT ON TABLE {store}.deletion IS
  'What was deleted: a frozen table by digest, a run''s rows by its id, a folder; by which rule. Append-only';

CREATE TABLE {store}.legal_hold (
  hold_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  model text,
  interval_start timestamptz,
  interval_end timestamptz,
  placed_by text NOT NULL,
  reason text NOT NULL,
  placed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK (interval_start IS NULL = (interval_end IS NULL)),
  CHECK (interval_start < interval_end)
);
COMMENT ON TABLE {store}.legal_hold IS
  'Nothing of this model and interval (NULL: of any) is deleted until the hold is lifted. Append-only';

CREATE TABLE {store}.hold_lifted (
  hold_id bigint PRIMARY KEY REFERENCES {store}.legal_hold (hold_id),
  lifted_by text NOT NULL,
  reason text NOT NULL,
  lifted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE {store}.hold_lifted IS 'Holds that no longer hold. Append-only';
"""

_GUARDS = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {store}.{table}
  FOR EACH STATEMENT EXECUTE FUNCTION {store}.refuse_change();
CREATE CONSTRAINT TRIGGER chained AFTER INSERT OR UPDATE OR DELETE ON {store}.{table}
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {store}.chain_change('{key_text}');
"""


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Add the tables with their guards, and let each row enter the chain."""
    op.execute(sql_template(_TABLES, store=store_schema))
    for table, key in (("deletion", "deletion_id"), ("legal_hold", "hold_id"), ("hold_lifted", "hold_id")):
        op.execute(sql_template(_GUARDS, store=store_schema, table=table, key=key))
