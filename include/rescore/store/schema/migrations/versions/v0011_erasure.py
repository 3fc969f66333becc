"""Erasures of people, and tombstones that stand for the rows that are gone.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

from alembic import op

from rescore.store.identifiers import sql_template

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE {store}.erasure (
  erasure_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  pseudonym text NOT NULL UNIQUE CHECK (pseudonym ~ '^hmac-sha256:[0-9a-f]{64}$'),
  ground text NOT NULL,
  asked_by text NOT NULL,
  begun_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE {store}.erasure IS
  'Whom we were asked to erase, by a keyed pseudonym; on what ground, by whom, when. Append-only';

CREATE TABLE {store}.tombstone (
  tombstone_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  erasure_id bigint NOT NULL REFERENCES {store}.erasure (erasure_id),
  what text NOT NULL CHECK (what IN ('frozen', 'scores')),
  subject text NOT NULL,
  erased bigint NOT NULL CHECK (erased > 0),
  remaining text,
  document jsonb NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX tombstone_subject_idx ON {store}.tombstone (what, subject, tombstone_id);
COMMENT ON TABLE {store}.tombstone IS
  'Which rows of a frozen table (by digest) or of a run''s scores were erased; the last counts. Append-only';

CREATE TABLE {store}.erasure_done (
  erasure_id bigint PRIMARY KEY REFERENCES {store}.erasure (erasure_id),
  report jsonb NOT NULL,
  done_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE {store}.erasure_done IS 'That an erasure came to its end, and what it found. Append-only';
"""

# A report that loses a person's values stays in its place; the chain says that this was no other change.
_CHAIN = """
CREATE OR REPLACE FUNCTION {store}.chain_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET "TimeZone" = 'UTC' SET "DateStyle" = 'ISO'
SET extra_float_digits = 1 AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    PERFORM {store}.chain_append(TG_TABLE_NAME, TG_ARGV, 'delete', to_jsonb(OLD));
  ELSIF TG_OP = 'UPDATE' AND coalesce(current_setting('rescore.erasing', true), '') <> '' THEN
    PERFORM {store}.chain_append(TG_TABLE_NAME, TG_ARGV, 'erase', to_jsonb(NEW));
  ELSE
    PERFORM {store}.chain_append(TG_TABLE_NAME, TG_ARGV, lower(TG_OP), to_jsonb(NEW));
  END IF;
  RETURN NULL;
END $$;
"""

# Of append-only reports only these may name a row, and only an erasure changes them; of a published run's row
# the error, which says why it was held.
_REDACTED = """
CREATE OR REPLACE FUNCTION {store}.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'reproduction'
      AND coalesce(current_setting('rescore.erasing', true), '') <> '' THEN
    RETURN NULL;
  END IF;
  RAISE EXCEPTION '%.% is append-only: % refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
    USING ERRCODE = 'object_not_in_prerequisite_state',
          HINT = 'Nothing is overwritten. A mistake is mended by a successor: a new run, package or pin.';
END $$;
CREATE OR REPLACE FUNCTION {store}.refuse_published_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND coalesce(current_setting('rescore.erasing', true), '') <> ''
      AND to_jsonb(NEW) - 'error' = to_jsonb(OLD) - 'error' THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'run % is published: % refused', OLD.run_id, TG_OP
    USING ERRCODE = 'object_not_in_prerequisite_state',
          HINT = 'Nothing is overwritten. Score the interval again: the new run supersedes this one.';
END $$;
"""

_GUARDS = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {store}.{table}
  FOR EACH STATEMENT EXECUTE FUNCTION {store}.refuse_change();
CREATE CONSTRAINT TRIGGER chained AFTER INSERT OR UPDATE OR DELETE ON {store}.{table}
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {store}.chain_change('{key_text}');
"""


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Add the tables with their guards, and let each row enter the chain."""
    for template in (_TABLES, _CHAIN, _REDACTED):
        op.execute(sql_template(template, store=store_schema))
    keys = {"erasure": "erasure_id", "tombstone": "tombstone_id", "erasure_done": "erasure_id"}
    for table, key in keys.items():
        op.execute(sql_template(_GUARDS, store=store_schema, table=table, key=key))
