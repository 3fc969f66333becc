"""Draft a model folder from a table: what can be read off it is decided, the rest is marked ``DECIDE``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

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
    target_kind_of,
)  # fmt: skip
from rescore.authoring.estimators import DEFAULT, missing_library, refuse_unfit
from rescore.authoring.rhythm import Rhythm, rhythm_of
from rescore.errors import ParameterError
from rescore.interval import Schedule
from rescore.shown_text import number_of
from rescore.source import ColumnFacts, OpenRows, TableFacts
from rescore.spec_values import duration_text

__all__ = ["Draft", "LabelTable", "draft"]


@dataclass(frozen=True)
class LabelTable:
    """Another table that holds the labels, and the condition under which its row ``l`` was known."""

    table: TableFacts
    known_sql: str | None


@dataclass(frozen=True)
class Draft:
    """All that was decided about a model folder, and on what grounds.

    Attributes
    ----------
    event_time : str or None
        SQL of the moment a row is about; None where no column tells it: each run then scores all rows.
    without_event : int
        Rows that have no such moment, and so are in no interval.
    known_by : tuple of str
        The column, or the two of a valid range; empty for ``none``.
    versions : bool
        Whether a key has several rows, of which the last one known counts.
    labels : LabelTable or None
        Where the labels are, if not in the same row.
    to_come : OpenRows or None
        The newest rows, if their labels are still to come into the same rows.
    label_known_sql : str or None
        The condition under which the label in a row was known, where its row was known before.
    left_out : sequence of (str, str)
        Columns that are no feature, and why.
    decide : sequence of str
        What a person has to look at.
    """

    name: str
    connection: str
    table: TableFacts
    key: Sequence[Drafted]
    event_time: str | None
    event_column: str | None
    without_event: int
    known_by: tuple[str, ...]
    known_sql: str | None
    versions: bool
    features: Sequence[Drafted]
    target: Drafted
    target_kind: str
    positive: str | None
    labels: LabelTable | None
    to_come: OpenRows | None
    label_known_sql: str | None
    rhythm: Rhythm
    left_out: Sequence[tuple[str, str]]
    decide: Sequence[str]
    last_event: datetime | None
    estimator: str

    def decided(self, about: str) -> bool:
        """Whether a person is asked about something."""
        return any(one.startswith(f"{about}:") for one in self.decide)

    @property
    def still_to_come(self) -> str:
        """What rows wait for their label, and when it is known; empty where none do."""
        if self.to_come is None:
            return ""
        how = f"from {self.to_come.closed_by} on" if self.to_come.closed_by else "that long after its event"
        return (
            f"{number_of(self.to_come.rows, 'row')} since {self.to_come.since:%Y-%m-%d %H:%M} UTC have no "
            f"{self.target.name} yet; they are scored as they are, and a label counts {how} "
            f"(target.delay: {self.delay})"
        )

    @property
    def delay(self) -> str:
        """How long after an interval its labels are known, as model.yaml writes it."""
        return duration_text(self.to_come.delay if self.to_come else timedelta(0))

    @property
    def meaning(self) -> str:
        """What consumers read."""
        if self.target_kind == "regression":
            return f"expected {self.target.name}"
        if self.target_kind == "multiclass":
            return f"how sure the model is of the {self.target.name} it names"
        return f"probability that {self.target.name} is {(self.positive or '').strip(chr(39))}"


def draft(
    name: str,
    connection: str,
    table: TableFacts,
    *,
    key: Sequence[str] = (),
    event_time: str | None = None,
    target: str | None = None,
    label_table: TableFacts | None = None,
    estimator: str = DEFAULT,
    keep: Sequence[str] = (),
    schedule: str | None = None,
    unique: Callable[[TableFacts, Sequence[str]], bool] = lambda table, key: True,
    late: Callable[[Sequence[str], str | None, str], dict[str, str]] = lambda columns, event, target: {},
    to_come: Callable[[Sequence[str], str, str], OpenRows | None] = lambda columns, event, target: None,
) -> Draft:
    """Decide what a table's facts allow to decide.

    Parameters
    ----------
    name, connection, table, key, event_time, target, label_table, estimator, keep, schedule
        As :func:`new_model` was asked, the tables looked at.
    unique : callable
        Of a table and columns: whether they identify its rows.
    late : callable
        Of columns, the event's and the target's: those known only after the event, and why.
    to_come : callable
        Of the same: the newest rows, if their labels are still to come.

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
    decide += [
        f"source.key: {one} is a numeric that is no int8 in every row; its key is written as text"
        for one in keys[0]
        if table.column(one).postgres == "numeric" and not table.column(one).whole
    ]
    if target is None:
        decide.append(f"target: {label.name} was guessed; name the column that is to be predicted")
    target_kind, positive, label_sql = target_kind_of(label, decide, row)
    refuse_unfit(estimator, target_kind)
    if extra := missing_library(estimator):
        decide.append(f"pipeline.py needs {extra}, which is not installed: pip install 'rescore[{extra}]'")
    drafted_target = Drafted(names.of(label.name), label, label_sql)
    roles = {*keys[0], *keys[1], *known_by} | ({event.name} if event else set())
    columns = [one for one in table.columns if one.name not in roles and (labels or one.name != label.name)]
    versions = bool(known_by) and known_by[0] in keys[1]
    known_late: Mapping[str, str] = {}
    waiting = ended = until = None
    if not labels:
        asked = [one.name for one in columns]
        known_late = late(asked, event.name if event else None, label.name)
        if event and label.nulls and not versions and len(known_by) < 2:
            waiting = to_come(asked, event.name, label.name)
            until = waiting.since if waiting else None
            ended, waiting = (waiting, None) if waiting and waiting.stopped else (None, waiting)
            known_late = {**(waiting.late if waiting else {}), **known_late}
    features, left_out = _features(columns, event, table, names, known_late, keep)
    rhythm = rhythm_of(table, event, schedule, until)
    decide += [
        *([_ended(ended, name, label.name, rhythm)] if ended else []),
        *_more_to_decide(table, event, event_time, known_by, left_out, waiting),
        *_decide_on_features(features, known_late, keep),
    ]
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
        versions=versions,
        features=features,
        target=drafted_target,
        target_kind=target_kind,
        positive=positive,
        labels=labels,
        to_come=waiting,
        label_known_sql=_label_known_sql(table, event, waiting) if event and waiting else None,
        rhythm=rhythm,
        left_out=left_out,
        decide=decide,
        last_event=event.high if event and isinstance(event.high, datetime) else None,
        estimator=estimator,
    )


def _decide_on_features(
    features: Sequence[Drafted], known_late: Mapping[str, str], keep: Sequence[str]
) -> Iterator[str]:
    for one in features:
        if one.decide:
            yield f"features: {one.name} is {one.decide}"
    for column, why in known_late.items():
        question = "kept; is it known at the event?" if column in keep else "known only after the event?"
        yield f"features: {column} {why}: {question}"


def _features(
    columns: Sequence[ColumnFacts],
    event: ColumnFacts | None,
    table: TableFacts,
    names: Names,
    known_late: Mapping[str, str],
    keep: Sequence[str],
) -> tuple[list[Drafted], list[tuple[str, str]]]:
    """The columns that can be features or are to be kept, and the others with why not."""
    for name in keep:
        if table.column(name) not in columns:
            raise ParameterError(
                f"--keep {name}: it is no feature, but key, target, event time or known-by column",
                expected="a column that would be left out otherwise",
                fix=f"leave out --keep {name}, or name another column for what it is now",
            )
    features: list[Drafted] = []
    left_out: list[tuple[str, str]] = []
    for column in columns:
        kept = column.name in keep
        if column.name in known_late and not kept:
            left_out.append((column.name, f"DECIDE: {known_late[column.name]}, so not known at the event"))
            continue
        feature, why = feature_of(column, event, table.rows, names, kept=kept)
        if feature is None and kept:
            raise ParameterError(
                f"--keep {column.name}: {why}",
                where=f"{table.schema}.{table.name}",
                expected="a column of numbers, booleans, moments, or texts of few values",
                fix="write a view that has it as one of these, and name that",
            )
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


def _label_known_sql(table: TableFacts, event: ColumnFacts, waiting: OpenRows) -> str:
    """From when on a label counts that comes into a row which is there already."""
    if waiting.closed_by:
        return f"{moment_sql(table.column(waiting.closed_by))} <= :as_of"
    hours = waiting.delay // timedelta(hours=1)
    return f"{moment_sql(event)} + interval '{hours} hours' <= :as_of"


def _ended(rows: OpenRows, model: str, target: str, rhythm: Rhythm) -> str:
    """Labels are recorded no more, it seems; what to type to learn from those there are."""
    last = Schedule(rhythm.cron).floor(rows.since)
    return (
        f"target: {number_of(rows.rows, 'row')} since {rows.since:%Y-%m-%d} have no {target}: is it "
        f"no longer recorded? `rescore check {model} --day {last:%Y-%m-%d}` and "
        f"`rescore train {model} --as-of {last:%Y-%m-%dT%H:%MZ}` look at rows before"
    )


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


def _more_to_decide(
    table: TableFacts,
    event: ColumnFacts | None,
    named: str | None,
    known_by: tuple[str, ...],
    left_out: Sequence[tuple[str, str]],
    waiting: OpenRows | None,
) -> list[str]:
    delay = "how long after an interval its labels are known"
    if waiting is not None:
        said = f"99 % come that soon, by {waiting.closed_by}" if waiting.closed_by else "labels lag that far"
        delay = f"{duration_text(waiting.delay)} was taken, as {said}"
    open_questions = ["owner: who answers for this model", f"target.delay: {delay}"]
    if not known_by:
        open_questions.append(
            "source.known_by: no column says when a row was recorded, so history can't be read again"
        )
    elif len(known_by) == 1:
        open_questions.append(
            f"source.known_by: does {known_by[0]} say when a row was known, and is "
            + ("nothing changed later but the label?" if waiting else "no row changed later?")
        )
    if event is None:
        open_questions.append(
            "source.event_time: no column says when a row is about, so each run scores every row"
        )
    elif named is None:
        open_questions.append(f"source.event_time: {event.name} was guessed")
    if event is not None and event.nulls:
        open_questions.append(
            f"source.event_time: {number_of(event.nulls, 'row has', 'rows have')} none: such are never scored"
        )
    if event is not None and event.postgres != "timestamptz":
        open_questions.append(f"source.event_time: {event.name} has no time zone and was read as UTC")
    if left_out:
        open_questions.append(f"features: left out are {', '.join(name for name, _ in left_out)}")
    return open_questions
