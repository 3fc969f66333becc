"""What the columns of an extract may be: names as declared, Postgres types that keep every bit."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from rescore.errors import SourceSchemaError
from rescore.shown_text import number_of
from rescore.source.session import Column
from rescore.spec import ModelSpec

__all__ = ["TEXT_TYPES", "check_columns", "input_types", "label_types"]

_INTEGERS = ("int2", "int4", "int8")
TEXT_TYPES = ("text", "varchar", "bpchar")
_NUMERIC = (*_INTEGERS, "float8")
_KEY = (*_INTEGERS, *TEXT_TYPES, "date", "timestamptz", "bool")
_FEATURE = {
    "numeric": _NUMERIC,
    "categorical": TEXT_TYPES,
    "text": TEXT_TYPES,
    "boolean": ("bool",),
    "datetime": ("timestamptz", "date"),
}
_TARGET = {
    "binary": ("bool", *_INTEGERS, *TEXT_TYPES),
    "multiclass": (*TEXT_TYPES, *_INTEGERS, "bool"),
    "regression": _NUMERIC,
}
_ARROW = {
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float8": pa.float64(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    **dict.fromkeys(TEXT_TYPES, pa.string()),
}
# Why a type is refused, where that is not plain.
_WHY = {
    "numeric": "numeric has no exact column type here",
    "float4": "float4 has lost bits already",
    "timestamp": "a timestamp without a zone names no moment",
    "json": "json has no canonical form",
    "jsonb": "jsonb has no canonical form",
    "interval": "an interval of months has no fixed length",
}


def input_types(spec: ModelSpec) -> dict[str, tuple[str, ...]]:
    """Each column of an extract, in order, with the Postgres types it may have.

    A column in two roles (a key that is also a feature) has to fit both.
    """
    roles: list[tuple[str, Sequence[str]]] = [(name, _KEY) for name in spec.source.key]
    roles.append((spec.source.event_time, ("timestamptz",)))
    roles += [(name, _KEY) for name in spec.source.subject]
    roles += [(feature.name, _FEATURE[feature.kind]) for feature in spec.features]
    allowed: dict[str, tuple[str, ...]] = {}
    for name, types in roles:
        allowed[name] = tuple(kind for kind in allowed.get(name, types) if kind in types)
    return {name: allowed[name] for name in spec.input_columns}


def label_types(spec: ModelSpec) -> dict[str, tuple[str, ...]]:
    """The columns of the labels: the key, then the target."""
    return {**dict.fromkeys(spec.source.key, _KEY), spec.target.name: _TARGET[spec.target.kind]}


def check_columns(
    columns: Sequence[Column], allowed: Mapping[str, Sequence[str]], *, where: str
) -> pa.Schema:
    """Compare what a query gives with what is declared.

    Parameters
    ----------
    columns : sequence of Column
        As the database describes them.
    allowed : mapping of str to sequence of str
        Declared columns in order, with the Postgres types each may have.
    where : str
        The query's file.

    Returns
    -------
    pyarrow.Schema
        The declared columns in their order, as they will arrive.

    Raises
    ------
    SourceSchemaError
        Missing, twice, undeclared or of another type; every such column is named.
    """
    by_name = {column.name: column for column in columns}
    names = [column.name for column in columns]
    missing = [name for name in allowed if name not in by_name]
    extra = [name for name in by_name if name not in allowed]
    twice = sorted({name for name in names if names.count(name) > 1})
    wrong = {
        name: by_name[name].postgres
        for name in allowed
        if name in by_name and by_name[name].postgres not in allowed[name]
    }
    problems = [_missing(name, allowed[name], extra, by_name) for name in missing]
    problems += [f"{name}: occurs twice" for name in twice]
    problems += [f"{name}: not declared in model.yaml" for name in extra]
    problems += [f"{name}: {_wrong(wrong[name], allowed[name])}" for name in wrong]
    if problems:
        raise SourceSchemaError(
            problems[0]
            if len(problems) == 1
            else f"{number_of(len(problems), 'column is', 'columns are')} not as declared",
            where=where,
            expected=f"exactly the columns {', '.join(allowed)}",
            examples=problems if len(problems) > 1 else (),
            fix=_fix(missing, extra, twice, wrong, allowed, by_name),
            data={"missing": missing, "undeclared": extra, "twice": twice, "types": wrong},
        )
    return pa.schema([(name, _ARROW[by_name[name].postgres]) for name in allowed])


def _in_other_case(name: str, given: Iterable[str]) -> list[str]:
    """What the query gives that differs in capitals alone: SQL makes unquoted names lower case."""
    return [other for other in given if other != name and other.lower() == name.lower()]


def _missing(name: str, types: Sequence[str], extra: Iterable[str], given: Iterable[str]) -> str:
    close = _in_other_case(name, given) or difflib.get_close_matches(name, list(extra), n=1)
    hint = f" (there is {close[0]})" if close else ""
    return f"{name}: missing{hint}, expected {_or(types)}"


def _wrong(got: str, types: Sequence[str]) -> str:
    why = f" ({_WHY[got]})" if got in _WHY else ""
    return f"expected {_or(types)}, got {got}{why}"


def _fix(
    missing: list[str],
    extra: list[str],
    twice: list[str],
    wrong: Mapping[str, str],
    allowed: Mapping[str, Sequence[str]],
    given: Iterable[str],
) -> str:
    other_case = {name: other for name in missing for other in _in_other_case(name, given)}
    missing = [name for name in missing if name not in other_case]
    extra = [name for name in extra if name not in other_case.values()]
    steps = [
        f'write {other} for {name} in model.yaml, or select it AS "{name}": SQL makes names lower case'
        for name, other in other_case.items()
    ]
    if wrong:
        casts = [_cast(name, got, allowed[name]) for name, got in wrong.items()]
        steps.append(f"cast in the query: {', '.join(casts)}")
    if missing:
        steps.append(f"select {', '.join(missing)} too")
    if extra:
        steps.append(f"declare {', '.join(extra)} as a feature, or drop it from the query")
    if twice:
        steps.append(f"select {', '.join(twice)} once")
    return "; ".join(steps)


def _cast(name: str, got: str, types: Sequence[str]) -> str:
    if got == "timestamp" and "timestamptz" in types:
        return f"{name} AT TIME ZONE 'UTC' AS {name}"
    preferred = ("float8", "timestamptz", "bool", "text", *types)
    if got in {"numeric", *_INTEGERS} and "float8" not in types and "int8" in types:
        preferred = ("int8", *preferred)
    elif "text" in types and "float8" not in types:
        preferred = ("text", *preferred)
    target = next((kind for kind in preferred if kind in types), "text")
    return f"{name}::{target}"


def _or(types: Sequence[str]) -> str:
    return " or ".join(types) if types else "one type for all its roles in model.yaml"
