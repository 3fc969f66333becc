"""The newest rows of a table, whose label is still to come: since when, how long it takes, what it brings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, sqrt
from statistics import median
from typing import Any

from psycopg2 import sql

from rescore.shown_text import number_of
from rescore.source.inspection import ColumnFacts, TableFacts, reading

__all__ = ["OpenRows", "open_rows"]

#: Labels of a day are complete if its share of labelled rows is this part of the usual one.
_COMPLETE = 0.9
#: Standard deviations by which labels have to be fewer than usual, to be still to come; and the last day has
#: less than half of them.
_STRAY = 4
#: Chance below which rows do not lack something by chance.
_BY_CHANCE = 0.001
#: Of the labelled rows at most so many have a value that rows have only while they wait.
_ALMOST_NONE = 0.01
#: Rows that wait for each of their values, for these to be a state and no detail.
_ROWS_PER_VALUE = 5
#: Of the labels so many come within the delay that is found.
_MOST = 0.99
#: A table that spans less is looked at by the hour, others by the day.
_SHORT = timedelta(days=4)
_TEXTS = {"text", "varchar", "bpchar", "enum", "bool"}
#: Columns that are asked about in one query.
_AT_ONCE = 400


@dataclass(frozen=True)
class OpenRows:
    """The rows at a table's end that have no label yet.

    Attributes
    ----------
    rows : int
        How many.
    since : datetime
        Labels of rows before that are complete.
    delay : timedelta
        How long after its event a label comes, in whole days (hours, of a short table).
    closed_by : str or None
        The column of the moment at which a row's label came; None: the delay is how far labels lag behind
        rows.
    late : mapping of str to str
        Other columns that change when the label comes, and what tells so.
    stopped : bool
        Whether labels lag further behind than they reach back: they do not come any more, it seems.
    """

    rows: int
    since: datetime
    delay: timedelta
    closed_by: str | None
    late: Mapping[str, str]
    stopped: bool = False


def open_rows(
    url: str, table: TableFacts, event: str, target: str, columns: Sequence[str]
) -> OpenRows | None:
    """The newest rows, if they lack the label that older ones have.

    Parameters
    ----------
    url : str
        The source.
    table : TableFacts
        The table.
    event : str
        The column of the moment that a row is about.
    target : str
        The column that is predicted.
    columns : sequence of str
        What may be a feature: looked at for what changes when the label comes.

    Returns
    -------
    OpenRows or None
        None if labels are as complete at the end as before.

    Raises
    ------
    SettingsError, SourceUnavailableError, SourceQueryError
        The URL is wrong; the database is down; it refuses a statement.
    """
    facts = table.column(event)
    short = (
        isinstance(facts.low, datetime)
        and isinstance(facts.high, datetime)
        and facts.high - facts.low < _SHORT
    )
    unit = timedelta(hours=1) if short else timedelta(days=1)
    known = {
        "table": sql.Identifier(table.schema, table.name),
        "event": sql.SQL("{}::timestamptz").format(sql.Identifier(event)),
        "event_column": sql.Identifier(event),
        "target": sql.Identifier(target),
        "unit": sql.Literal("hour" if short else "day"),
    }
    with reading(url) as cursor:
        since = _complete_until(cursor, known, unit)
        if since is None:
            return None
        known["since"] = sql.Literal(since)
        cursor.execute(
            sql.SQL(
                "SELECT count(*), max({event}) FILTER (WHERE isfinite({event})) FROM {table}"
                " WHERE {event} >= {since} AND {target} IS NULL"
            ).format(**known)
        )
        waiting, last = cursor.fetchone()
        closed_by, delay = _closed_by(cursor, known, table, event)
        late = _changing(cursor, known, [table.column(one) for one in columns], waiting)
    stopped = closed_by is None and isinstance(facts.low, datetime) and last - since > since - facts.low
    lag = max(1, ceil((delay or last - since) / unit)) * unit
    return OpenRows(waiting, since, lag, closed_by, late, stopped)


def _complete_until(cursor: Any, known: Mapping[str, Any], unit: timedelta) -> datetime | None:
    """The end of the last day whose labels are as complete as usual, if labels are fewer after it."""
    cursor.execute(
        sql.SQL(
            "SELECT date_trunc({unit}, {event}), count(*), count({target}) FROM {table}"
            " WHERE isfinite({event}) GROUP BY 1 ORDER BY 1"
        ).format(**known)
    )
    days = [(start, rows, labelled) for start, rows, labelled in cursor]
    if not (shares := [labelled / rows for _, rows, labelled in days if labelled]):
        return None
    usual = median(shares)
    complete = [
        place for place, (_, rows, labelled) in enumerate(days) if labelled >= _COMPLETE * usual * rows
    ]
    after = days[complete[-1] + 1 :] if complete else []
    rows, labelled = sum(one[1] for one in after), sum(one[2] for one in after)
    few = usual * rows - labelled > _STRAY * sqrt(usual * (1 - usual) * rows)
    if not after or not few or days[-1][2] > usual * days[-1][1] / 2:
        return None
    since: datetime = days[complete[-1]][0] + unit
    return since


def _closed_by(
    cursor: Any, known: Mapping[str, Any], table: TableFacts, event: str
) -> tuple[str | None, timedelta | None]:
    """The moment that rows have exactly if they have a label, and how long after the event it is."""
    found: list[tuple[timedelta, str]] = []
    for column in table.columns:
        if not column.is_moment or column.name == event or not column.nulls:
            continue
        cursor.execute(
            sql.SQL(
                "SELECT count(*) FILTER (WHERE {m} IS NOT NULL AND {target} IS NULL) = 0"
                " AND count({m}) >= {most} * count({target}) AND min({m} - {event}) >= interval '0',"
                " percentile_disc({most}) WITHIN GROUP (ORDER BY {m} - {event}) FROM {table}"
                " WHERE isfinite({event}) AND ({m} IS NULL OR isfinite({m}))"
            ).format(
                **known,
                m=sql.SQL("{}::timestamptz").format(sql.Identifier(column.name)),
                most=sql.Literal(_MOST),
            )
        )
        with_label, delay = cursor.fetchone()
        if with_label:
            found.append((delay, column.name))
    if not found:
        return None, None
    delay, name = max(found)
    return name, delay


def _changing(
    cursor: Any, known: Mapping[str, Any], columns: Sequence[ColumnFacts], waiting: int
) -> dict[str, str]:
    """Columns without a value, or with a value of their own, in the rows that wait for their label."""
    late: dict[str, str] = {}
    for start in range(0, len(columns), _AT_ONCE):
        asked = columns[start : start + _AT_ONCE]
        questions = [question for column in asked for question in _about(column, known, waiting)]
        cursor.execute(sql.SQL("SELECT {} FROM {table}").format(sql.SQL(", ").join(questions), **known))
        answers = iter(cursor.fetchone())
        for column in asked:
            missing, share_missing, other = next(answers), next(answers) or 0, next(answers)
            if missing and share_missing**waiting < _BY_CHANCE:
                late[column.name] = f"has no value in the {number_of(waiting, 'row')} without a label"
            elif other:
                late[column.name] = (
                    f"has a value of its own in the {number_of(waiting, 'row')} without a label"
                )
    return late


def _about(column: ColumnFacts, known: Mapping[str, Any], waiting: int) -> list[sql.Composable]:
    named = {**known, "c": sql.Identifier(column.name)}
    wait = sql.SQL("{event} >= {since} AND {target} IS NULL").format(**known)
    few: sql.Composable = sql.SQL("false")
    if column.postgres in _TEXTS and waiting >= _ROWS_PER_VALUE:
        few = sql.SQL(
            "count(DISTINCT {c}::text) FILTER (WHERE {wait}) BETWEEN 1 AND {most} AND"
            " (SELECT count(*) FILTER (WHERE o.{c}::text IN (SELECT w.{c}::text FROM {table} w"
            " WHERE w.{target} IS NULL AND w.{e}::timestamptz >= {since})) <= {none} * count(*)"
            " FROM {table} o WHERE o.{target} IS NOT NULL)"
        ).format(
            **named,
            wait=wait,
            e=known["event_column"],
            most=sql.Literal(waiting // _ROWS_PER_VALUE),
            none=sql.Literal(_ALMOST_NONE),
        )
    return [
        sql.SQL("count({c}) FILTER (WHERE {wait}) = 0").format(**named, wait=wait),
        sql.SQL(
            "(count(*) FILTER (WHERE {target} IS NOT NULL AND {c} IS NULL))::float8"
            " / nullif(count({target}), 0)"
        ).format(**named),
        few,
    ]
