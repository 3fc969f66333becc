"""The protocol becomes functions of the database; evidence is final once a run stands on it.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

from alembic import op

from rescore.store.identifiers import sql_template

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_STAGING = """
CREATE TABLE {store}.staging (
  table_name text PRIMARY KEY,
  run_id uuid NOT NULL REFERENCES {store}.run (run_id),
  fence bigint NOT NULL,
  begun_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX staging_run_id_idx ON {store}.staging (run_id);
COMMENT ON TABLE {store}.staging IS 'Tables to which attempts copy their scores, until they are finished';
"""

# Validation and drift are final once the run stands on them, for whoever writes: what replaces a report
# has to come before the state that the report stands for.
_LATE_EVIDENCE = """
CREATE FUNCTION {store}.refuse_late_evidence() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  now_in text;
BEGIN
  SELECT state INTO now_in FROM {store}.run WHERE run_id = OLD.run_id;
  IF NEW.run_id <> OLD.run_id OR now_in <> ALL (TG_ARGV) THEN
    RAISE EXCEPTION 'the % of run % is final: UPDATE refused', TG_TABLE_NAME, OLD.run_id
      USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'Nothing is overwritten. Score the interval again: the new run supersedes this one.';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER final BEFORE UPDATE ON {store}.validation
  FOR EACH ROW EXECUTE FUNCTION {store}.refuse_late_evidence('claimed', 'extracted');
CREATE TRIGGER final BEFORE UPDATE ON {store}.drift
  FOR EACH ROW EXECUTE FUNCTION {store}.refuse_late_evidence('scored');
"""

_KEPT = """
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON {store}.{table}
  FOR EACH STATEMENT EXECUTE FUNCTION {store}.refuse_change()
"""
_APPEND_ONLY = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {store}.{table}
  FOR EACH STATEMENT EXECUTE FUNCTION {store}.refuse_change()
"""


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Add staged tables and the guards of evidence; functions come after all steps."""
    for template in (_STAGING, _LATE_EVIDENCE):
        op.execute(sql_template(template, store=store_schema, consumer=consumer_schema))
    for table in ("validation", "drift", "claim", "run"):
        op.execute(sql_template(_KEPT, store=store_schema, table=table))
    for table in ("performance", "reproduction", "run_state"):
        op.execute(sql_template(_APPEND_ONLY, store=store_schema, table=table))
