"""A fence for every attempt, and one digest over what made a run's scores.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

from alembic import op

from rescore.store.identifiers import sql_template

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ATTEMPT = """
CREATE TABLE {store}.attempt (
  model text NOT NULL,
  interval_start timestamptz NOT NULL,
  interval_end timestamptz NOT NULL,
  fence bigint NOT NULL,
  run_id uuid NOT NULL REFERENCES {store}.run (run_id),
  begun_in text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (model, interval_start, interval_end, fence)
);
CREATE INDEX attempt_run_id_idx ON {store}.attempt (run_id);
INSERT INTO {store}.attempt (model, interval_start, interval_end, fence, run_id, begun_in, at)
  SELECT model, interval_start, interval_end, fence, run_id, 'claimed', claimed_at FROM {store}.run;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {store}.attempt
  FOR EACH STATEMENT EXECUTE FUNCTION {store}.refuse_change();
COMMENT ON TABLE {store}.attempt IS
  'Every attempt at an interval by its fence, the state its run was in, and when. Append-only';
"""

# Published runs are final for everybody but this step, which adds what follows from what they hold.
_BINDING = """
ALTER TABLE {store}.run ADD COLUMN binding text CHECK (binding ~ '^sha256:[0-9a-f]{64}$');
ALTER TABLE {store}.run DISABLE TRIGGER published_is_final;
UPDATE {store}.run SET binding = 'sha256:' || encode(sha256(convert_to(concat_ws(E'\\n',
    'rescore binding 1', input_digest, package_sha256, score_digest->>'root', rows_scored::text),
    'UTF8')), 'hex')
  WHERE input_digest IS NOT NULL AND package_sha256 IS NOT NULL
    AND score_digest IS NOT NULL AND rows_scored IS NOT NULL;
ALTER TABLE {store}.run ENABLE TRIGGER published_is_final;
CREATE FUNCTION {store}.refuse_bound_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'what made the scores of run % is bound to them: % refused', OLD.run_id, TG_OP
    USING ERRCODE = 'object_not_in_prerequisite_state',
          HINT = 'Nothing is overwritten. Score the interval again: the new run supersedes this one.';
END $$;
CREATE TRIGGER scores_are_bound BEFORE UPDATE ON {store}.run FOR EACH ROW
  WHEN (OLD.binding IS NOT NULL AND
    (OLD.binding, OLD.input_digest, OLD.package_version, OLD.package_sha256,
      OLD.score_digest, OLD.rows_scored) IS DISTINCT FROM
    (NEW.binding, NEW.input_digest, NEW.package_version, NEW.package_sha256,
      NEW.score_digest, NEW.rows_scored))
  EXECUTE FUNCTION {store}.refuse_bound_change();
"""


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Add the table of attempts and the binding, both filled from the runs that are there."""
    for template in (_ATTEMPT, _BINDING):
        op.execute(sql_template(template, store=store_schema, consumer=consumer_schema))
