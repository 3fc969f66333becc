"""Which tables and views a model's queries read, by the names that the source's catalogue has for them."""

from __future__ import annotations

from collections.abc import Sequence

from rescore.folder import ModelFolder
from rescore.interval import Interval
from rescore.source.query import quote_identifier, quote_literal, relation_names, render
from rescore.source.session import Session

__all__ = ["tables_read"]

_NAMES = """
SELECT DISTINCT format('%s.%s.%s', current_database(), n.nspname, c.relname)::text AS name
FROM (VALUES {values}) AS given (name) JOIN pg_class c ON c.oid = to_regclass(given.name)
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname <> 'pg_catalog' AND n.nspname <> 'information_schema' ORDER BY 1
"""


def tables_read(
    url: str, folder: ModelFolder, interval: Interval, queries: Sequence[str] = ("extract.sql",)
) -> tuple[str, ...]:
    """What a model's queries read, as ``database.schema.relation``, sorted; views are not followed.

    Parameters
    ----------
    url : str
        The source.
    folder : ModelFolder
        The model.
    interval : Interval
        Any that the queries can be rendered for.
    queries : sequence of {"extract.sql", "labels.sql"}
        Which of its files.

    Raises
    ------
    SourceUnavailableError
        The database can't be reached now.
    SpecError
        A query can't be read.
    """
    texts = {"extract.sql": folder.extract_sql, "labels.sql": folder.labels_sql}
    named = {
        ".".join(map(quote_identifier, name.parts))
        for file in queries
        for name in relation_names(
            render(texts[file], interval, interval.end, where=str(folder.path / file)).text
        )
    }
    if not named:
        return ()
    values = ", ".join(f"({quote_literal(name)})" for name in sorted(named))
    with Session(url, folder.spec.source) as session:
        return tuple(row["name"] for row in session.ask(_NAMES.format(values=values)))
