"""The consumers' views of one model's scores, and what each column means. No connection here."""

from __future__ import annotations

from psycopg2 import sql

from rescore.store.schema.consumer_columns import MODEL_COLUMNS
from rescore.store.schema.score_table import ScoreLayout, column_list

__all__ = ["create_view_of_rows_once", "create_views"]


def create_view_of_rows_once(layout: ScoreLayout, consumer: str) -> sql.Composed:
    """A view of each key and event time once, as published last; for intervals that overlap."""
    row = column_list(list(dict.fromkeys([*layout.key_names, "event_time"])))
    return sql.SQL(
        "CREATE VIEW {once} AS SELECT DISTINCT ON ({row}) * FROM {all} ORDER BY {row}, published_at DESC;"
    ).format(
        once=sql.Identifier(consumer, f"{layout.model}_once"),
        all=sql.Identifier(consumer, layout.model),
        row=row,
    )


#: The four views of a model; braces are filled in by :func:`create_views`.
_VIEWS = """
CREATE OR REPLACE VIEW {all} WITH (security_barrier) AS
  SELECT {row}, {score}, {published}, p.package_version, p.verdict, p.reason, s.run_id, p.released_by
  FROM {scores} s
  JOIN {current} p ON p.run_id = s.run_id;
CREATE OR REPLACE VIEW {latest} WITH (security_barrier) AS
  SELECT {of_key}, {columns}
  FROM {keys} k CROSS JOIN LATERAL (
    SELECT {row}, {score}, {published}, p.package_version, p.verdict, p.reason, s.run_id, p.released_by
    FROM {scores} s
    JOIN {current} p ON p.run_id = s.run_id
    WHERE {same_key}
    ORDER BY s.{event_time} DESC, p.sequence DESC LIMIT 1) l
  UNION ALL
  SELECT * FROM (
    SELECT DISTINCT ON ({s_key}) {row}, {score}, {published},
      p.package_version, p.verdict, p.reason, s.run_id, p.released_by
    FROM {scores} s
    JOIN {current} p ON p.run_id = s.run_id
    WHERE p.model = {model} AND NOT p.keys_known AND NOT EXISTS (SELECT FROM {keys} k WHERE {same_key})
      -- Asked once a query: where there is none, no row of history is looked at.
      AND (SELECT true FROM {current} u WHERE u.model = {model} AND NOT u.keys_known LIMIT 1)
    ORDER BY {s_key}, s.{event_time} DESC, p.sequence DESC) l;
CREATE OR REPLACE VIEW {history} WITH (security_barrier) AS
  SELECT {row}, {score}, {published}, p.superseded_at,
    r.package_version, d.verdict, p.reason, s.run_id, p.released_by
  FROM {scores} s
  JOIN {publications} p ON p.run_id = s.run_id AND p.model = {model}
  JOIN {run} r ON r.run_id = s.run_id
  LEFT JOIN {drift} d ON d.run_id = s.run_id;
CREATE OR REPLACE VIEW {without} WITH (security_barrier) AS
  SELECT {row}, s.kind, s.reason, {published}, s.run_id
  FROM {excluded} s
  JOIN {current} p ON p.run_id = s.run_id;
COMMENT ON VIEW {all} IS {comment};
COMMENT ON VIEW {latest} IS 'One row per key: the latest event_time, then the latest publication';
COMMENT ON VIEW {history} IS 'All that was ever published; current from published_at until superseded_at';
COMMENT ON VIEW {without} IS 'Rows of current publications without a score: quarantined or rejected, and why';
"""


def create_views(layout: ScoreLayout, schema: str, consumer: str, comment: str) -> sql.Composed:
    """The consumers' views. They run with their owner's rights: readers need no right on tables."""
    columns = [sql.SQL("s.{}").format(sql.Identifier(name)) for name in layout.key_names]
    if "event_time" not in layout.key_names:
        columns.append(sql.SQL("s.{} AS event_time").format(sql.Identifier(layout.event_time)))
    row = sql.SQL(", ").join(columns)
    score = sql.SQL(", ").join(sql.SQL("s.{}").format(sql.Identifier(name)) for name in layout.said_of_rows)
    shown = [] if "event_time" in layout.key_names else ["event_time"]
    shown += [*layout.said_of_rows, "interval_start", "interval_end"]
    shown += ["published_at", "package_version", "verdict", "reason", "run_id", "released_by"]
    return sql.SQL(_VIEWS).format(
        all=sql.Identifier(consumer, layout.model),
        latest=sql.Identifier(consumer, f"{layout.model}_latest"),
        history=sql.Identifier(consumer, f"{layout.model}_history"),
        without=sql.Identifier(consumer, f"{layout.model}_excluded"),
        scores=sql.Identifier(schema, layout.scores_table),
        excluded=sql.Identifier(schema, layout.excluded_table),
        current=sql.Identifier(schema, "current_publication"),
        keys=sql.Identifier(schema, layout.keys_table),
        published=sql.SQL("p.interval_start, p.interval_end, p.published_at"),
        of_key=sql.SQL(", ").join(sql.SQL("k.{}").format(sql.Identifier(name)) for name in layout.key_names),
        same_key=sql.SQL(" AND ").join(
            sql.SQL("s.{0} = k.{0}").format(sql.Identifier(name)) for name in layout.key_names
        ),
        columns=sql.SQL(", ").join(sql.SQL("l.{}").format(sql.Identifier(name)) for name in shown),
        publications=sql.Identifier(schema, "publication_history"),
        run=sql.Identifier(schema, "run"),
        drift=sql.Identifier(schema, "drift"),
        row=row,
        score=score,
        s_key=sql.SQL(", ").join(sql.SQL("s.{}").format(sql.Identifier(name)) for name in layout.key_names),
        event_time=sql.Identifier(layout.event_time),
        model=sql.Literal(layout.model),
        comment=sql.Literal(comment),
    ) + _column_comments(layout, consumer, comment)


def _column_comments(layout: ScoreLayout, consumer: str, comment: str) -> sql.Composed:
    """What each column of each view means, as a database client shows it."""
    meanings = dict.fromkeys(layout.key_names, "Part of the key: what the score is of")
    for name, meaning in MODEL_COLUMNS.items():
        meanings.setdefault(name, meaning)
    meanings["score"] = comment
    facts = ["interval_start", "interval_end", "published_at"]
    meanings |= {column: f"The probability of the class {label}" for label, column in layout.probabilities}
    scored = [*layout.said_of_rows, *facts]
    made = ["package_version", "verdict", "reason", "run_id", "released_by"]
    row = list(dict.fromkeys([*layout.key_names, "event_time"]))
    columns = {
        layout.model: [*row, *scored, *made],
        f"{layout.model}_latest": [*row, *scored, *made],
        f"{layout.model}_history": [*row, *scored, "superseded_at", *made],
        f"{layout.model}_excluded": [*row, "kind", *facts, "run_id"],
    }
    statements = [
        sql.SQL("COMMENT ON COLUMN {}.{} IS {};").format(
            sql.Identifier(consumer, view), sql.Identifier(name), sql.Literal(meanings[name])
        )
        for view, names in columns.items()
        for name in names
    ]
    why_not = sql.SQL("COMMENT ON COLUMN {}.reason IS 'Why the row has no score';")
    return sql.Composed([*statements, why_not.format(sql.Identifier(consumer, f"{layout.model}_excluded"))])
