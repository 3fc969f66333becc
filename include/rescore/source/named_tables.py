"""Which tables and views a model's query reads, by the names that the source's catalogue has for them."""

from __future__ import annotations

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


def tables_read(url: str, folder: ModelFolder, interval: Interval) -> tuple[str, ...]:
    """What ``extract.sql`` reads, as ``database.schema.relation``, sorted; views are not followed.

    Raises
    ------
    SourceUnavailableError
        The database can't be reached now.
    SpecError
        The query can't be read.
    """
    query = render(folder.extract_sql, interval, interval.end, where=str(folder.path / "extract.sql")).text
    named = [".".join(map(quote_identifier, name.parts)) for name in relation_names(query)]
    if not named:
        return ()
    values = ", ".join(f"({quote_literal(name)})" for name in named)
    with Session(url, folder.spec.source) as session:
        return tuple(row["name"] for row in session.ask(_NAMES.format(values=values)))
