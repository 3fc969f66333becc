"""Which columns of a table are filled only with the outcome, as far as their values tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from psycopg2 import sql

from rescore.source.inspection import TableFacts, reading

__all__ = ["late_columns"]

#: Of the rows of which either is missing, so many are missing both: they arrive together.
_TOGETHER = 0.9
#: A correlation with the time until the outcome that no feature of before it has.
_ALIKE = 0.95
_NUMBERS = {"int2", "int4", "int8", "float4", "float8", "numeric"}
_MIN_ROWS = 30
#: Questions that are asked in one query.
_MAX_QUESTIONS = 500
#: A column, what is suspected of it, and the SQL that says whether it is so.
_Question = tuple[str, str, sql.Composable]


def late_columns(
    url: str, table: TableFacts, columns: Sequence[str], event: str | None, target: str
) -> dict[str, str]:
    """Columns that are known only after the event, each with what tells so.

    A column that is NULL in the rows that have no label yet arrives with the label. One that measures
    how long it took until a later moment of the row was not known before that moment.

    Parameters
    ----------
    url : str
        The source.
    table : TableFacts
        The table.
    columns : sequence of str
        The columns looked at.
    event : str or None
        The column of the moment that a row is about.
    target : str
        The column that is predicted.
    """
    questions = [*_about_missing(table, columns, target), *_about_durations(table, columns, event)]
    late: dict[str, str] = {}
    for start in range(0, len(questions), _MAX_QUESTIONS):
        asked = questions[start : start + _MAX_QUESTIONS]
        with reading(url) as cursor:
            cursor.execute(
                sql.SQL("SELECT {} FROM {}").format(
                    sql.SQL(", ").join(question for _, _, question in asked),
                    sql.Identifier(table.schema, table.name),
                )
            )
            answers = cursor.fetchone()
        for (name, why, _), answer in zip(asked, answers, strict=True):
            if answer:
                late.setdefault(name, why)
    return late


def _about_missing(table: TableFacts, columns: Sequence[str], target: str) -> Iterator[_Question]:
    if not 0 < table.column(target).nulls < table.rows:
        return
    for name in columns:
        if 0 < table.column(name).nulls < table.rows:
            yield name, f"is missing in the rows in which {target} is", _missing_together(name, target)


def _about_durations(table: TableFacts, columns: Sequence[str], event: str | None) -> Iterator[_Question]:
    if event is None:
        return
    moments = [column.name for column in table.columns if column.is_moment and column.name != event]
    for name in columns:
        if table.column(name).postgres in _NUMBERS:
            for moment in moments:
                yield name, f"measures the time from {event} to {moment}", _measures(name, event, moment)


def _missing_together(name: str, target: str) -> sql.Composable:
    return sql.SQL(
        "count(*) FILTER (WHERE {c} IS NULL AND {t} IS NULL)"
        " >= {share} * count(*) FILTER (WHERE {c} IS NULL OR {t} IS NULL)"
    ).format(c=sql.Identifier(name), t=sql.Identifier(target), share=sql.Literal(_TOGETHER))


def _measures(name: str, event: str, moment: str) -> sql.Composable:
    """Whether the column goes with how long after the event the moment is, which has to vary.

    Numbers whose square no ``float8`` holds measure no time.
    """
    passed = sql.SQL("extract(epoch FROM {m}::timestamptz - {e}::timestamptz)::float8").format(
        m=sql.Identifier(moment), e=sql.Identifier(event)
    )
    usable = sql.SQL("isfinite({m}) AND isfinite({e}) AND {c} BETWEEN -1e100 AND 1e100").format(
        m=sql.Identifier(moment), e=sql.Identifier(event), c=sql.Identifier(name)
    )
    return sql.SQL(
        "count(*) FILTER (WHERE {u}) >= {least} AND min({p}) FILTER (WHERE {u}) >= 0"
        " AND abs(corr({c}::float8, {p}) FILTER (WHERE {u})) >= {alike}"
    ).format(
        u=usable, p=passed, c=sql.Identifier(name),
        least=sql.Literal(_MIN_ROWS), alike=sql.Literal(_ALIKE),
    )  # fmt: skip
