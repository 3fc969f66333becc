"""Compare the store's tables with the last entry that the chain has of each row.

The queries use Postgres' own functions alone: those of the store could have been replaced.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Any

from psycopg2 import sql
from sqlalchemy import Connection

from rescore.progress import Progress, counted, silent
from rescore.store.audit.findings import Finding
from rescore.store.database import run_sql, schema_names, store_table

__all__ = ["CHAINED", "compare_tables"]

#: Every table that enters the chain, with the columns of its key; a test compares it with the triggers.
CHAINED: Mapping[str, tuple[str, ...]] = {
    "package": ("model", "version"),
    "build": ("build_id",),
    "signature": ("signature_id",),
    "comparison": ("comparison_id",),
    "pin": ("pin_id",),
    "approval_rule": ("rule_id",),
    "retirement": ("retirement_id",),
    "snapshot": ("snapshot_id",),
    "frozen_again": ("again_id",),
    "run": ("run_id",),
    "validation": ("run_id",),
    "drift": ("run_id",),
    "publication": ("sequence",),
    "performance": ("performance_id",),
    "reproduction": ("reproduction_id",),
    "deletion": ("deletion_id",),
    "legal_hold": ("hold_id",),
    "hold_lifted": ("hold_id",),
    "erasure": ("erasure_id",),
    "tombstone": ("tombstone_id",),
    "erasure_done": ("erasure_id",),
}
#: Reports that an erasure takes a person's values out of, by table: it changes this column alone.
_ERASED = {"run": "error", "reproduction": "details"}
#: Until a run is in one of these states its report may be made anew. Runs enter the chain with their scores.
_REPORTS = {
    "validation": ("validated", "scored", "checked", "published", "failed", "stopped"),
    "drift": ("checked", "published", "failed", "stopped"),
}

_SHOWN = """(SELECT jsonb_object_agg(f.key, CASE WHEN jsonb_typeof(f.value) IN ('object', 'array')
    THEN jsonb_build_object('sha256', encode(sha256(convert_to(f.value::text, 'UTF8')), 'hex'))
    ELSE f.value END) FROM jsonb_each(to_jsonb(t)) AS f)"""
#: Which runs are history, as the migration that made the chain says it.
_CHAINED_RUN = (
    "(t.binding IS NOT NULL OR t.error IS NOT NULL OR t.state IN ('published', 'failed', 'stopped'))"
)

# A column that an entry does not name was added since; it is not compared.
_COMPARE = """
WITH chained AS (
  SELECT DISTINCT ON (key) key, number, entry::jsonb AS entry FROM {chain}
  WHERE about = {about} ORDER BY key, number DESC),
present AS (SELECT jsonb_build_array({key})::text AS key, {shown} AS row, {chained} AS chained FROM {table} t)
SELECT coalesce(chained.key, present.key), chained.number, chained.entry->>'action', chained.entry->'row',
  present.row
FROM chained FULL JOIN present ON chained.key = present.key
WHERE CASE
  WHEN chained.key IS NULL THEN present.chained
  WHEN chained.entry->>'action' = 'delete' THEN present.key IS NOT NULL
  ELSE present.key IS NULL OR EXISTS (SELECT FROM jsonb_each(chained.entry->'row') f
    WHERE present.row->f.key IS DISTINCT FROM f.value) END
ORDER BY chained.number, 1
"""

# Each entry is judged by the one before it about the same row: a change that went through the chain, with
# guards taken off for a moment, is there to be seen. A column that the first does not name is newer.
_CHANGED = """
WITH chained AS (SELECT number, key, entry::jsonb AS entry,
    lag(entry::jsonb->'row') OVER (PARTITION BY key ORDER BY number) AS before
  FROM {chain} WHERE about = {about})
SELECT number, key, entry->>'action', entry->>'at', entry->>'by' FROM chained
WHERE entry->>'action' IN ('update', 'delete', 'erase') AND {final}
  AND NOT (entry->>'action' = 'erase' AND coalesce({erased}, '') <> '' AND NOT EXISTS (
    SELECT FROM jsonb_each(before) f
    WHERE f.key <> {erased} AND entry->'row'->f.key IS DISTINCT FROM f.value))
ORDER BY number
"""
_ALWAYS = "true"
# A run ends once; before that its scores are bound once.
_RUN_IS_FINAL = """(entry->>'action' = 'delete' OR before->>'state' IN ('published', 'failed') OR (
  before->>'binding' IS NOT NULL AND EXISTS (SELECT FROM unnest(ARRAY['binding', 'input_digest',
    'package_version', 'package_sha256', 'score_digest', 'rows_scored']) c
    WHERE before ? c AND entry->'row'->c IS DISTINCT FROM before->c)))"""
_REPORT_IS_FINAL = """(entry->>'action' <> 'update' OR EXISTS (SELECT FROM {chain} r
  WHERE r.about = 'run' AND r.key = chained.key AND r.number < chained.number
  AND r.entry::jsonb->'row'->>'state' = ANY({states})))"""

# What consumers' views read is derived from publications, as its trigger says it.
_CURRENT = """
WITH published AS (
  SELECT DISTINCT ON (p.model, p.interval_start, p.interval_end) p.run_id, p.sequence, p.model,
    p.interval_start, p.interval_end, p.published_at, r.package_version, d.verdict, p.reason, p.released_by
  FROM {publication} p LEFT JOIN {run} r ON r.run_id = p.run_id LEFT JOIN {drift} d ON d.run_id = p.run_id
  ORDER BY p.model, p.interval_start, p.interval_end, p.sequence DESC)
SELECT coalesce(published.model, c.model), coalesce(published.interval_start, c.interval_start),
  to_jsonb(published), to_jsonb(c) - 'keys_known'
FROM published FULL JOIN {current} c
  ON c.model = published.model AND c.interval_start = published.interval_start
  AND c.interval_end = published.interval_end
WHERE to_jsonb(published) IS DISTINCT FROM to_jsonb(c) - 'keys_known' ORDER BY 1, 2
"""

# 'O' fires unless the session is a replica's; 'A' always.
_TRIGGERS = """
SELECT c.relname, count(*) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_proc p ON p.oid = t.tgfoid
WHERE n.nspname = {schema} AND p.proname = 'chain_change' AND t.tgenabled IN ('O', 'A') GROUP BY 1
"""


def compare_tables(connection: Connection, progress: Progress = silent) -> tuple[int, list[Finding]]:
    """Compare every chained table with the chain, in the connection's snapshot.

    Returns
    -------
    tuple
        How many rows the tables have, and what is not as the chain says.
    """
    rows, found = 0, [*_disabled(connection)]
    for table, columns in counted(CHAINED.items(), "tables", progress):
        statement = sql.SQL("SELECT count(*) FROM {}").format(store_table(connection, table))
        rows += run_sql(connection, statement)[0][0]
        found += _differences(connection, table, columns)
        found += _changes(connection, table)
    return rows, [*found, *_shown(connection)]


def _shown(connection: Connection) -> Iterator[Finding]:
    named = {
        name: store_table(connection, table)
        for name, table in {
            "publication": "publication",
            "run": "run",
            "drift": "drift",
            "current": "current_publication",
        }.items()
    }
    for model, start, published, present in run_sql(connection, sql.SQL(_CURRENT).format(**named)):
        different = [
            name
            for name in {**(published or {}), **(present or {})}
            if (published or {}).get(name) != (present or {}).get(name)
        ]
        yield Finding(
            f"what consumers see is not what was published last: {', '.join(different)}",
            f"current_publication {model} {start.astimezone(UTC):%Y-%m-%dT%H:%MZ}",
            _text({name: (published or {}).get(name) for name in different}),
            _text({name: (present or {}).get(name) for name in different}),
        )


def _disabled(connection: Connection) -> Iterator[Finding]:
    schema = sql.Literal(schema_names(connection)[0])
    firing = dict(run_sql(connection, sql.SQL(_TRIGGERS).format(schema=schema)))
    for table in CHAINED:
        expected = 3 if table == "run" else 1
        if firing.get(table, 0) != expected:
            yield Finding(
                "changes no longer enter the chain: a trigger is missing or switched off",
                f"table {table}",
                f"{expected} triggers that call chain_change",
                str(firing.get(table, 0)),
            )


def _differences(connection: Connection, table: str, columns: tuple[str, ...]) -> Iterator[Finding]:
    key = [sql.SQL("to_jsonb(t)->{}").format(sql.Literal(column)) for column in columns]
    statement = sql.SQL(_COMPARE).format(
        chain=store_table(connection, "chain"),
        about=sql.Literal(table),
        key=sql.SQL(", ").join(key),
        shown=sql.SQL(_SHOWN),
        chained=sql.SQL(_CHAINED_RUN if table == "run" else "true"),
        table=store_table(connection, table),
    )
    for name, number, action, chained, present in run_sql(connection, statement):
        where = f"{table} {_named(name)}"
        if number is None:
            yield Finding("the row is there, but never entered the chain", where, got=_text(present))
        elif action == "delete":
            yield Finding(f"the row is there, but entry {number} says it was deleted", where)
        elif present is None:
            yield Finding(f"the row is gone; the chain has it (entry {number})", where, _text(chained))
        else:
            for column, value in chained.items():
                if present.get(column, ...) != value:
                    yield Finding(
                        f"{column} is not what entry {number} says",
                        where,
                        _text(value),
                        _text(present.get(column)),
                    )


def _changes(connection: Connection, table: str) -> Iterator[Finding]:
    chain = store_table(connection, "chain")
    final: sql.Composable = sql.SQL(_RUN_IS_FINAL if table == "run" else _ALWAYS)
    if table in _REPORTS:
        final = sql.SQL(_REPORT_IS_FINAL).format(chain=chain, states=sql.Literal([*_REPORTS[table]]))
    erased = sql.Literal(_ERASED.get(table, ""))
    statement = sql.SQL(_CHANGED).format(chain=chain, about=sql.Literal(table), final=final, erased=erased)
    for number, key, action, at, by in run_sql(connection, statement):
        yield Finding(
            f"a row that must not change was changed: {action} at {at} by {by} (entry {number})",
            f"{table} {_named(key)}",
        )


def _named(key: str) -> str:
    return " ".join(str(part) for part in json.loads(key))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
