"""When the same rows were frozen again; and deletions that refuse what is in use.

Revision ID: 0013
Revises: 0012
"""

from __future__ import annotations

from alembic import op

from rescore.store.identifiers import sql_template

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_TABLE = """
CREATE TABLE {store}.frozen_again (
  again_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  snapshot_id bigint NOT NULL REFERENCES {store}.snapshot (snapshot_id),
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX frozen_again_snapshot_idx ON {store}.frozen_again (snapshot_id);
COMMENT ON TABLE {store}.frozen_again IS
  'That the rows of a snapshot were frozen once more: their retention begins anew. Append-only';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {store}.frozen_again
  FOR EACH STATEMENT EXECUTE FUNCTION {store}.refuse_change();
CREATE CONSTRAINT TRIGGER chained AFTER INSERT OR UPDATE OR DELETE ON {store}.frozen_again
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {store}.chain_change('again_id');
"""

# Another one, with the moment of the last progress, takes its place.
_OLD = "DROP FUNCTION IF EXISTS {store}.delete_rows(uuid, text, text)"


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Add the table with its guards, and drop the function whose parameters changed."""
    for template in (_TABLE, _OLD):
        op.execute(sql_template(template, store=store_schema))
