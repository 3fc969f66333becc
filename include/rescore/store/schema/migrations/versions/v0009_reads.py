"""What consumers read does not grow with history: what is current is a table, and so are the keys.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

from alembic import op

from rescore.store.identifiers import sql_template

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# The moment of the successor by its index, so that one run's is found without the model's others.
_HISTORY = """
CREATE OR REPLACE VIEW {store}.publication_history AS
  SELECT p.sequence, p.run_id, p.model, p.interval_start, p.interval_end, p.fence, p.published_at, p.reason,
    (SELECT min(later.published_at) FROM {store}.publication later
      WHERE later.model = p.model AND later.interval_start = p.interval_start
        AND later.interval_end = p.interval_end AND later.sequence > p.sequence) AS superseded_at,
    p.released_by
  FROM {store}.publication p;
"""

_CURRENT = """
CREATE TABLE {store}.current_publication (
  run_id uuid PRIMARY KEY REFERENCES {store}.run (run_id),
  sequence bigint NOT NULL,
  model text NOT NULL,
  interval_start timestamptz NOT NULL,
  interval_end timestamptz NOT NULL,
  published_at timestamptz NOT NULL,
  package_version text,
  verdict text,
  reason text,
  released_by text,
  keys_known boolean NOT NULL,
  UNIQUE (model, interval_start, interval_end)
);
CREATE INDEX current_publication_keys_idx ON {store}.current_publication (model) WHERE NOT keys_known;
COMMENT ON TABLE {store}.current_publication IS
  'What the views of scores show, derived from publication by its trigger; keys_known: keys_<model> has its
keys';
"""

# Called for models of older stores, too.
_KEYS = """
CREATE FUNCTION {store}.key_list(of_model text, prefix text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT string_agg(prefix || quote_ident(k->>0), ', ' ORDER BY n) FROM {store}.model m,
    jsonb_array_elements(m.key_columns) WITH ORDINALITY AS e (k, n) WHERE m.name = of_model
$$;
REVOKE ALL ON FUNCTION {store}.key_list(text, text) FROM PUBLIC;
CREATE FUNCTION {store}.ensure_keys(of_model text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  latest_first text;
  at_column text;
BEGIN
  EXECUTE format('CREATE TABLE {store}.%1$I AS SELECT %2$s FROM {store}.%3$I WITH NO DATA',
    'keys_' || of_model, {store}.key_list(of_model, ''), 'scores_' || of_model);
  EXECUTE format('ALTER TABLE {store}.%I ADD PRIMARY KEY (%s)',
    'keys_' || of_model, {store}.key_list(of_model, ''));
  SELECT event_time INTO at_column FROM {store}.model WHERE name = of_model;
  latest_first := {store}.key_list(of_model, '');
  IF NOT EXISTS (SELECT FROM {store}.model m, jsonb_array_elements(m.key_columns) k
      WHERE m.name = of_model AND k->>0 = at_column) THEN
    latest_first := format('%s, %I', latest_first, at_column);
  END IF;
  EXECUTE format('CREATE INDEX ON {store}.%I (%s)', 'scores_' || of_model, latest_first);
END $$;
REVOKE ALL ON FUNCTION {store}.ensure_keys(text) FROM PUBLIC;
CREATE FUNCTION {store}.remember_keys(of_run uuid, of_model text, starts timestamptz, ends timestamptz)
RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  columns text := {store}.key_list(of_model, '');
  at_column text;
BEGIN
  -- A large run would make the publication slow. Its keys are looked for in its own rows instead.
  IF columns IS NULL OR (SELECT rows_scored FROM {store}.run WHERE run_id = of_run) > 100000 THEN
    RETURN false;
  END IF;
  SELECT event_time INTO at_column FROM {store}.model WHERE name = of_model;
  -- In order, so that two that publish at once never wait for each other.
  EXECUTE format('INSERT INTO {store}.%1$I (%2$s) SELECT DISTINCT %2$s FROM {store}.%3$I'
    ' WHERE run_id = $1 AND %4$I >= $2 AND %4$I < $3 ORDER BY %2$s ON CONFLICT DO NOTHING',
    'keys_' || of_model, columns, 'scores_' || of_model, at_column) USING of_run, starts, ends;
  RETURN true;
END $$;
REVOKE ALL ON FUNCTION {store}.remember_keys(uuid, text, timestamptz, timestamptz) FROM PUBLIC;
"""

_KEEP = """
CREATE FUNCTION {store}.keep_current() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM {store}.current_publication WHERE model = NEW.model
    AND interval_start = NEW.interval_start AND interval_end = NEW.interval_end;
  INSERT INTO {store}.current_publication (run_id, sequence, model, interval_start, interval_end,
      published_at, package_version, verdict, reason, released_by, keys_known)
    SELECT NEW.run_id, NEW.sequence, NEW.model, NEW.interval_start, NEW.interval_end, NEW.published_at,
      r.package_version, d.verdict, NEW.reason, NEW.released_by,
      {store}.remember_keys(NEW.run_id, NEW.model, NEW.interval_start, NEW.interval_end)
    FROM {store}.run r LEFT JOIN {store}.drift d ON d.run_id = r.run_id WHERE r.run_id = NEW.run_id;
  RETURN NULL;
END $$;
CREATE TRIGGER keep_current AFTER INSERT ON {store}.publication
  FOR EACH ROW EXECUTE FUNCTION {store}.keep_current();
"""

_FILL = """
DO $$ DECLARE
  by_key regclass;
BEGIN
  -- The index by key alone makes room for one that also has the order of time.
  FOR by_key IN SELECT i.indexrelid FROM {store}.model m
      JOIN pg_class c ON c.relname = 'scores_' || m.name AND c.relnamespace = '{store_text}'::regnamespace
      JOIN pg_index i ON i.indrelid = c.oid AND NOT i.indisunique LOOP
    EXECUTE format('DROP INDEX %s', by_key);
  END LOOP;
  PERFORM {store}.ensure_keys(name) FROM {store}.model;
END $$;
INSERT INTO {store}.current_publication (run_id, sequence, model, interval_start, interval_end, published_at,
    package_version, verdict, reason, released_by, keys_known)
  SELECT p.run_id, p.sequence, p.model, p.interval_start, p.interval_end, p.published_at, r.package_version,
    d.verdict, p.reason, p.released_by,
    {store}.remember_keys(p.run_id, p.model, p.interval_start, p.interval_end)
  FROM {store}.publication_current p JOIN {store}.run r ON r.run_id = p.run_id
  LEFT JOIN {store}.drift d ON d.run_id = p.run_id;
"""

# Derived from the publications by their trigger, and by nobody else.
_GUARD = """
CREATE FUNCTION {store}.refuse_direct_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF pg_trigger_depth() < 2 THEN
    RAISE EXCEPTION '%.% follows from the publications: % refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Publish a run: its trigger keeps it.';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER derived BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {store}.current_publication
  FOR EACH STATEMENT EXECUTE FUNCTION {store}.refuse_direct_change();
"""

# A query without a bound on the event time plans and opens every partition: a hundred of a few rows each cost
# a hundred times what one costs. So a partition spans a month only if months are large.
_PARTITIONS = r"""
CREATE FUNCTION {store}.partition_span(of_model text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN rows_a_month > 5000000 THEN 'month' WHEN rows_a_month * 12 > 5000000 THEN 'year'
    ELSE 'decade' END
  FROM (SELECT coalesce(max(rows_extracted * 2592000
      / extract(epoch FROM interval_end - interval_start)), 0) AS rows_a_month
    FROM (SELECT * FROM {store}.run WHERE model = of_model ORDER BY claimed_at DESC LIMIT 10) recent) volume
$$;
REVOKE ALL ON FUNCTION {store}.partition_span(text) FROM PUBLIC;
CREATE OR REPLACE FUNCTION {store}.ensure_partition(model text, month date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
  home regnamespace := '{store_text}';
  parent text := 'scores_' || model;
  wanted timestamptz := date_trunc('month', month)::date;
  span text;
  first timestamptz;
  next timestamptz;
  partition text;
BEGIN
  FOR attempt IN 1..2 LOOP
    -- Asked of the table, not with to_regclass: that remembers its first answer across the lock.
    SELECT max(upper_bound) FILTER (WHERE upper_bound <= wanted),
        min(lower_bound) FILTER (WHERE lower_bound > wanted),
        max(relname) FILTER (WHERE lower_bound <= wanted AND wanted < upper_bound)
      INTO first, next, partition
      FROM (SELECT c.relname::text,
          substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM \(''([^'']*)''\)')::timestamptz
            AS lower_bound,
          substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([^'']*)''\)')::timestamptz
            AS upper_bound
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
        WHERE p.relname = parent AND p.relnamespace = home) bounds;
    IF partition IS NOT NULL THEN
      RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(
      hashtextextended(format('rescore partition %s.%s', '{store_text}', model), 0));
  END LOOP;
  span := {store}.partition_span(model);
  first := greatest(first, date_trunc(span, wanted));
  next := least(next, date_trunc(span, wanted) + ('1 ' || span)::interval);
  partition := 'scores' || to_char(first, 'YYYYMM') || '_' || model;
  EXECUTE format('CREATE TABLE {store}.%I (LIKE {store}.%I INCLUDING ALL)', partition, parent);
  EXECUTE format('ALTER TABLE {store}.%I ATTACH PARTITION {store}.%I FOR VALUES FROM (%L) TO (%L)',
    parent, partition, first, next);
END $$;
"""


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Add the tables of what is current and of keys, and fill them from what was published."""
    for template in (_HISTORY, _CURRENT, _KEYS, _KEEP, _FILL, _GUARD, _PARTITIONS):
        op.execute(sql_template(template, store=store_schema))
