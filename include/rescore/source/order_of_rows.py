"""Refuse what takes rows in the order in which they happen to lie: that order is chance.

Postgres promises none without ORDER BY: an UPDATE, a VACUUM FULL or another plan gives another. What cuts
rows off (LIMIT, OFFSET, DISTINCT ON), numbers them or puts their values together says by which order. What
an aggregate puts together is read from the catalogue: arrays, texts, documents and *any* value are by order;
sums, counts and bounds are not. That an order is total, no catalogue tells: ``rescore check`` turns the rows
round and compares (``leakage``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rescore.errors import SpecError
from rescore.source.grammar import name_parts, walk
from rescore.source.query import quote_literal
from rescore.source.session import Session

__all__ = ["OF_ORDER", "may_depend_on_order", "refuse_disorder"]

#: Window functions for which a row's place counts; of the others (rank, …) rows in no order are all peers.
_OF_A_PLACE = {"first_value", "lag", "last_value", "lead", "nth_value", "ntile", "row_number"}
_ANY = "any"
#: Postgres' ``FRAMEOPTION_``: ROWS, and both ends that make a frame the whole partition (parsenodes.h).
_ROWS, _WHOLE = 0x4, 0x20 | 0x100
#: Of JSON's own aggregates the grammar has nodes.
_JSON = {"JsonArrayAgg": "JSON_ARRAYAGG", "JsonObjectAgg": "JSON_OBJECTAGG"}

#: Whether one of some functions (a parameter: their names) is a window's, or an aggregate that some type of
#: argument makes depend on the order of rows: by what it puts together, or since floats are rounded.
OF_ORDER = (
    "SELECT EXISTS (SELECT FROM pg_proc p LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid"
    " LEFT JOIN pg_type t ON t.oid = p.prorettype WHERE p.proname = ANY(%s) AND (p.prokind = 'w' OR"
    " a.aggkind = 'n' AND a.aggsortop = 0 AND (p.pronamespace <> 'pg_catalog'::regnamespace OR"
    " t.typcategory IN ('A', 'S', 'U', 'P') OR a.aggtranstype IN ('float4'::regtype, 'float8'::regtype,"
    " '_float8'::regtype))))"
)
#: By schema (empty: as names are found without one) and name: whether it puts values together by their order.
_Aggregates = dict[tuple[str, str], bool]


@dataclass
class _Select:
    """One SELECT, what it is used for, and the calls and windows that are its own."""

    fields: dict[str, Any]
    use: str
    calls: list[dict[str, Any]] = field(default_factory=list)
    json: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


def refuse_disorder(session: Session, tree: Any, where: Callable[[int], str]) -> None:
    """Refuse a statement that takes rows in no order.

    Raises
    ------
    SpecError
        With what takes them, where, and the ORDER BY to write.
    """
    found = _selects(tree)
    names = {name_parts(call["funcname"])[-1] for one in found for call in one.calls}
    aggregates = _aggregates(session, names)
    for one in found:
        _check_calls(one, aggregates, where)
        _check_rows(one, aggregates, where)


def may_depend_on_order(tree: Any) -> tuple[bool, frozenset[str]]:
    """Whether what a statement takes depends on the order of its rows, ORDER BY or not, ties counting.

    Returns
    -------
    bool
        Whether it does by what it is made of: LIMIT, OFFSET, DISTINCT ON, ARRAY(SELECT …).
    frozenset of str
        Functions that it calls; if one of them is of :data:`OF_ORDER`, it does by that.
    """
    found = _selects(tree)
    by_itself = any(
        {"limitCount", "limitOffset"} & one.fields.keys()
        or any(one.fields.get("distinctClause", ()))
        or one.json
        or one.use == "ARRAY_SUBLINK"
        or any(_counts_rows(call["over"], one.fields) for call in one.calls if "over" in call)
        for one in found
    )
    return by_itself, frozenset(name_parts(call["funcname"])[-1] for one in found for call in one.calls)


def _selects(tree: Any) -> list[_Select]:
    found = [_Select({}, "")]
    waiting: list[tuple[Any, _Select, str]] = [(tree, found[0], "")]
    while waiting:
        item, inside, use = waiting.pop()
        if isinstance(item, list):
            waiting += [(each, inside, "") for each in item]
        elif isinstance(item, dict):
            for kind, fields in item.items():
                below = inside
                if kind == "SelectStmt" or (kind in {"larg", "rarg"} and "limitOption" in fields):
                    below = _Select(fields, use)
                    found.append(below)
                elif kind == "FuncCall":
                    inside.calls.append(fields)
                elif kind in _JSON:
                    inside.json.append((kind, fields))
                waiting.append((fields, below, _use(kind, fields, use)))
    return found


def _use(kind: str, fields: Any, use: str) -> str:
    """What a SELECT below a node is used for; what passes a value on, or casts it, passes this on too."""
    if kind == "SubLink":  # of = ANY (ARRAY(SELECT …)) in whatever order
        return use if use == _ANY else str(fields["subLinkType"])
    if kind == "A_Expr" and fields["kind"] in {"AEXPR_OP_ANY", "AEXPR_OP_ALL"}:
        return _ANY
    return use if kind in {"arg", "rexpr", "subselect", "TypeCast"} else ""


def _aggregates(session: Session, names: set[str]) -> _Aggregates:
    """The aggregates among these names, and whether all of a name put values together by their order.

    Of Postgres' own the type of the result says it: lists, texts and documents, not numbers, bounds or
    ranges. Others do, unless they find a bound, or their step is that of an aggregate of Postgres' own that
    does not, or an operator that is its own commutator.
    """
    if not names:
        return {}
    rows = session.ask(
        "WITH each AS (SELECT a.aggtransfn, p.oid, p.proname::text AS name, n.nspname::text AS schema,"  # noqa: S608 - quoted
        " a.aggkind = 'n' AND a.aggsortop = 0 AND t.typcategory IN ('A', 'S', 'U', 'P')"
        " AND p.prorettype NOT IN ('anyrange'::regtype, 'anymultirange'::regtype) AS collects,"
        " a.aggkind = 'n' AND a.aggsortop = 0 AS may"
        " FROM pg_aggregate a JOIN pg_proc p ON p.oid = a.aggfnoid"
        " JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_type t ON t.oid = p.prorettype)"
        " SELECT name, schema, pg_function_is_visible(oid) AS visible, CASE WHEN schema = 'pg_catalog'"
        " THEN collects ELSE may AND NOT EXISTS (SELECT FROM each own WHERE own.schema = 'pg_catalog'"
        " AND NOT own.collects AND own.aggtransfn = each.aggtransfn) AND NOT EXISTS (SELECT FROM pg_operator"
        " o WHERE o.oprcode = each.aggtransfn AND o.oprcom = o.oid) END AS collects"
        f" FROM each WHERE name IN ({', '.join(map(quote_literal, sorted(names)))})"
    )
    found: _Aggregates = {}
    for row in rows:
        for schema in (row["schema"], "") if row["visible"] else (row["schema"],):
            name = (schema, row["name"])
            found[name] = found.get(name, True) and row["collects"]
    return found


def _check_calls(one: _Select, aggregates: _Aggregates, where: Callable[[int], str]) -> None:
    """Aggregates that put values together, and window functions for which a place counts."""
    for call in one.calls:
        name, location = name_parts(call["funcname"])[-1], call.get("location", 0)
        collects = aggregates.get(_called(call), False)
        if (over := call.get("over")) is not None:
            by_place = collects or name in _OF_A_PLACE or _counts_rows(over, one.fields)
            if by_place and not _is_ordered(over, one.fields):
                fix = "give the window an ORDER BY, by columns that tell its rows apart"
                raise _disorder(f"{name}() over rows in no order", where(location), fix)
        elif collects and not {"agg_order", "agg_distinct"} & call.keys() and not _in_own_order(one.fields):
            raise _disorder(
                f"{name}() without ORDER BY",
                where(location),
                f"write the order into the call, by columns that tell the rows apart: {name}(… ORDER BY …)",
            )
    for kind, fields in one.json:
        constructor = fields.get("constructor", {})
        if "agg_order" not in constructor and not _in_own_order(one.fields):
            fix = "write json_agg(… ORDER BY …) or json_object_agg(…, … ORDER BY …)"
            raise _disorder(f"{_JSON[kind]} without ORDER BY", where(constructor.get("location", 0)), fix)


def _check_rows(one: _Select, aggregates: _Aggregates, where: Callable[[int], str]) -> None:
    """LIMIT, OFFSET, DISTINCT ON and ARRAY(SELECT …)."""
    fields = one.fields
    if "groupClause" not in fields and any(
        "over" not in call and _called(call) in aggregates for call in one.calls
    ):
        return  # one row
    place = where(_location(fields))
    if _is_array_in_no_order(one):
        raise _disorder("ARRAY(SELECT …) without ORDER BY", place, "give the SELECT inside an ORDER BY")
    if "sortClause" not in fields and one.use != "EXISTS_SUBLINK" and _cuts(fields):
        what = "OFFSET" if "limitCount" not in fields else "LIMIT"
        fix = f"give the SELECT with {what} an ORDER BY, by columns that tell its rows apart"
        raise _disorder(f"{what} without ORDER BY", place, fix)
    if _keeps_any_row(fields):
        raise _disorder(
            "DISTINCT ON without an ORDER BY that says which row of each group is kept",
            place,
            "write ORDER BY: the columns of DISTINCT ON, what decides, then what tells the rows apart",
        )


def _called(call: dict[str, Any]) -> tuple[str, str]:
    """Schema, if it is written, and name."""
    parts = name_parts(call["funcname"])
    return (parts[-2] if len(parts) > 1 else "", parts[-1])


def _disorder(what: str, place: str, fix: str) -> SpecError:
    return SpecError(
        f"{what} depends on the order in which rows happen to lie, which is chance",
        where=place,
        expected="a result that depends on :interval_start, :interval_end, :as_of and the data alone",
        fix=fix,
    )


def _windows(over: dict[str, Any], select: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A window, and those of WINDOW that it is made of."""
    named = {each["WindowDef"]["name"]: each["WindowDef"] for each in select.get("windowClause", ())}
    window: dict[str, Any] | None = over
    for _ in range(len(named) + 1):
        if window is None:
            return
        yield window
        window = named.get(window.get("refname", window.get("name", "")))


def _is_ordered(over: dict[str, Any], select: dict[str, Any]) -> bool:
    """Whether a window has an order, by itself or by the window of WINDOW that it names."""
    return any("orderClause" in window for window in _windows(over, select))


def _counts_rows(over: dict[str, Any], select: dict[str, Any]) -> bool:
    """Whether a window's frame is so many rows (ROWS), so that it cuts between rows of equal order."""
    options = [window.get("frameOptions", 0) for window in _windows(over, select)]
    return any(option & _ROWS and option & _WHOLE != _WHOLE for option in options)


def _in_own_order(select: dict[str, Any]) -> bool:
    """Whether all rows are of one function (``unnest``), which gives them in an order, or there is one."""
    if select.get("op", "SETOP_NONE") != "SETOP_NONE":
        return False
    sources = select.get("fromClause", [])
    return not sources or (len(sources) == 1 and "RangeFunction" in sources[0])


def _is_array_in_no_order(one: _Select) -> bool:
    select = one.fields
    if one.use != "ARRAY_SUBLINK" or "sortClause" in select:
        return False
    grouped = {"groupClause", "distinctClause"} & select.keys()
    return bool(grouped) or not _in_own_order(select)


def _cuts(select: dict[str, Any]) -> bool:
    """Whether LIMIT or OFFSET leaves out rows that are not alike."""
    if all(_leaves_all(select.get(part)) for part in ("limitCount", "limitOffset")):
        return False
    if {"groupClause", "distinctClause"} & select.keys():
        return True
    alike = "targetList" in select and not any(_has_columns(each) for each in select["targetList"])
    return not (alike or _in_own_order(select))


def _leaves_all(bound: dict[str, Any] | None) -> bool:
    """Whether a LIMIT or an OFFSET is none: not written, NULL (ALL), or 0, which takes no row or all."""
    if bound is None:
        return True
    constant = bound.get("A_Const", {})
    return "isnull" in constant or constant.get("ival") == {}


def _has_columns(target: Any) -> bool:
    return any(kind in {"ColumnRef", "SubLink"} for kind, _ in walk(target))


def _keeps_any_row(select: dict[str, Any]) -> bool:
    """Whether DISTINCT ON keeps a row of each group that nothing names."""
    on = [_plain(each) for each in select.get("distinctClause", []) if each]
    if not on:
        return False
    targets = [each["ResTarget"] for each in select.get("targetList", [])]
    on = [_resolved(each, targets) for each in on]
    order = [_resolved(_plain(each["SortBy"]["node"]), targets) for each in select.get("sortClause", [])]
    if any(not _among(each, on) for each in order):
        return False
    return any(_has_columns(each["val"]) and not _among(_plain(each["val"]), on) for each in targets)


def _among(node: Any, others: list[Any]) -> bool:
    """Whether an expression is one of others; a column's name alone is that of a relation's, too."""
    if node in others:
        return True
    parts = name_parts(node["ColumnRef"]["fields"]) if "ColumnRef" in node else ("*",)
    return parts[-1] != "*" and any(
        parts[-1] == other[-1] and 1 in {len(parts), len(other)}
        for other in (name_parts(each["ColumnRef"]["fields"]) for each in others if "ColumnRef" in each)
    )


def _resolved(node: Any, targets: list[dict[str, Any]]) -> Any:
    """What a place in the list of columns (``2``), or a name given there, stands for."""
    place = node.get("A_Const", {}).get("ival", {}).get("ival")
    if place is not None and 0 < place <= len(targets):
        return _plain(targets[place - 1]["val"])
    parts = name_parts(node["ColumnRef"]["fields"]) if "ColumnRef" in node else ()
    if len(parts) == 1:
        for target in targets:
            if target.get("name") == parts[0]:
                return _plain(target["val"])
    return node


def _plain(node: Any) -> Any:
    """A node without its places."""
    if isinstance(node, list):
        return [_plain(each) for each in node]
    if isinstance(node, dict):
        return {name: _plain(value) for name, value in node.items() if name != "location"}
    return node


def _location(select: dict[str, Any]) -> int:
    """Where a SELECT stands, as far as its LIMIT or its first column tell."""
    for part in ("limitCount", "limitOffset", "distinctClause", "targetList"):
        for place in _places(select.get(part)):
            return place
    return 0


def _places(part: Any) -> Iterator[int]:
    for _, fields in walk(part):
        if fields["location"] > 0:
            yield fields["location"]
