"""Which due intervals have scores is known beside them: what is missing is found without all that is there.

Revision ID: 0028
Revises: 0027
"""

from __future__ import annotations

from alembic import op

from rescore.store.identifiers import sql_template
from rescore.store.schema.migrations.versions.v0008_consumers import _GAPS

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

# Derived from publication. It is never true too early; where it is false, the view asks publication.
_TABLE = """
ALTER TABLE {store}.due ADD COLUMN published boolean NOT NULL DEFAULT false;
UPDATE {store}.due u SET published = true WHERE EXISTS (
  SELECT FROM {store}.publication p WHERE p.model = u.model
    AND p.interval_start = u.interval_start AND p.interval_end = u.interval_end);
CREATE INDEX due_unpublished_idx ON {store}.due (model, interval_start) WHERE NOT published;
"""

_DUE = """
CREATE FUNCTION {store}.note_due_published() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  NEW.published := EXISTS (
    SELECT FROM {store}.publication p WHERE p.model = NEW.model
      AND p.interval_start = NEW.interval_start AND p.interval_end = NEW.interval_end);
  RETURN NEW;
END $$;
CREATE TRIGGER note_published BEFORE INSERT ON {store}.due
  FOR EACH ROW EXECUTE FUNCTION {store}.note_due_published();
REVOKE ALL ON FUNCTION {store}.note_due_published() FROM PUBLIC;
"""

_PUBLICATION = """
CREATE FUNCTION {store}.note_published() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE {store}.due u SET published = true WHERE u.model = NEW.model
    AND u.interval_start = NEW.interval_start AND u.interval_end = NEW.interval_end AND NOT u.published;
  RETURN NULL;
END $$;
CREATE TRIGGER note_due AFTER INSERT ON {store}.publication
  FOR EACH ROW EXECUTE FUNCTION {store}.note_published();
REVOKE ALL ON FUNCTION {store}.note_published() FROM PUBLIC;
"""

# The view as it was, but that it begins with the few intervals that may be missing.
_BEFORE, _AFTER = "WHERE u.due_at <=", "WHERE NOT u.published AND u.due_at <="


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Add the column, what keeps it, and the view that reads it."""
    view = _GAPS.replace("CREATE VIEW", "CREATE OR REPLACE VIEW").replace(_BEFORE, _AFTER)
    for template in (_TABLE, _DUE, _PUBLICATION, view):
        op.execute(sql_template(template, store=store_schema, consumer=consumer_schema))
