"""One hash chain over what the store says happened, appended by the database itself.

Each entry holds the sha256 of the entry before it. A constraint trigger that is deferred to the commit
appends it, so that the chain's lock is the last that a transaction takes and the shortest that it holds.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

from alembic import op

from rescore.store.identifiers import sql_template

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# SELECT alone, whatever default privileges a role was given on new tables: only the trigger appends.
_TABLE = """
CREATE TABLE {store}.chain (
  number bigint PRIMARY KEY CHECK (number >= 1),
  about text NOT NULL,
  key text NOT NULL,
  entry text NOT NULL,
  previous text NOT NULL CHECK (previous ~ '^sha256:[0-9a-f]{64}$'),
  digest text NOT NULL UNIQUE CHECK (digest ~ '^sha256:[0-9a-f]{64}$')
);
CREATE INDEX chain_about_idx ON {store}.chain (about, key, number);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {store}.chain
  FOR EACH STATEMENT EXECUTE FUNCTION {store}.refuse_change();
COMMENT ON TABLE {store}.chain IS
  'What happened, each entry with the digest of the one before; appended by triggers. Append-only';
DO $$ DECLARE grantee text; BEGIN
  FOR grantee IN
    SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
    FROM pg_class c, aclexplode(c.relacl) a
    WHERE c.oid = '{store}.chain'::regclass AND a.grantee <> c.relowner
  LOOP
    EXECUTE format('REVOKE ALL ON {store}.chain FROM %s', grantee);
    EXECUTE format('GRANT SELECT ON {store}.chain TO %s', grantee);
  END LOOP;
END $$;
"""

# jsonb writes itself in one way only: keys in one order, one spacing. Zone and dates are fixed, since
# moments are written in them.
_FUNCTIONS = """
CREATE FUNCTION {store}.chain_append(about text, columns text[], action text, content jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET "TimeZone" = 'UTC' SET "DateStyle" = 'ISO'
SET extra_float_digits = 1 AS $$
DECLARE
  last record;
  next bigint;
  before text;
  named jsonb := (SELECT jsonb_agg(content -> c.name ORDER BY c.position)
    FROM unnest(columns) WITH ORDINALITY AS c (name, position));
  -- A report may be large: it is entered by its digest.
  shown jsonb := (SELECT jsonb_object_agg(f.key, CASE WHEN jsonb_typeof(f.value) IN ('object', 'array')
      THEN jsonb_build_object('sha256', encode(sha256(convert_to(f.value::text, 'UTF8')), 'hex'))
      ELSE f.value END)
    FROM jsonb_each(content) AS f);
  written text;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('rescore chain {store_text}', 0));
  SELECT c.number, c.digest INTO last FROM {store}.chain c ORDER BY c.number DESC LIMIT 1;
  next := coalesce(last.number, 0) + 1;
  before := coalesce(last.digest, 'sha256:' || repeat('0', 64));
  written := jsonb_build_object('table', about, 'key', named, 'action', action, 'row', shown,
    'at', clock_timestamp(), 'by', session_user)::text;
  INSERT INTO {store}.chain (number, about, key, entry, previous, digest)
  VALUES (next, about, named::text, written, before, 'sha256:' || encode(sha256(convert_to(
    concat_ws(E'\\n', 'rescore chain 1', next::text, before,
      'sha256:' || encode(sha256(convert_to(written, 'UTF8')), 'hex')), 'UTF8')), 'hex'));
END $$;
REVOKE ALL ON FUNCTION {store}.chain_append(text, text[], text, jsonb) FROM PUBLIC;

CREATE FUNCTION {store}.chain_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET "TimeZone" = 'UTC' SET "DateStyle" = 'ISO'
SET extra_float_digits = 1 AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    PERFORM {store}.chain_append(TG_TABLE_NAME, TG_ARGV, 'delete', to_jsonb(OLD));
  ELSE
    PERFORM {store}.chain_append(TG_TABLE_NAME, TG_ARGV, lower(TG_OP), to_jsonb(NEW));
  END IF;
  RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION {store}.chain_change() FROM PUBLIC;
"""

_TRIGGER = """
CREATE CONSTRAINT TRIGGER chained AFTER INSERT OR UPDATE OR DELETE ON {store}.{table}
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {store}.chain_change(%s)
"""

#: Where a run becomes history: its scores are fixed, it ended, or it waits for a person.
_TOLD = (
    "(%(row)s.binding IS NOT NULL OR %(row)s.error IS NOT NULL"
    " OR %(row)s.state IN ('published', 'failed', 'stopped'))"
)
_OLD, _NEW = _TOLD % {"row": "OLD"}, _TOLD % {"row": "NEW"}

_RUN_TRIGGERS = f"""
CREATE CONSTRAINT TRIGGER chained_insert AFTER INSERT ON {{store}}.run
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ({_NEW})
  EXECUTE FUNCTION {{store}}.chain_change('run_id');
CREATE CONSTRAINT TRIGGER chained_update AFTER UPDATE ON {{store}}.run
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.* AND ({_OLD} OR {_NEW}))
  EXECUTE FUNCTION {{store}}.chain_change('run_id');
CREATE CONSTRAINT TRIGGER chained_delete AFTER DELETE ON {{store}}.run
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ({_OLD})
  EXECUTE FUNCTION {{store}}.chain_change('run_id');
"""

# What an older release wrote enters the chain as it is found.
_FOUND = """
SELECT {store}.chain_append('{table_text}', ARRAY[%(columns)s], 'found', to_jsonb(found))
FROM (SELECT * FROM {store}.{table} t WHERE %(told)s ORDER BY %(order)s) AS found
"""

#: Each table with the columns of its key, in the order in which old rows are entered.
_CHAINED = {
    "package": ("model", "version"),
    "build": ("build_id",),
    "signature": ("signature_id",),
    "comparison": ("comparison_id",),
    "pin": ("pin_id",),
    "snapshot": ("snapshot_id",),
    "run": ("run_id",),
    "validation": ("run_id",),
    "drift": ("run_id",),
    "publication": ("sequence",),
    "performance": ("performance_id",),
    "reproduction": ("reproduction_id",),
}


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Add the chain, enter what is there, and let every later change enter itself."""

    def run(template: str, **names: str) -> None:
        op.execute(sql_template(template, store=store_schema, **names))

    for template in (_TABLE, _FUNCTIONS, "SET LOCAL TIME ZONE 'UTC'"):
        run(template)
    for table, columns in _CHAINED.items():
        literals = ", ".join(f"'{column}'" for column in columns)
        told = _TOLD % {"row": "t"} if table == "run" else "true"
        order = "claimed_at, run_id" if table == "run" else ", ".join(columns)
        run(_FOUND % {"columns": literals, "told": told, "order": order}, table=table)
        run(_RUN_TRIGGERS if table == "run" else _TRIGGER % literals, table=table)
