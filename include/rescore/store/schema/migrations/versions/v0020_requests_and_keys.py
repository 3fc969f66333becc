"""Each request to erase a person is a row; keys go with their last score; reproductions are guarded.

Revision ID: 0020
Revises: 0019
"""

from __future__ import annotations

from alembic import op

from rescore.store.identifiers import sql_template

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_REQUESTS = """
ALTER TABLE {store}.erasure DROP CONSTRAINT erasure_pseudonym_key;
CREATE INDEX erasure_pseudonym_idx ON {store}.erasure (pseudonym);
"""

# The guard of the statement lets an erasure in; this one says of each row what it may change.
_DETAILS_ALONE = """
CREATE FUNCTION {store}.refuse_other_than_details() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF to_jsonb(NEW) - 'details' IS DISTINCT FROM to_jsonb(OLD) - 'details' THEN
    RAISE EXCEPTION '%.% is append-only: % refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
      USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'An erasure takes a person out of the details; nothing else of the row is ever changed.';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER details_alone BEFORE UPDATE ON {store}.reproduction
  FOR EACH ROW EXECUTE FUNCTION {store}.refuse_other_than_details();
"""

# What retention deleted before this left its keys.
_KEYS = """
DO $$ DECLARE
  of_model text;
BEGIN
  FOR of_model IN SELECT m.name FROM {store}.model m
      JOIN pg_class c ON c.relname = 'keys_' || m.name AND c.relnamespace = '{store_text}'::regnamespace LOOP
    EXECUTE format('DELETE FROM {store}.%1$I k WHERE NOT EXISTS'
      ' (SELECT FROM {store}.%2$I s WHERE (%3$s) = (%4$s))',
      'keys_' || of_model, 'scores_' || of_model,
      {store}.key_list(of_model, 's.'), {store}.key_list(of_model, 'k.'));
  END LOOP;
END $$;
"""


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Let a person be asked for again, guard reproductions by the row, and forget keys without a score."""
    for template in (_REQUESTS, _DETAILS_ALONE, _KEYS):
        op.execute(sql_template(template, store=store_schema))
