"""Models that were retired: nothing of theirs is due any more.

Revision ID: 0023
Revises: 0022
"""

from __future__ import annotations

from alembic import op

from rescore.store.identifiers import sql_template
from rescore.store.schema.migrations.versions.v0008_consumers import _MOMENT, _STATUS, _WORDS

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_TABLE = """
CREATE TABLE {store}.retirement (
  retirement_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  model text NOT NULL,
  retired boolean NOT NULL,
  who text NOT NULL,
  why text NOT NULL,
  decided_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX retirement_model_idx ON {store}.retirement (model, retirement_id);
COMMENT ON TABLE {store}.retirement IS
  'Which models score no more, by whose word and why; the last row of a model holds. Append-only';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {store}.retirement
  FOR EACH STATEMENT EXECUTE FUNCTION {store}.refuse_change();
CREATE CONSTRAINT TRIGGER chained AFTER INSERT OR UPDATE OR DELETE ON {store}.retirement
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {store}.chain_change('retirement_id');
"""

# The view as it was, but for what is said of models that were retired.
_CHANGED = (
    (
        "      WHEN next.due_at IS NOT NULL THEN 'the next",
        "      WHEN gone.retired THEN format('retired on %s by %s: %s', words(gone.decided_at), gone.who,"
        " gone.why)\n      WHEN next.due_at IS NOT NULL THEN 'the next",
    ),
    (
        "  realised.sentence AS performance_sentence\n",
        "  realised.sentence AS performance_sentence,\n"
        "  CASE WHEN gone.retired THEN gone.decided_at END AS retired_at\n",
    ),
    (
        "  next.due_at,\n",
        "  CASE WHEN gone.retired IS NOT TRUE THEN next.due_at END AS due_at,\n",
    ),
    (
        "AND judged.late IS NOT TRUE\n",
        "AND judged.late IS NOT TRUE AND gone.retired IS NOT TRUE\n",
    ),
    (
        "  SELECT CASE WHEN next.due_at",
        "  SELECT CASE WHEN gone.retired THEN false WHEN next.due_at",
    ),
    (
        "LEFT JOIN {store}.timetable t ON",
        "LEFT JOIN LATERAL (\n  SELECT g.retired, g.who, g.why, g.decided_at FROM {store}.retirement g\n"
        "  WHERE g.model = m.name ORDER BY g.retirement_id DESC LIMIT 1) gone ON true\n"
        "LEFT JOIN {store}.timetable t ON",
    ),
)


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Add the table with its guards, and what the view says of a retired model."""
    view = _STATUS
    for before, after in _CHANGED:
        view = view.replace(before, after)
    for template in (_TABLE, view):
        op.execute(sql_template(_WORDS.sub(_MOMENT, template), store=store_schema, consumer=consumer_schema))
