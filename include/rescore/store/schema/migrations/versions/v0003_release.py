"""Who releases a held run, and when retraining was asked for.

A held or stopped run is published by a named person only; the status view shows who, and what is held.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from alembic import op

from rescore.store.identifiers import sql_template

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_STATUS = """
CREATE OR REPLACE VIEW {consumer}.status AS
SELECT
  m.name AS model,
  last.interval_start,
  last.interval_end,
  last.published_at,
  clock_timestamp() - last.interval_end AS freshness,
  r.rows_extracted,
  r.rows_scored,
  r.rows_quarantined,
  r.rows_rejected,
  r.rows_scored::double precision / nullif(r.rows_extracted, 0) AS coverage,
  CASE v.success WHEN true THEN 'passed' WHEN false THEN 'failed' END AS validation,
  d.verdict,
  d.sentence,
  last.reason,
  r.package_version,
  (SELECT p.version FROM {store}.pin p WHERE p.model = m.name
    ORDER BY p.pin_id DESC LIMIT 1) AS pinned_version,
  attempt.interval_start AS attempt_interval_start,
  attempt.interval_end AS attempt_interval_end,
  attempt.state AS attempt_state,
  attempt.at AS attempt_at,
  attempted.verdict AS attempt_verdict,
  attempted.sentence AS attempt_sentence,
  last.run_id,
  last.released_by,
  attempt.run_id AS attempt_run_id,
  attempt.held AS attempt_held
FROM {store}.model m
LEFT JOIN LATERAL (
  SELECT * FROM {store}.publication_current p WHERE p.model = m.name
  ORDER BY p.interval_end DESC, p.sequence DESC LIMIT 1) last ON true
LEFT JOIN {store}.run r ON r.run_id = last.run_id
LEFT JOIN {store}.validation v ON v.run_id = last.run_id
LEFT JOIN {store}.drift d ON d.run_id = last.run_id
LEFT JOIN LATERAL (
  SELECT a.run_id, a.interval_start, a.interval_end, a.state,
    a.state = 'checked' AND a.error IS NOT NULL AS held,
    (SELECT max(s.at) FROM {store}.run_state s WHERE s.run_id = a.run_id) AS at
  FROM {store}.run a WHERE a.model = m.name ORDER BY a.claimed_at DESC LIMIT 1) attempt ON true
LEFT JOIN {store}.drift attempted ON attempted.run_id = attempt.run_id
"""

_RETRAINING = """
CREATE TABLE {store}.retraining (
  retraining_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  model text NOT NULL,
  as_of timestamptz NOT NULL,
  reason text NOT NULL,
  asked_by text NOT NULL,
  asked_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX retraining_model_idx ON {store}.retraining (model, as_of);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {store}.retraining
  FOR EACH STATEMENT EXECUTE FUNCTION {store}.refuse_change();
COMMENT ON TABLE {store}.retraining IS
  'When retraining was asked for without a person, by what was known at as_of, and why. Append-only';
"""

_GUARD = """
CREATE FUNCTION {store}.refuse_unreleased() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (NEW.released_by IS NULL OR NEW.reason IS NULL)
      AND EXISTS (SELECT FROM {store}.run r WHERE r.run_id = NEW.run_id AND r.error IS NOT NULL) THEN
    RAISE EXCEPTION 'run % is held or stopped: INSERT refused', NEW.run_id
      USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'A person releases it, with a reason: rescore publish RUN --reason ...';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER released_by_a_person BEFORE INSERT ON {store}.publication
  FOR EACH ROW EXECUTE FUNCTION {store}.refuse_unreleased();
"""


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Add the guard, the table, and columns to the status view: last, for those who read by position."""
    op.execute(sql_template(_STATUS, store=store_schema, consumer=consumer_schema))
    for template in (_GUARD, _RETRAINING):
        op.execute(sql_template(template, store=store_schema))
