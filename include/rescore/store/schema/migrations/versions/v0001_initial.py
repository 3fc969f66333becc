"""The store's first schema.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

from alembic import op

from rescore.store.identifiers import sql_template

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE {store}.model (
  name text PRIMARY KEY,
  key_columns jsonb NOT NULL,
  event_time text NOT NULL,
  labelled boolean NOT NULL,
  views_format integer NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE {store}.model IS 'Models that have a typed score table; key_columns: [name, type] in order';

CREATE TABLE {store}.snapshot (
  snapshot_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  model text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('input', 'training')),
  digest text NOT NULL CHECK (digest ~ '^sha256:[0-9a-f]{64}$'),
  interval_start timestamptz NOT NULL,
  interval_end timestamptz NOT NULL,
  as_of timestamptz NOT NULL,
  rows bigint NOT NULL CHECK (rows >= 0),
  uri text NOT NULL,
  details jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK (interval_start < interval_end),
  UNIQUE (model, kind, digest, interval_start, interval_end, as_of)
);
CREATE INDEX snapshot_digest_idx ON {store}.snapshot (digest);
COMMENT ON TABLE {store}.snapshot IS
  'Frozen tables by content digest: inputs of runs, and training snapshots. Append-only';

CREATE TABLE {store}.package (
  model text NOT NULL,
  version text NOT NULL,
  sha256 text NOT NULL CHECK (sha256 ~ '^sha256:[0-9a-f]{64}$'),
  manifest jsonb NOT NULL,
  uri text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (model, version),
  UNIQUE (model, sha256),
  UNIQUE (model, version, sha256)
);
COMMENT ON TABLE {store}.package IS 'Model packages by the sha256 of their file. Append-only';

CREATE TABLE {store}.pin (
  pin_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  model text NOT NULL,
  version text NOT NULL,
  sha256 text NOT NULL,
  who text NOT NULL,
  why text NOT NULL,
  evidence jsonb NOT NULL,
  pinned_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  FOREIGN KEY (model, version, sha256) REFERENCES {store}.package (model, version, sha256)
);
CREATE INDEX pin_model_pin_id_idx ON {store}.pin (model, pin_id);
COMMENT ON TABLE {store}.pin IS
  'Which package scores, since when, by whom, why. The last pin of a model is current. Append-only';

CREATE TABLE {store}.claim (
  model text NOT NULL,
  interval_start timestamptz NOT NULL,
  interval_end timestamptz NOT NULL,
  fence bigint NOT NULL,
  run_id uuid NOT NULL,
  claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (model, interval_start, interval_end)
);
COMMENT ON TABLE {store}.claim IS 'Who may publish an interval: only the run that holds the highest fence';

CREATE TABLE {store}.run (
  run_id uuid PRIMARY KEY,
  model text NOT NULL,
  interval_start timestamptz NOT NULL,
  interval_end timestamptz NOT NULL,
  as_of timestamptz NOT NULL,
  fence bigint NOT NULL,
  state text NOT NULL CHECK (state IN
    ('claimed', 'extracted', 'validated', 'scored', 'checked', 'published', 'failed', 'stopped')),
  claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  forked_from uuid REFERENCES {store}.run (run_id),
  input_digest text CHECK (input_digest ~ '^sha256:[0-9a-f]{64}$'),
  input_uri text,
  query_sha256 text,
  rows_extracted bigint CHECK (rows_extracted >= 0),
  rows_scored bigint CHECK (rows_scored >= 0),
  rows_quarantined bigint NOT NULL DEFAULT 0 CHECK (rows_quarantined >= 0),
  rows_rejected bigint NOT NULL DEFAULT 0 CHECK (rows_rejected >= 0),
  package_version text,
  package_sha256 text,
  score_digest jsonb,
  code_revision text,
  environment jsonb NOT NULL,
  airflow jsonb,
  error jsonb,
  CHECK (interval_start < interval_end),
  CHECK (package_version IS NULL = (package_sha256 IS NULL)),
  FOREIGN KEY (model, package_version, package_sha256)
    REFERENCES {store}.package (model, version, sha256),
  UNIQUE (model, interval_start, interval_end, fence)
);
CREATE INDEX run_model_claimed_at_idx ON {store}.run (model, claimed_at);
COMMENT ON TABLE {store}.run IS 'One attempt to score one interval, and all that determined its scores';

CREATE TABLE {store}.run_state (
  run_id uuid NOT NULL REFERENCES {store}.run (run_id),
  position integer NOT NULL,
  state text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (run_id, position)
);
COMMENT ON TABLE {store}.run_state IS 'The states a run went through, with their times';

CREATE TABLE {store}.publication (
  sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id uuid NOT NULL UNIQUE REFERENCES {store}.run (run_id),
  model text NOT NULL,
  interval_start timestamptz NOT NULL,
  interval_end timestamptz NOT NULL,
  fence bigint NOT NULL,
  published_at timestamptz NOT NULL,
  reason text
);
CREATE UNIQUE INDEX publication_interval_idx
  ON {store}.publication (model, interval_start, interval_end, sequence);
COMMENT ON TABLE {store}.publication IS
  'What consumers see: the last row of a model and interval is current. Append-only';

CREATE TABLE {store}.validation (
  run_id uuid PRIMARY KEY REFERENCES {store}.run (run_id),
  success boolean NOT NULL,
  report jsonb NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE {store}.drift (
  run_id uuid PRIMARY KEY REFERENCES {store}.run (run_id),
  verdict text NOT NULL CHECK (verdict IN ('ok', 'drifted', 'consequential', 'outage')),
  sentence text NOT NULL,
  report jsonb NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE {store}.performance (
  performance_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id uuid NOT NULL REFERENCES {store}.run (run_id),
  as_of timestamptz NOT NULL,
  label_coverage double precision CHECK (label_coverage BETWEEN 0 AND 1),
  metrics jsonb NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX performance_run_id_idx ON {store}.performance (run_id);
CREATE TABLE {store}.reproduction (
  reproduction_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id uuid NOT NULL REFERENCES {store}.run (run_id),
  verdict text NOT NULL,
  details jsonb NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX reproduction_run_id_idx ON {store}.reproduction (run_id);
"""

_GUARDS = """
CREATE FUNCTION {store}.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '%.% is append-only: % refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
    USING ERRCODE = 'object_not_in_prerequisite_state',
          HINT = 'Nothing is overwritten. A mistake is mended by a successor: a new run, package or pin.';
END $$;
CREATE FUNCTION {store}.refuse_published_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'run % is published: % refused', OLD.run_id, TG_OP
    USING ERRCODE = 'object_not_in_prerequisite_state',
          HINT = 'Nothing is overwritten. Score the interval again: the new run supersedes this one.';
END $$;
CREATE FUNCTION {store}.refuse_score_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'scores of run % are never changed: % refused', OLD.run_id, TG_OP
    USING ERRCODE = 'object_not_in_prerequisite_state',
          HINT = 'Score the interval again: the new run supersedes this one.';
END $$;
"""

_APPEND_ONLY = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {store}.{table}
  FOR EACH STATEMENT EXECUTE FUNCTION {store}.refuse_change()
"""

_PUBLISHED_RUN = """
CREATE TRIGGER published_is_final BEFORE UPDATE OR DELETE ON {store}.run
  FOR EACH ROW WHEN (OLD.state = 'published') EXECUTE FUNCTION {store}.refuse_published_change()
"""

# Owned by whoever migrates, so that the role that runs models can add months and owns no table.
# ATTACH, not PARTITION OF: the latter locks readers out of the whole score table.
_PARTITIONS = """
CREATE FUNCTION {store}.ensure_partition(model text, month date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  home regnamespace := '{store_text}';
  parent text := 'scores_' || model;
  first date := date_trunc('month', month)::date;
  next date := (first + interval '1 month')::date;
  partition text := 'scores' || to_char(first, 'YYYYMM') || '_' || model;
BEGIN
  IF EXISTS (SELECT FROM pg_class WHERE relname = partition AND relnamespace = home) THEN
    RETURN;
  END IF;
  PERFORM pg_advisory_xact_lock(
    hashtextextended(format('rescore partition %s.%s', '{store_text}', model), 0));
  -- Asked of the table again, not with to_regclass: that remembers its first answer.
  IF EXISTS (SELECT FROM pg_class WHERE relname = partition AND relnamespace = home) THEN
    RETURN;
  END IF;
  EXECUTE format('CREATE TABLE {store}.%I (LIKE {store}.%I INCLUDING ALL)', partition, parent);
  EXECUTE format('ALTER TABLE {store}.%I ATTACH PARTITION {store}.%I FOR VALUES FROM (%L) TO (%L)',
    parent, partition, first::text || ' 00:00:00+00', next::text || ' 00:00:00+00');
END $$;
REVOKE ALL ON FUNCTION {store}.ensure_partition(text, date) FROM PUBLIC;
"""

_PUBLICATIONS = """
CREATE VIEW {store}.publication_current AS
  SELECT p.sequence, p.run_id, p.model, p.interval_start, p.interval_end, p.fence, p.published_at, p.reason
  FROM {store}.publication p
  WHERE NOT EXISTS (
    SELECT 1 FROM {store}.publication later
    WHERE later.model = p.model AND later.interval_start = p.interval_start
      AND later.interval_end = p.interval_end AND later.sequence > p.sequence);
CREATE VIEW {store}.publication_history AS
  SELECT p.sequence, p.run_id, p.model, p.interval_start, p.interval_end, p.fence, p.published_at, p.reason,
    lead(p.published_at) OVER (
      PARTITION BY p.model, p.interval_start, p.interval_end ORDER BY p.sequence) AS superseded_at
  FROM {store}.publication p;
"""

_STATUS = """
CREATE VIEW {consumer}.status AS
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
  last.run_id
FROM {store}.model m
LEFT JOIN LATERAL (
  SELECT * FROM {store}.publication_current p WHERE p.model = m.name
  ORDER BY p.interval_end DESC, p.sequence DESC LIMIT 1) last ON true
LEFT JOIN {store}.run r ON r.run_id = last.run_id
LEFT JOIN {store}.validation v ON v.run_id = last.run_id
LEFT JOIN {store}.drift d ON d.run_id = last.run_id
LEFT JOIN LATERAL (
  SELECT a.run_id, a.interval_start, a.interval_end, a.state,
    (SELECT max(s.at) FROM {store}.run_state s WHERE s.run_id = a.run_id) AS at
  FROM {store}.run a WHERE a.model = m.name ORDER BY a.claimed_at DESC LIMIT 1) attempt ON true
LEFT JOIN {store}.drift attempted ON attempted.run_id = attempt.run_id;
COMMENT ON VIEW {consumer}.status IS
  'Per model: the last interval published (by its start and end), its age, what became of its rows,
validation, drift verdict, package; and the last attempt, published or not';
"""


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Create tables, guards, the partition function and the status view."""

    def run(template: str, **names: str) -> None:
        op.execute(sql_template(template, store=store_schema, **names))

    run(_TABLES)
    run(_GUARDS)
    for table in ("snapshot", "package", "pin", "publication"):
        run(_APPEND_ONLY, table=table)
    run(_PUBLISHED_RUN)
    run(_PARTITIONS)
    run(_PUBLICATIONS)
    run("CREATE SCHEMA IF NOT EXISTS {consumer}", consumer=consumer_schema)
    run(_STATUS, consumer=consumer_schema)
