"""A model folder from a table: what can be read off it is decided, the rest is marked ``DECIDE``."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp

from rescore import source
from rescore.authoring.column_roles import (
    Drafted,
    Names,
    feature_of,
    find_event,
    find_key,
    find_known_by,
    find_target,
    key_sql,
    known_sql,
    moment_sql,
    plain_name,
    target_kind_of,
)  # fmt: skip
from rescore.authoring.draft import Draft, LabelTable, Rhythm
from rescore.authoring.file_templates import files
from rescore.errors import ParameterError
from rescore.folder import ModelFolder, load_model
from rescore.pipeline import Context, utc_now
from rescore.source import ColumnFacts, TableFacts

__all__ = ["draft", "new_model"]

#: Rows that an interval should have at least for its drift to say something.
_ROWS_PER_INTERVAL = 20


def new_model(
    ctx: Context,
    name: str,
    table: str,
    *,
    connection: str = "source",
    key: Sequence[str] = (),
    event_time: str | None = None,
    target: str | None = None,
    labels_from: str | None = None,
) -> tuple[ModelFolder, Draft]:
    """Write the folder of a new model, drafted from a table; whole, or not at all.

    Parameters
    ----------
    ctx : Context
        Where models are; how connections resolve.
    name : str
        The model: lower-case letters, digits and ``_``.
    table : str
        ``schema.table``, as the database has it.
    connection : str
        The source connection's id.
    key, event_time, target : optional
        Columns; default what the table's constraints, types and names suggest.
    labels_from : str, optional
        Another table, ``schema.table``, that has the target and the key's columns by the same names.

    Returns
    -------
    tuple of ModelFolder and Draft
        The folder as read back, and what was decided.

    Raises
    ------
    ParameterError
        The name, a table or a column is wrong; there is a folder of that name; the table has no key.
    """
    destination = _free_folder(ctx, name)
    schema, relation = _schema_and_table(table, "--table")
    url = ctx.connection(connection)
    ctx.progress(f"looking at {table}")
    facts = source.inspect_table(url, schema, relation)
    label_facts = None
    if labels_from is not None:
        ctx.progress(f"looking at {labels_from}")
        label_facts = source.inspect_table(url, *_schema_and_table(labels_from, "--labels-from"))
    made = draft(
        name, connection, facts, key=key, event_time=event_time, target=target, label_table=label_facts,
        unique=lambda table, columns: source.is_unique(url, table, columns),
        late=lambda columns, event, label: source.late_columns(url, facts, columns, event, label),
    )  # fmt: skip
    ctx.settings.models.mkdir(parents=True, exist_ok=True)
    partial = Path(mkdtemp(prefix=f".{name}.", dir=ctx.settings.models))
    try:
        for relative, content in files(made).items():
            path = partial / name / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        load_model(partial, name, shared=ctx.settings.models.parent / "features")
        (partial / name).rename(destination)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return ctx.model(name), made


def _free_folder(ctx: Context, name: str) -> Path:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,47}", name):
        raise ParameterError(
            f"{name!r} can't be a model's name",
            expected="lower-case letters, digits and _, at most 48, starting with a letter",
            fix=f"try {plain_name(name) or 'my_model'}",
        )
    destination = ctx.settings.models / name
    if destination.exists():
        raise ParameterError(
            f"there is a folder {name} already",
            where=str(destination),
            expected="a name that no model has",
            fix="choose another name, or remove that folder first",
        )
    return destination


def _schema_and_table(table: str, option: str) -> tuple[str, str]:
    schema, dot, relation = table.partition(".")
    if not (dot and schema and relation):
        raise ParameterError(
            f"{option} {table!r} does not name a schema and a table",
            expected="schema.table",
            fix=f"write public.{table}, if it is in that schema",
        )
    return schema, relation


def draft(
    name: str,
    connection: str,
    table: TableFacts,
    *,
    key: Sequence[str] = (),
    event_time: str | None = None,
    target: str | None = None,
    label_table: TableFacts | None = None,
    unique: Callable[[TableFacts, Sequence[str]], bool] = lambda table, key: True,
    late: Callable[[Sequence[str], str | None, str], dict[str, str]] = lambda columns, event, target: {},
) -> Draft:
    """Decide what a table's facts allow to decide.

    Parameters
    ----------
    name, connection, table, key, event_time, target, label_table
        As :func:`new_model` was asked, the tables looked at.
    unique : callable
        Of a table and columns: whether they identify its rows.
    late : callable
        Of columns, the event's and the target's: those known only after the event, and why.

    Raises
    ------
    ParameterError
        A column that is named does not exist or can't be what it is to be; nothing identifies a row.
    """
    known_by = find_known_by(table)
    keys = find_key(table, key, known_by, lambda columns: unique(table, columns))
    names = Names()
    drafted_key = [
        Drafted(names.of(one), table.column(one), key_sql(table.column(one), table)) for one in keys[0]
    ]
    event = find_event(table, event_time, known_by)
    decide: list[str] = []
    if label_table is None:
        labels, row = None, "t"
        label = find_target(table, target, {*keys[0], *known_by, event.name if event else ""})
    else:
        labels, row = _label_table(label_table, keys[0], decide, unique), "l"
        label = find_target(label_table, target, {*keys[0], *find_known_by(label_table)})
    if target is None:
        decide.append(f"target: {label.name} was guessed; name the column that is to be predicted")
    target_kind, positive, label_sql = target_kind_of(label, decide, row)
    drafted_target = Drafted(names.of(label.name), label, label_sql)
    roles = {*keys[0], *keys[1], *known_by} | ({event.name} if event else set())
    columns = [one for one in table.columns if one.name not in roles and (labels or one.name != label.name)]
    known_late = (
        {} if labels else late([one.name for one in columns], event.name if event else None, label.name)
    )
    features, left_out = _features(columns, event, table, names, known_late)
    return Draft(
        name=name,
        connection=connection,
        table=table,
        key=drafted_key,
        event_time=moment_sql(event) if event else None,
        event_column=event.name if event else None,
        without_event=event.nulls if event else 0,
        known_by=known_by,
        known_sql=known_sql(table, known_by),
        versions=bool(known_by) and known_by[0] in keys[1],
        features=features,
        target=drafted_target,
        target_kind=target_kind,
        positive=positive,
        labels=labels,
        rhythm=_rhythm(table, event),
        left_out=left_out,
        decide=[
            *decide,
            *_more_to_decide(table, event, event_time, known_by, left_out),
            *(f"features: {one.name} is {one.decide}" for one in features if one.decide),
            *(f"features: {column} {why}: known only after the event?" for column, why in known_late.items()),
        ],
        last_event=event.high if event and isinstance(event.high, datetime) else None,
    )


def _features(
    columns: Sequence[ColumnFacts],
    event: ColumnFacts | None,
    table: TableFacts,
    names: Names,
    known_late: Mapping[str, str],
) -> tuple[list[Drafted], list[tuple[str, str]]]:
    """The columns that can be features, and the others with why not."""
    features: list[Drafted] = []
    left_out: list[tuple[str, str]] = []
    for column in columns:
        if column.name in known_late:
            left_out.append((column.name, f"DECIDE: {known_late[column.name]}, so not known at the event"))
            continue
        feature, why = feature_of(column, event, table.rows, names)
        if feature is None:
            left_out.append((column.name, why))
        else:
            features.append(feature)
    if not features:
        raise ParameterError(
            f"no column of {table.schema}.{table.name} can be a feature",
            expected="a number, a boolean, a moment, or a text of few values, beside key and target",
            examples=[f"{column}: {why}" for column, why in left_out],
            fix="write a view that has them, and name that",
        )
    return features, left_out


def _label_table(
    table: TableFacts,
    key: Sequence[str],
    decide: list[str],
    unique: Callable[[TableFacts, Sequence[str]], bool],
) -> LabelTable:
    """The table that holds the labels, one row a key."""
    for name in key:
        table.column(name)
    if not unique(table, key):
        raise ParameterError(
            f"{', '.join(key)} does not identify a row of {table.schema}.{table.name}",
            expected="one label for each key",
            fix="write a view that has the one row of each key that counts, and name that",
        )
    known_by = find_known_by(table)
    if not known_by:
        decide.append(f"labels.sql: no column of {table.name} says when a label was recorded")
    return LabelTable(table, known_sql(table, known_by, "l"))


def _rhythm(table: TableFacts, event: ColumnFacts | None) -> Rhythm:
    """The shortest of day, week and month that gives enough rows an interval and enough intervals."""
    if event is None or not isinstance(event.low, datetime) or not isinstance(event.high, datetime):
        today = utc_now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return Rhythm("0 0 * * *", "every day", today, intervals=14, holdout=2, gaps=False)
    span = event.high - event.low + timedelta(seconds=1)
    choices = [
        ("0 0 * * *", "every day", timedelta(days=1)),
        ("0 0 * * 1", "every week", timedelta(days=7)),
        ("0 0 1 * *", "every month", timedelta(days=30.44)),
    ]
    if span < timedelta(days=4):
        choices.insert(0, ("0 * * * *", "every hour", timedelta(hours=1)))
    usable = [one for one in choices if span / one[2] >= 4] or choices[:1]
    cron, words, length = next(
        (one for one in usable if table.rows / (span / one[2]) >= _ROWS_PER_INTERVAL), usable[-1]
    )
    whole = max(2, int(span / length))
    intervals = min(90, max(2, whole * 3 // 4))
    start = event.low.replace(minute=0, second=0, microsecond=0)
    start = start if words == "every hour" else start.replace(hour=0)
    distinct = event.distinct or 0
    return Rhythm(
        cron, words, start, intervals, max(1, intervals // 6),
        gaps=table.rows / (span / length) < 3 * _ROWS_PER_INTERVAL or distinct < whole,
    )  # fmt: skip


def _more_to_decide(
    table: TableFacts,
    event: ColumnFacts | None,
    named: str | None,
    known_by: tuple[str, ...],
    left_out: Sequence[tuple[str, str]],
) -> list[str]:
    open_questions = [
        "owner: who answers for this model",
        "target.delay: how long after an interval its labels are known",
    ]
    if not known_by:
        open_questions.append(
            "source.known_by: no column says when a row was recorded, so history can't be read again"
        )
    elif len(known_by) == 1:
        open_questions.append(
            f"source.known_by: does {known_by[0]} say when a row was known, and is no row changed later?"
        )
    if event is None:
        open_questions.append(
            "source.event_time: no column says when a row is about, so each run scores every row"
        )
    elif named is None:
        open_questions.append(f"source.event_time: {event.name} was guessed")
    if event is not None and event.nulls:
        open_questions.append(f"source.event_time: {event.nulls:,} rows have none and are never scored")
    if event is not None and event.postgres != "timestamptz":
        open_questions.append(f"source.event_time: {event.name} has no time zone and was read as UTC")
    if left_out:
        open_questions.append(f"features: left out are {', '.join(name for name, _ in left_out)}")
    return open_questions
