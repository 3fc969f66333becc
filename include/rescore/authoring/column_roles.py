"""What each column of a table can be in a model: key, event time, known-by, feature, target."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from rescore import source
from rescore.errors import ParameterError
from rescore.shown_text import number_of
from rescore.source import ColumnFacts, TableFacts

__all__ = [
    "Drafted", "Names", "feature_of", "find_event", "find_key", "find_known_by", "find_target", "key_sql",
    "known_sql", "moment_sql", "plain_name", "quoted", "target_kind_of",
]  # fmt: skip

#: Names that say when a row was recorded, and so known; ``updated_at`` says that rows are rewritten.
_RECORDED = (
    "recorded_at", "loaded_at", "ingested_at", "inserted_at", "known_at", "_loaded_at", "etl_loaded_at",
    "load_time", "ingestion_time", "_ingested_at", "created_at",
)  # fmt: skip
_VALID_RANGES = (
    ("valid_from", "valid_to"), ("dbt_valid_from", "dbt_valid_to"), ("_valid_from", "_valid_to"),
    ("effective_from", "effective_to"),
)  # fmt: skip
_REWRITTEN = ("updated_at", "modified_at", "changed_at", "last_modified", "last_updated")
#: Rows without a moment are in no interval; a moment that more of them lack is not guessed.
_MAX_WITHOUT_EVENT = 0.01
_TARGETS = ("target", "label", "outcome", "y")
_TAKEN = {
    "run_id", "position", "score", "label", "kind", "reason", "released_by", "interval_start", "interval_end",
    "published_at", "superseded_at", "package_version", "verdict", "sequence", "event_time",
}  # fmt: skip
_RARE = "rare"
#: Whole numbers of a target that may as well be the codes of classes.
_FEW = 12
#: Years of a column that is named so; years that a column of any name is taken for.
_YEARS, _RECENT_YEARS = (1000.0, 3000.0), (1900.0, 2100.0)
_CALENDAR_YEAR = "a calendar year: in the next one its value lies outside training; an age would not"
_TEXTS = {"text", "varchar", "bpchar", "enum"}
#: Selected as text: an enumeration has no type of a feature, char(n) pads its values with blanks.
_AS_TEXT = {"enum", "bpchar"}
_NUMBERS = {"int2", "int4", "int8", "float4", "float8", "numeric"}
_KEYS = _TEXTS | {"int2", "int4", "int8", "numeric", "bool", "date", "timestamptz", "timestamp", "uuid"}


@dataclass(frozen=True)
class Drafted:
    """One column of the extract.

    ``expression`` is SQL over the table's row ``t``; ``kind`` is a feature's, empty for a key; ``decide``
    is what a person has to decide about it; ``levels`` are a category's values.
    """

    name: str
    column: ColumnFacts
    expression: str
    kind: str = ""
    note: str = ""
    decide: str = ""
    levels: tuple[str, ...] = ()

    @property
    def usual_range(self) -> tuple[float, float] | None:
        """The range seen and half as much on each side; no less than 0 where nothing was."""
        low, high = self.column.low, self.column.high
        if self.kind != "numeric" or not isinstance(low, float) or not isinstance(high, float):
            return None
        room = (high / 2 - low / 2) or 1.0
        if not max(abs(low), abs(high), room) < 1e300:
            return None
        digits = 3 - math.floor(math.log10(room))  # no more than the room has: a person reads it
        least = 0.0 if low >= 0 and low - room < 0 else low - room
        return round(least, digits), round(high + room, digits)


def quoted(name: str, row: str = "t") -> str:
    """A column of the table's row ``t``, or of another, taken literally."""
    return f"{row}.{source.quote_identifier(name)}"


class Names:
    """Output names: lower case, distinct, none that tables of ours have."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def of(self, column: str) -> str:
        """A name for a column, given once."""
        base = plain_name(column) or "column"
        base = f"{base}_" if base in _TAKEN else base
        name, number = base, 2
        while name in self._given:
            name, number = f"{base}_{number}", number + 1
        self._given.add(name)
        return name


def plain_name(name: str) -> str:
    """A lower-case identifier made of a name; empty where nothing is left."""
    split = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()
    plain = re.sub(r"[^a-z0-9]+", "_", split).strip("_")
    return (plain if not plain[:1].isdigit() else f"c_{plain}")[:48]


def _spelled(name: str) -> str:
    """A name as the lists above spell it: ``recordedAt`` and ``Recorded At`` are ``recorded_at``."""
    return re.sub(r"[^a-z0-9]", "_", re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower())


def find_known_by(table: TableFacts) -> tuple[str, ...]:
    """The column that says when a row was recorded, or a valid range; none if rows are rewritten."""
    by_name = {_spelled(column.name): column for column in table.columns}
    for start, end in _VALID_RANGES:
        if start in by_name and end in by_name and by_name[start].is_moment and by_name[end].is_moment:
            return by_name[start].name, by_name[end].name
    if any(name in by_name and by_name[name].is_moment for name in _REWRITTEN):
        return ()  # rows are rewritten in place: the row of the time is gone
    for name in _RECORDED:
        column = by_name.get(name)
        if column is not None and column.postgres in {"timestamptz", "timestamp"} and column.nulls == 0:
            return (column.name,)
    return ()


def known_sql(table: TableFacts, known_by: tuple[str, ...], row: str = "t") -> str | None:
    """The condition that a row was known by ``:as_of``."""
    if not known_by:
        return None
    moments = [moment_sql(table.column(name), row) for name in known_by]
    if len(moments) == 1:
        return f"{moments[0]} <= :as_of"
    return f"{moments[0]} <= :as_of AND ({quoted(known_by[1], row)} IS NULL OR {moments[1]} > :as_of)"


def find_key(
    table: TableFacts,
    named: Sequence[str],
    known_by: tuple[str, ...],
    unique: Callable[[Sequence[str]], bool],
) -> tuple[list[str], set[str]]:
    """The columns that identify a row, and those of its unique key that only tell its versions apart."""
    candidates = [named] if named else [one for one in (table.primary_key, *table.unique_keys) if one]
    problems = []
    for candidate in candidates:
        kept = [name for name in candidate if name not in known_by]
        wrong = [
            f"{name} is {table.column(name).postgres}"
            for name in kept
            if table.column(name).postgres not in _KEYS
        ]
        if wrong or not kept:
            problems.append(", ".join(wrong) or f"{', '.join(candidate)} tells only when a row was known")
            continue
        if named and not known_by and not unique(kept):
            problems.append(f"{', '.join(kept)}: some rows share it, or it is NULL in some")
            continue
        return kept, set(candidate) - set(kept)
    raise ParameterError(
        f"nothing identifies a row of {table.schema}.{table.name}"
        if not named
        else f"{', '.join(named)} does not identify a row of {table.schema}.{table.name}",
        expected="a primary key, a unique index on columns that are never NULL, or --key COLUMN",
        examples=problems,
        fix="name the columns: --key a --key b; if none tell rows apart, add an identity column"
        if not named
        else "name columns that are unique together, never NULL, of whole numbers, text, dates or moments",
    )


def find_event(table: TableFacts, named: str | None, known_by: tuple[str, ...]) -> ColumnFacts | None:
    """The moment that a row is about: the column named, else what types and names suggest."""
    if named is not None:
        column = table.column(named)
        if not column.is_moment or column.nulls == table.rows:
            problem = "is NULL in every row" if column.is_moment else f"is {column.postgres}"
            raise ParameterError(
                f"--event-time {named} {problem}",
                expected="a timestamp or a date that rows have",
                fix="name another column, or leave it out",
            )
        return column
    moments = [
        one for one in table.columns
        if one.is_moment
        and one.nulls <= _MAX_WITHOUT_EVENT * table.rows
        and one.name not in known_by[1:]
        and _spelled(one.name) not in _REWRITTEN
    ]  # fmt: skip
    # The moment a row was known is the last choice: most often it is a little later than the event.
    known = table.column(known_by[0]) if known_by else None
    order = {"event_time": 0, "timestamp": 1, "ts": 1, "date": 1, "day": 1}
    moments.sort(
        key=lambda one: (
            one.name in known_by, _lies_after(one, known), order.get(_spelled(one.name), 2),
            one.postgres == "date", one.nulls > 0,
        )
    )  # fmt: skip
    return moments[0] if moments else None


def _lies_after(one: ColumnFacts, known: ColumnFacts | None) -> bool:
    """Whether a moment begins and ends later than rows were known: a plan, or what came of the event."""
    bounds = (one.low, one.high, known and known.low, known and known.high)
    if known is None or not all(isinstance(bound, datetime) for bound in bounds):
        return False
    return one.low > known.low and one.high > known.high  # type: ignore[operator]


def find_target(table: TableFacts, named: str | None, taken: set[str]) -> ColumnFacts:
    """What is predicted: the column named, else a guess."""
    if named is not None:
        column = table.column(named)
        if column.name in taken:
            raise ParameterError(
                f"--target {named} is already the key, the event time or when the row was known",
                expected="another column",
                fix="name the column that is to be predicted",
            )
        if column.postgres not in _TEXTS | _NUMBERS | {"bool"} or column.distinct in {0, 1}:
            few = {0: "is NULL in every row", 1: "has one value only"}
            what = few.get(-1 if column.distinct is None else column.distinct, f"is {column.postgres}")
            raise ParameterError(
                f"--target {named} {what}",
                expected="a number, a boolean or a text that differs between rows",
                fix="name another column",
            )
        if column.postgres in _TEXTS and (column.distinct or 0) > max(50, table.rows / 20):
            raise ParameterError(
                f"--target {named} is a text of {number_of(column.distinct or 0, 'value')} in "
                f"{number_of(table.rows, 'row')}",
                expected="a text of few values, each of many rows: a class is learnt from its rows",
                fix="name another column, or one of a view that puts its values into classes",
            )
        return column
    free = [
        one
        for one in table.columns
        if one.name not in taken and one.distinct is not None and one.distinct > 1
    ]
    for test in (
        lambda one: _spelled(one.name) in _TARGETS and not one.is_moment,
        lambda one: one.postgres == "bool",
        lambda one: one.postgres in {"float4", "float8", "numeric"},
        lambda one: one.postgres in _NUMBERS,
        lambda one: one.postgres in _TEXTS and bool(one.levels) and one.is_of_few_values,
    ):
        if found := [one for one in free if test(one)]:
            return found[-1]
    raise ParameterError(
        f"no column of {table.schema}.{table.name} can be a target",
        expected="a number, a boolean or a text of few values beside the key",
        fix="name it: --target COLUMN",
    )


def target_kind_of(column: ColumnFacts, decide: list[str], row: str = "t") -> tuple[str, str | None, str]:
    """Kind, the positive value as YAML, and the SQL of the label."""
    name = quoted(column.name, row)
    if column.postgres == "bool":
        return "binary", "true", name
    if column.postgres in _TEXTS:
        if column.distinct == 2 and len(column.levels) == 2:
            decide.append(f"target.positive: the rarer value, {column.levels[-1]!r}, was taken")
            return "binary", _yaml_text(column.levels[-1]), f"{name}::text"
        if column.rare_levels and len(column.levels) > 1:  # a class is learnt from its rows
            pooled, _, note = _pooled(column, f"{name}::text")
            decide.append(f"target: {note}, one class that stands for values to come as well")
            return "multiclass", None, pooled
        return "multiclass", None, f"{name}::text"
    if column.distinct == 2 and column.postgres.startswith("int"):
        return "binary", str(int(column.high if isinstance(column.high, float) else 1)), name
    if column.postgres.startswith("int") and column.distinct is not None and column.distinct <= _FEW:
        decide.append(
            f"target.kind: regression; if its {column.distinct} whole numbers are classes, multiclass"
        )
    return (
        "regression",
        None,
        name if column.postgres in {"int2", "int4", "int8", "float8"} else f"{name}::float8",
    )


def feature_of(  # noqa: PLR0911 - one per kind of column
    column: ColumnFacts, event: ColumnFacts | None, rows: int, names: Names, *, kept: bool = False
) -> tuple[Drafted | None, str]:
    """A feature, or why there is none; a moment that is to be kept may lie after the event."""
    name = quoted(column.name)
    if column.nulls == rows:
        return None, "has no value"
    if column.distinct == 1 and not column.nulls:
        return None, "has one value only"
    if column.postgres in _NUMBERS:
        expression = f"{name}::float8" if column.postgres in {"numeric", "float4"} else name
        decide = _CALENDAR_YEAR if is_calendar_year(column) else ""
        return Drafted(names.of(column.name), column, expression, "numeric", decide=decide), ""
    if column.postgres == "bool":
        return Drafted(names.of(column.name), column, name, "boolean"), ""
    if column.postgres in _TEXTS:
        if column.levels:
            return _category(column, names), ""
        return (
            None,
            f"text of {number_of(column.distinct or 0, 'value')}: an identifier, free text, or too rare "
            "to learn from",
        )
    if column.is_moment:
        return _age(column, event, names, kept=kept)
    return None, f"type {column.postgres}"


def is_calendar_year(column: ColumnFacts) -> bool:
    """Whether numbers are years: by their name, or whole ones that all lie in our time."""
    low, high = column.low, column.high
    if not isinstance(low, float) or not isinstance(high, float):
        return False
    if re.search(r"(^|_)(year|yr|yyyy)(_|$)", plain_name(column.name)):
        return _YEARS[0] <= low and high <= _YEARS[1]
    whole = column.postgres in {"int2", "int4", "int8"}
    return whole and _RECENT_YEARS[0] <= low and high <= _RECENT_YEARS[1]


def _category(column: ColumnFacts, names: Names) -> Drafted:
    """A text of few values; the rare ones are one value, which stands for those to come as well."""
    name = f"{quoted(column.name)}::text" if column.postgres in _AS_TEXT else quoted(column.name)
    if not column.rare_levels:
        return Drafted(names.of(column.name), column, name, "categorical", levels=column.levels)
    pooled, rare, note = _pooled(column, name)
    return Drafted(names.of(column.name), column, pooled, "categorical", note, levels=(*column.levels, rare))


def _pooled(column: ColumnFacts, name: str) -> tuple[str, str, str]:
    """SQL of a text in which the rare values are one; how that is written, and a sentence on it."""
    rare = _RARE
    while rare in column.levels:
        rare += "_"
    kept = ", ".join(_sql_text(level) for level in column.levels)
    pooled = f"CASE WHEN {name} IN ({kept}) THEN {name} WHEN {name} IS NOT NULL THEN {_sql_text(rare)} END"
    values = "value" if column.rare_levels == 1 else f"{column.rare_levels} values"
    note = f"the {values} that fewer rows have {'is' if values == 'value' else 'are'} written as {rare}"
    return pooled, rare, note


def _age(
    column: ColumnFacts, event: ColumnFacts | None, names: Names, *, kept: bool
) -> tuple[Drafted | None, str]:
    later = event is None or not all(isinstance(one, datetime) for one in (column.high, event.high))
    if event is None:
        return None, "a moment; no event time to measure it from"
    if not kept and (later or column.high > event.high or column.nulls):  # type: ignore[operator]
        return None, "a moment that may lie after the event, and so not be known at it"
    days = f"(extract(epoch FROM {moment_sql(event)} - {moment_sql(column)}) / 86400)::float8"
    return Drafted(f"{names.of(column.name)}_age", column, days, "numeric", "days before the event"), ""


def moment_sql(column: ColumnFacts, row: str = "t") -> str:
    """A column as timestamptz; without a zone it is read as UTC."""
    name = quoted(column.name, row)
    if column.postgres == "timestamptz":
        return name
    return f"({name}{'::timestamp' if column.postgres == 'date' else ''} AT TIME ZONE 'UTC')"


def key_sql(column: ColumnFacts, table: TableFacts) -> str:
    """A key column as a type that an extract may have."""
    name = quoted(column.name)
    if column.postgres == "uuid" or column.postgres in _AS_TEXT:
        return f"{name}::text"
    if column.postgres == "timestamp":
        return moment_sql(column)
    if column.postgres == "numeric":
        return f"{name}::{'int8' if column.whole else 'text'}"
    return name


def _sql_text(value: str) -> str:
    """A literal; where it has a backslash one that reads it as it is."""
    text = "'" + value.replace("'", "''") + "'"
    return text if "\\" not in text else "E" + text.replace("\\", "\\\\")


def _yaml_text(value: str) -> str:
    """A scalar that is read back as it is; between single quotes a line break would become a blank."""
    if not value.isprintable():
        return json.dumps(value)
    return "'" + value.replace("'", "''") + "'"
