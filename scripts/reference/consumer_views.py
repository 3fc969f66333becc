"""The page on what consumers read: views, columns, types and comments, from the catalogue of a store."""

from __future__ import annotations

import pyarrow as pa
from sqlalchemy import text

from rescore.spec import ModelSpec
from rescore.store import Store
from scripts.reference.markdown import code, prose, table

__all__ = ["consumer_views"]

#: The model whose views are shown; its name and its key stand for a reader's own.
_EXAMPLE = ModelSpec.model_validate(
    {
        "name": "model",
        "version": "1.0",
        "owner": "docs",
        "source": {"connection": "source", "key": ["key"], "known_by": "none"},
        "features": [{"name": "feature", "kind": "numeric"}],
        "target": {"name": "target", "kind": "binary"},
        "output": {"unit": "unit", "meaning": "what model.yaml says of its output"},
        "schedule": {"cron": "0 4 * * *", "start": "2024-01-01"},
        "training": {"intervals": 1, "seed": 1, "from": "frozen_inputs"},
    }
)
_COLUMNS = """
SELECT c.relname, obj_description(c.oid), a.attname, format_type(a.atttypid, a.atttypmod),
  col_description(c.oid, a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = 'scores'::regnamespace AND c.relkind = 'v'
ORDER BY c.relname LIKE 'model%', c.relname, a.attnum
"""


def consumer_views(store: Store) -> str:
    """The page, from a store that is migrated and has no model yet.

    Parameters
    ----------
    store : Store
        A model called ``model`` is registered in it.
    """
    store.models.ensure(_EXAMPLE, {"key": pa.string()})
    with store.database.transaction() as connection:
        found = connection.execute(text(_COLUMNS)).fetchall()
    parts = [
        "# Views and columns for consumers",
        "What the schema `scores` has, with types and comments as a migrated store gives them. `model` "
        "stands for a model's name and `key` for its key columns; `label` is there where there are "
        "classes. What is promised, and questions in SQL: [Reading scores](../guides/consumers.md).",
    ]
    for view in dict.fromkeys(row[0] for row in found):
        rows = [row for row in found if row[0] == view]
        cells = [[code(name), kind, meaning or ""] for _, _, name, kind, meaning in rows]
        parts += [f"## scores.{view}", prose(rows[0][1]) + ".", table(["Column", "Type", "Meaning"], cells)]
    return "\n\n".join(parts) + "\n"
