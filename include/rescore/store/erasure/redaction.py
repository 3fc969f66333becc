"""Take a person out of reports: errors of runs, and differences that reproductions found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg2 import sql
from psycopg2.extras import Json

from rescore.interval import Interval
from rescore.store.database import Database, run_sql, store_table

__all__ = ["ERASED", "NamingReport", "redact_reports", "redacted", "reports_naming"]

#: What stands where a person's value stood.
ERASED = "[erased]"

#: Reports that may name a row: table, key, column. Validation and drift reports name none, by design.
_REPORTS = (("run", "run_id", "error"), ("reproduction", "reproduction_id", "details"))
#: A shorter value is found in anything.
_SHORTEST = 4


def redact_reports(database: Database, erasure_id: int, named: Mapping[str, Iterable[str]]) -> int:
    """Replace a person's values in reports.

    Parameters
    ----------
    database : Database
        The store's; the owner's login.
    erasure_id : int
        Which erasure.
    named : mapping of str to iterable of str
        Key and subject columns to the person's values, as text.

    Returns
    -------
    int
        How many reports were changed.
    """
    values = {name: {*texts} for name, texts in named.items()}
    changed = 0
    for table, key, column in _REPORTS:
        with database.transaction() as connection:
            run_sql(
                connection,
                sql.SQL("SELECT set_config('rescore.erasing', %s, true)"),
                (str(erasure_id),),
            )
            names = {
                "table": store_table(connection, table),
                "key": sql.Identifier(key),
                "column": sql.Identifier(column),
            }
            every = sql.SQL("SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL")
            update = sql.SQL("UPDATE {table} SET {column} = %s WHERE {key} = %s")
            for row, report in run_sql(connection, every.format(**names)):
                cleaned = redacted(report, values)
                if cleaned != report:
                    run_sql(connection, update.format(**names), (Json(cleaned), row))
                    changed += 1
    return changed


@dataclass(frozen=True)
class NamingReport:
    """A report that names a person: of which run's model and interval, about what, and its text."""

    model: str
    interval: str
    about: str
    report: Any


def reports_naming(database: Database, named: Mapping[str, Iterable[str]]) -> list[NamingReport]:
    """The reports that :func:`redact_reports` would change."""
    values = {name: {*texts} for name, texts in named.items()}
    found = []
    with database.transaction() as connection:
        for table, key, column in _REPORTS:
            every = sql.SQL(
                "SELECT r.model, r.interval_start, r.interval_end, t.{key}::text, t.{column} FROM {table} t"
                " JOIN {run} r ON r.run_id = t.run_id WHERE t.{column} IS NOT NULL ORDER BY t.{key}"
            ).format(
                table=store_table(connection, table),
                run=store_table(connection, "run"),
                key=sql.Identifier(key),
                column=sql.Identifier(column),
            )
            found += [
                NamingReport(model, str(Interval(start, end)), f"{column} of {table} {row}", report)
                for model, start, end, row, report in run_sql(connection, every)
                if redacted(report, values) != report
            ]
    return found


def redacted(report: Any, values: Mapping[str, set[str]], column: str | None = None) -> Any:
    """A report without a person's values.

    Under a key that is a column's name a value goes if it is one of that column's; a text, and a key, lose
    every value of at least four characters that stands in it as a word, and one of any length after its
    column's name (``loan=17``, ``loan: 17``).
    """
    if isinstance(report, Mapping):
        return {_cleaned(name, values): redacted(item, values, name) for name, item in report.items()}
    if isinstance(report, list):
        return [redacted(item, values, column) for item in report]
    if column is not None and str(report) in values.get(column, ()):
        return ERASED
    return _cleaned(report, values) if isinstance(report, str) else report


def _cleaned(text: str, values: Mapping[str, set[str]]) -> str:
    for column, some in values.items():
        if some:
            named = "|".join(map(re.escape, sorted(some, key=len, reverse=True)))
            said = rf"(?<!\w)({re.escape(column)}['\"]?\s*[=:]\s*['\"]?)(?:{named})(?!\w)"
            text = re.sub(said, rf"\g<1>{ERASED}", text)
    words = {value for some in values.values() for value in some if len(value) >= _SHORTEST}
    for word in sorted(words, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", ERASED, text)
    return text
