"""Who released a publication, comparisons of packages, and signatures.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from alembic import op

from rescore.store.identifiers import sql_template

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLES = """
ALTER TABLE {store}.publication ADD COLUMN released_by text;
COMMENT ON TABLE {store}.publication IS
  'What consumers see: the last row of a model and interval is current; released_by is the person who
published although the run was held or stopped, and reason says why. Append-only';

CREATE TABLE {store}.comparison (
  comparison_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  model text NOT NULL,
  champion_sha256 text NOT NULL,
  challenger_sha256 text NOT NULL,
  snapshot_digest text NOT NULL,
  report jsonb NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  FOREIGN KEY (model, champion_sha256) REFERENCES {store}.package (model, sha256),
  FOREIGN KEY (model, challenger_sha256) REFERENCES {store}.package (model, sha256)
);
CREATE INDEX comparison_challenger_idx ON {store}.comparison (model, challenger_sha256);
COMMENT ON TABLE {store}.comparison IS
  'Champion and challenger on the same frozen hold-out rows. Append-only';

CREATE TABLE {store}.signature (
  signature_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  model text NOT NULL,
  sha256 text NOT NULL,
  bundle jsonb NOT NULL,
  who text NOT NULL,
  signed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  FOREIGN KEY (model, sha256) REFERENCES {store}.package (model, sha256)
);
CREATE INDEX signature_package_idx ON {store}.signature (model, sha256);
COMMENT ON TABLE {store}.signature IS 'Signatures over package files. Append-only';
"""

_APPEND_ONLY = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {store}.{table}
  FOR EACH STATEMENT EXECUTE FUNCTION {store}.refuse_change()
"""

_VIEWS = """
CREATE OR REPLACE VIEW {store}.publication_current AS
  SELECT p.sequence, p.run_id, p.model, p.interval_start, p.interval_end, p.fence, p.published_at, p.reason,
    p.released_by
  FROM {store}.publication p
  WHERE NOT EXISTS (
    SELECT 1 FROM {store}.publication later
    WHERE later.model = p.model AND later.interval_start = p.interval_start
      AND later.interval_end = p.interval_end AND later.sequence > p.sequence);
CREATE OR REPLACE VIEW {store}.publication_history AS
  SELECT p.sequence, p.run_id, p.model, p.interval_start, p.interval_end, p.fence, p.published_at, p.reason,
    lead(p.published_at) OVER (
      PARTITION BY p.model, p.interval_start, p.interval_end ORDER BY p.sequence) AS superseded_at,
    p.released_by
  FROM {store}.publication p;
"""


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Add the column, the tables with their guards, and the column to the views."""

    def run(template: str, **names: str) -> None:
        op.execute(sql_template(template, store=store_schema, **names))

    run(_TABLES)
    for table in ("comparison", "signature"):
        run(_APPEND_ONLY, table=table)
    run(_VIEWS)
