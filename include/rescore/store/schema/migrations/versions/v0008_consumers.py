"""What consumers ask: are scores late, may I use them, what was tried, what is missing; and NOTIFY.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import re

from alembic import op

from rescore.store.identifiers import sql_template

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TIMETABLE = """
CREATE TABLE {store}.timetable (
  model text PRIMARY KEY,
  schedule text NOT NULL,
  known_until timestamptz NOT NULL,
  ends boolean NOT NULL,
  declared_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE {store}.timetable IS
  'The schedule of a model as last declared, and the end of the last interval known;
ends: none follows';
CREATE TABLE {store}.due (
  model text NOT NULL,
  interval_start timestamptz NOT NULL,
  interval_end timestamptz NOT NULL,
  due_at timestamptz NOT NULL,
  PRIMARY KEY (model, interval_start, interval_end),
  CHECK (interval_start < interval_end AND interval_end <= due_at)
);
COMMENT ON TABLE {store}.due IS
  'Intervals whose scores are due, by when: past ones since the model was first pinned, and those to come';
"""

# Who knows the schedule says what comes; what was due stays. Owned by whoever migrates.
_DECLARE = """
CREATE FUNCTION {store}.declare_timetable(of_model text, declared text, last_of_all boolean,
  starts timestamptz[], ends_at timestamptz[], due_moments timestamptz[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  kept_until timestamptz;
BEGIN
  PERFORM pg_advisory_xact_lock(
    hashtextextended(format('rescore timetable %s.%s', '{store_text}', of_model), 0));
  DELETE FROM {store}.due WHERE model = of_model AND interval_end > clock_timestamp();
  SELECT max(interval_end) INTO kept_until FROM {store}.due WHERE model = of_model;
  INSERT INTO {store}.due (model, interval_start, interval_end, due_at)
    SELECT of_model, s, e, d FROM unnest(starts, ends_at, due_moments) AS given (s, e, d)
    WHERE s >= coalesce(kept_until, '-infinity');
  INSERT INTO {store}.timetable (model, schedule, known_until, ends)
    VALUES (of_model, declared,
      coalesce((SELECT max(e) FROM unnest(ends_at) e), kept_until, clock_timestamp()), last_of_all)
    ON CONFLICT (model) DO UPDATE SET schedule = excluded.schedule, known_until = excluded.known_until,
      ends = excluded.ends, declared_at = clock_timestamp();
END $$;
REVOKE ALL ON FUNCTION
  {store}.declare_timetable(text, text, boolean, timestamptz[], timestamptz[], timestamptz[]) FROM PUBLIC;
"""

# A notification is sent when the transaction commits, so who hears it sees the scores.
_NOTIFY = """
CREATE FUNCTION {store}.notify_published() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM pg_notify('{consumer_text}_published', json_build_object(
    'format', 1,
    'model', NEW.model,
    'interval_start', NEW.interval_start AT TIME ZONE 'UTC' || 'Z',
    'interval_end', NEW.interval_end AT TIME ZONE 'UTC' || 'Z',
    'published_at', NEW.published_at AT TIME ZONE 'UTC' || 'Z',
    'run_id', NEW.run_id,
    'supersedes', (SELECT p.run_id FROM {store}.publication p WHERE p.model = NEW.model
      AND p.interval_start = NEW.interval_start AND p.interval_end = NEW.interval_end
      AND p.sequence < NEW.sequence ORDER BY p.sequence DESC LIMIT 1),
    'package_version', (SELECT r.package_version FROM {store}.run r WHERE r.run_id = NEW.run_id),
    'verdict', (SELECT d.verdict FROM {store}.drift d WHERE d.run_id = NEW.run_id))::text);
  RETURN NULL;
END $$;
CREATE TRIGGER notify_consumers AFTER INSERT ON {store}.publication
  FOR EACH ROW EXECUTE FUNCTION {store}.notify_published();
"""

# Moments in sentences, spelt out: a function of ours would need rights that consumers do not have.
_WORDS = re.compile(r"words\(([a-z_.]+)\)")
_MOMENT = r"""to_char(\1 AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')"""

# A model whose package is pinned is there, too, before its first run made its tables.
_STATUS = """
CREATE OR REPLACE VIEW {consumer}.status WITH (security_barrier) AS
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
  attempt.held AS attempt_held,
  next.due_at,
  judged.late,
  last.run_id IS NOT NULL AND judged.late IS NOT TRUE
    AND NOT (d.verdict IS NOT DISTINCT FROM 'outage' AND last.released_by IS NULL)
    AND realised.verdict IS DISTINCT FROM 'worse' AS usable,
  concat_ws('; ',
    CASE WHEN last.run_id IS NULL THEN 'nothing has been published yet'
      ELSE 'scores reach ' || words(last.interval_end) END,
    CASE WHEN judged.late THEN format('late: those of %s to %s were due by %s',
        words(next.interval_start), words(next.interval_end),
        words(next.due_at))
      WHEN next.due_at IS NOT NULL THEN 'the next are due by ' || words(next.due_at)
      WHEN t.ends THEN 'the schedule has ended'
      ELSE 'when the next are due is not declared here' END,
    CASE WHEN d.verdict IS NULL OR d.verdict = 'ok' THEN NULL
      WHEN last.released_by IS NOT NULL
        THEN format('%s, released by %s (%s): %s', d.verdict, last.released_by, last.reason, d.sentence)
      ELSE format('%s: %s', d.verdict, d.sentence) END,
    CASE WHEN realised.verdict <> 'ok'
      THEN format('performance %s: %s', realised.verdict, realised.sentence) END,
    CASE WHEN attempt.run_id IS DISTINCT FROM last.run_id AND attempt.problem IS NOT NULL
      THEN format('the last attempt, of %s to %s, is %s: %s', words(attempt.interval_start),
        words(attempt.interval_end),
        CASE WHEN attempt.held THEN 'held' ELSE attempt.state END, attempt.problem) END
  ) AS why,
  realised.verdict AS performance,
  realised.sentence AS performance_sentence
FROM (SELECT name FROM {store}.model UNION SELECT p.model FROM {store}.pin p) m
LEFT JOIN LATERAL (
  SELECT * FROM {store}.publication_current p WHERE p.model = m.name
  ORDER BY p.interval_start DESC, p.interval_end DESC, p.sequence DESC LIMIT 1) last ON true
LEFT JOIN {store}.run r ON r.run_id = last.run_id
LEFT JOIN {store}.validation v ON v.run_id = last.run_id
LEFT JOIN {store}.drift d ON d.run_id = last.run_id
LEFT JOIN LATERAL (
  SELECT a.run_id, a.interval_start, a.interval_end, a.state,
    a.state = 'checked' AND a.error IS NOT NULL AS held,
    split_part(a.error->>'message', E'\\n', 1) AS problem,
    (SELECT max(s.at) FROM {store}.run_state s WHERE s.run_id = a.run_id) AS at
  FROM {store}.run a WHERE a.model = m.name ORDER BY a.claimed_at DESC LIMIT 1) attempt ON true
LEFT JOIN {store}.drift attempted ON attempted.run_id = attempt.run_id
LEFT JOIN {store}.timetable t ON t.model = m.name
LEFT JOIN LATERAL (
  SELECT u.interval_start, u.interval_end, u.due_at FROM {store}.due u
  WHERE u.model = m.name AND u.interval_start >= coalesce(last.interval_end, '-infinity')
  ORDER BY u.interval_start LIMIT 1) next ON true
LEFT JOIN LATERAL (
  SELECT CASE WHEN next.due_at IS NOT NULL THEN next.due_at < clock_timestamp()
    WHEN t.ends THEN false END AS late) judged ON true
LEFT JOIN LATERAL (
  SELECT f.metrics->'latest'->>'verdict' AS verdict, f.metrics->'latest'->>'sentence' AS sentence
  FROM {store}.publication_current c JOIN {store}.performance f ON f.run_id = c.run_id
  WHERE c.model = m.name
  ORDER BY c.interval_start DESC, c.interval_end DESC, f.performance_id DESC LIMIT 1) realised ON true
"""

_RUNS = """
CREATE VIEW {consumer}.runs WITH (security_barrier) AS
SELECT
  r.model,
  r.interval_start,
  r.interval_end,
  r.run_id,
  CASE WHEN r.state = 'checked' THEN 'held' ELSE r.state END AS state,
  r.claimed_at AS began_at,
  (SELECT max(s.at) FROM {store}.run_state s WHERE s.run_id = r.run_id) AS ended_at,
  r.as_of,
  p.published_at,
  (SELECT min(l.published_at) FROM {store}.publication l WHERE l.model = p.model
    AND l.interval_start = p.interval_start AND l.interval_end = p.interval_end
    AND l.sequence > p.sequence) AS superseded_at,
  CASE v.success WHEN true THEN 'passed' WHEN false THEN 'failed' END AS validation,
  d.verdict,
  d.sentence,
  CASE WHEN p.run_id IS NULL THEN split_part(r.error->>'message', E'\\n', 1) END AS problem,
  p.reason,
  p.released_by,
  r.rows_extracted,
  r.rows_scored,
  r.rows_quarantined,
  r.rows_rejected,
  r.input_digest,
  r.query_sha256,
  r.package_version,
  r.package_sha256,
  k.manifest->'lineage'->>'snapshot_digest' AS training_digest,
  k.manifest->'code'->>'digest' AS package_code_digest,
  r.score_digest->>'root' AS score_digest,
  r.binding,
  r.code_revision,
  r.environment,
  pinned.who AS pinned_by,
  pinned.why AS pinned_why,
  pinned.pinned_at,
  r.forked_from
FROM {store}.run r
LEFT JOIN {store}.publication p ON p.run_id = r.run_id
LEFT JOIN {store}.validation v ON v.run_id = r.run_id
LEFT JOIN {store}.drift d ON d.run_id = r.run_id
LEFT JOIN {store}.package k ON k.model = r.model AND k.sha256 = r.package_sha256
LEFT JOIN LATERAL (
  SELECT n.who, n.why, n.pinned_at FROM {store}.pin n
  WHERE n.model = r.model AND n.sha256 = r.package_sha256
    AND n.pinned_at <= coalesce(p.published_at, clock_timestamp())
  ORDER BY n.pin_id DESC LIMIT 1) pinned ON true
WHERE r.state IN ('published', 'failed', 'stopped') OR r.state = 'checked' AND r.error IS NOT NULL
"""

_GAPS = """
CREATE VIEW {consumer}.gaps WITH (security_barrier) AS
SELECT
  u.model,
  u.interval_start,
  u.interval_end,
  u.due_at,
  clock_timestamp() - u.due_at AS overdue,
  CASE WHEN tried.state = 'checked' AND tried.error IS NOT NULL THEN 'held'
    ELSE tried.state END AS attempt_state,
  tried.run_id AS attempt_run_id,
  split_part(tried.error->>'message', E'\\n', 1) AS attempt_problem
FROM {store}.due u
LEFT JOIN LATERAL (
  SELECT r.run_id, r.state, r.error FROM {store}.run r WHERE r.model = u.model
    AND r.interval_start = u.interval_start AND r.interval_end = u.interval_end
  ORDER BY r.fence DESC LIMIT 1) tried ON true
WHERE u.due_at <= clock_timestamp() AND NOT EXISTS (
  SELECT FROM {store}.publication p WHERE p.model = u.model
    AND p.interval_start = u.interval_start AND p.interval_end = u.interval_end)
"""


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Add the timetable, the notification, and the views of all models."""
    names = {"store": store_schema, "consumer": consumer_schema}
    for template in (_TIMETABLE, _DECLARE, _NOTIFY, _STATUS, _RUNS, _GAPS):
        op.execute(sql_template(_WORDS.sub(_MOMENT, template), **names))
