"""Each build of a package: a tree that was dirty at the first may be committed at the next.

The bytes are the same; git's revision, the image and the time, which are not in them, are facts of each
build.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from alembic import op

from rescore.store.identifiers import sql_template

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_BUILD = """
CREATE TABLE {store}.build (
  build_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  model text NOT NULL,
  sha256 text NOT NULL,
  built jsonb NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  FOREIGN KEY (model, sha256) REFERENCES {store}.package (model, sha256)
);
CREATE INDEX build_package_idx ON {store}.build (model, sha256);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {store}.build
  FOR EACH STATEMENT EXECUTE FUNCTION {store}.refuse_change();
COMMENT ON TABLE {store}.build IS
  'Each time that a training gave this very file: revision of the code, image, time. Append-only';
INSERT INTO {store}.build (model, sha256, built, recorded_at)
  SELECT model, sha256, manifest->'built', created_at FROM {store}.package
  WHERE manifest->'built' IS NOT NULL ORDER BY created_at;
"""


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Add the table, with what was kept of first builds."""
    op.execute(sql_template(_BUILD, store=store_schema, consumer=consumer_schema))
