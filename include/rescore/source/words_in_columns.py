"""Text columns that a view or a function of SQL casts to moments: they are searched for words of the clock.

The casts of a query itself are guarded as it runs (``moments_from_text``); a view can't be rewritten. If a
cast inside takes the text of one column as it is, or a piece of it, no such word can reach it but from that
column: the column is searched, in the transaction that extracts. Whatever else becomes a moment is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rescore.errors import SourceError, SpecError
from rescore.source.clock_words import ANYWHERE
from rescore.source.grammar import name_parts, scopes, walk
from rescore.source.query import quote_identifier, quote_literal
from rescore.source.session import Session

__all__ = ["refuse_words"]

#: A search is given up after this: it reads the whole relation, unless a partial index has such rows.
_MAX_TIME = timedelta(seconds=60)
#: What gives the text that it is given, a piece of it, or the same letters large or small.
_PIECES = frozenset(
    {"btrim", "coalesce", "left", "lower", "ltrim", "right", "rtrim", "split_part", "substr", "substring"}
    | {"upper"}
)
_TEXTS = frozenset({"bpchar", "name", "text", "varchar"})


def refuse_words(session: Session, tree: Any, argument: Any, place: str, *, of_policy: bool) -> None:
    """Refuse a cast inside a view, a function or a policy whose text may name the present.

    Parameters
    ----------
    session : Session
        The transaction that extracts.
    tree : list
        The statement inside.
    argument : dict
        What is cast, a node of it.
    place : str
        Where it stands, for the error.
    of_policy : bool
        Whether a policy casts it, which hides the very rows that would have to be searched.

    Raises
    ------
    SpecError
        Words of the clock were found, or could not be looked for.
    """
    why = "text is cast to a moment by a policy" if of_policy else _why(session, tree, argument)
    if why is not None:
        raise SpecError(
            f"{why}: a word of the clock in it (now, today) would give another result in every run",
            where=place,
            expected="moments from text by a cast in the query itself, which is checked as the query runs",
            fix="select the text and cast it in the query: (the text)::timestamptz",
        )


def _why(session: Session, tree: Any, argument: Any) -> str | None:
    """Why the text may name the present; None if it was searched and has no such word."""
    path = _only_column(argument)
    relation = None if path is None else _relation_of(tree, *path)
    if path is None or relation is None:
        return "text that is no column of a relation there, nor a piece of one, is cast to a moment"
    read, column = ".".join(map(quote_identifier, relation)), quote_identifier(path[0][-1])
    cast = f"{'.'.join(relation)}.{path[0][-1]} is cast to a moment"
    if _has_row_security(session, read):
        return f"{cast}, and row security hides some of its text"
    found = f"SELECT FROM {read} WHERE {column}::text ~* {quote_literal(ANYWHERE)}"
    try:
        with session.at_most(_MAX_TIME):
            [row] = session.ask(f"SELECT EXISTS ({found}) AS found")
    except SourceError:
        return f"{cast}, and could not be searched for words of the clock"
    return f"{cast}, and has such words in some row" if row["found"] else None


def _only_column(argument: Any) -> tuple[tuple[str, ...], int] | None:
    """The one column whose text, or a piece of it, an expression gives; its path and place."""
    columns = []
    for kind, fields in walk(argument):
        if kind == "ColumnRef":
            columns.append((name_parts(fields["fields"]), fields["location"]))
        elif not _gives_pieces(kind, fields):
            return None
    return columns[0] if len(columns) == 1 and columns[0][0][-1] != "*" else None


def _gives_pieces(kind: str, fields: Mapping[str, Any]) -> bool:
    if kind == "A_Const":
        return not any(letter.isalpha() for letter in fields.get("sval", {}).get("sval", ""))
    if kind == "TypeCast":
        return name_parts(fields["typeName"]["names"])[-1] in _TEXTS
    if kind == "FuncCall":
        return name_parts(fields["funcname"])[-1] in _PIECES
    if kind == "A_Expr":  # a text before or after it, or NULLIF
        return name_parts(fields["name"])[-1] in {"||", "="}
    return kind in {"CoalesceExpr", "CollateClause", "Integer", "String"}


def _relation_of(tree: Any, path: tuple[str, ...], location: int) -> tuple[str, ...] | None:
    """The relation of which an expression's column is; None if it is another thing, or can't be told."""
    for scope in scopes(tree):
        if any(one.location == location and one.parts == path for one in scope.columns):
            named = [
                one.name.parts
                for one in scope.relations
                if len(path) == 1 or (one.alias or one.name.parts[-1]) == path[-2]
            ]
            return named[0] if len(named) == 1 else None
    return None


def _has_row_security(session: Session, read: str) -> bool:
    rows = session.ask(
        f"SELECT relrowsecurity AS guarded FROM pg_class WHERE oid = to_regclass({quote_literal(read)})"  # noqa: S608 - quoted
    )
    return bool(rows and rows[0]["guarded"])
