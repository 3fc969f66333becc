"""Rows without a score are recorded in parts; and what is asked of all models reads a few rows of each.

``status`` found a model's last publication, and the last that was measured, among all of its publications.
The functions are made anew after the last step.

Revision ID: 0025
Revises: 0024
"""

from __future__ import annotations

from alembic import op

from rescore.store.identifiers import sql_template
from rescore.store.schema.migrations.versions.v0008_consumers import _MOMENT, _STATUS, _WORDS
from rescore.store.schema.migrations.versions.v0023_retirement import _CHANGED

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

# Another one, which takes a part of the rows, takes its place.
_OLD = "DROP FUNCTION IF EXISTS {store}.record_excluded(uuid, bigint, jsonb)"

_MEASURED = """
CREATE TABLE {store}.measured_interval (
  model text NOT NULL,
  interval_start timestamptz NOT NULL,
  interval_end timestamptz NOT NULL,
  PRIMARY KEY (model, interval_start, interval_end)
);
COMMENT ON TABLE {store}.measured_interval IS
  'Intervals of which a run has a performance report, derived from performance: where to look for the latest';
INSERT INTO {store}.measured_interval
  SELECT DISTINCT r.model, r.interval_start, r.interval_end
  FROM {store}.performance f JOIN {store}.run r ON r.run_id = f.run_id;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {store}.measured_interval
  FOR EACH STATEMENT EXECUTE FUNCTION {store}.refuse_change();
"""

# The view as it was, but for where its rows are looked for.
_READS = (
    (
        "SELECT * FROM {store}.publication_current p WHERE p.model = m.name\n"
        "  ORDER BY p.interval_start DESC, p.interval_end DESC, p.sequence DESC LIMIT 1) last",
        "SELECT * FROM {store}.current_publication p WHERE p.model = m.name\n"
        "  ORDER BY p.interval_start DESC, p.interval_end DESC LIMIT 1) last",
    ),
    (
        "FROM {store}.publication_current c JOIN {store}.performance f ON f.run_id = c.run_id\n"
        "  WHERE c.model = m.name\n"
        "  ORDER BY c.interval_start DESC, c.interval_end DESC, f.performance_id DESC LIMIT 1) realised",
        "FROM {store}.measured_interval i\n"
        "  JOIN {store}.current_publication c USING (model, interval_start, interval_end)\n"
        "  JOIN {store}.performance f ON f.run_id = c.run_id\n"
        "  WHERE i.model = m.name\n"
        "  ORDER BY i.interval_start DESC, i.interval_end DESC, f.performance_id DESC LIMIT 1) realised",
    ),
)


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Add the table, and make the view read the last rows of each model."""
    names = {"store": store_schema, "consumer": consumer_schema}
    view = _STATUS
    for before, after in (*_CHANGED, *_READS):
        view = view.replace(before, after)
    for template in (_OLD, _MEASURED, _WORDS.sub(_MOMENT, view)):
        op.execute(sql_template(template, **names))
