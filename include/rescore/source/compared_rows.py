"""Two temporary tables of a query's rows, compared key by key and column by column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg2 import sql

__all__ = ["Difference", "compare"]

#: Columns that are compared in one query: Postgres joins at most 1,664 at once.
_MAX_COLUMNS = 400
#: Sums of floats in another order differ by less, relative to their size.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Difference:
    """How the rows of one table differ from those of another.

    Attributes
    ----------
    rows, only_left, only_right, changed : int
        Rows of the left table; rows that are only there; only in the right one; in both with other values.
    columns : tuple of str
        Columns in which rows differ.
    rounded : tuple of str
        Those of them, of ``float8``, in which no row differs by more than rounding does.
    too_large : tuple of str
        Tables that functions read and that were not turned round.
    """

    rows: int
    only_left: int
    only_right: int
    changed: int
    columns: tuple[str, ...]
    rounded: tuple[str, ...]
    too_large: tuple[str, ...] = ()

    @property
    def none(self) -> bool:
        """Whether both tables have the same rows."""
        return not (self.only_left or self.only_right or self.changed)

    @property
    def only_rounding(self) -> bool:
        """Whether floats that were rounded otherwise are all that differs."""
        moved = self.none or self.only_left or self.only_right
        return not moved and bool(self.columns) and set(self.columns) <= set(self.rounded)


def compare(cursor: Any, left: str, right: str, key: Sequence[str], columns: Sequence[str]) -> Difference:
    """Compare two temporary tables that one query made, by a key that is unique in each.

    Texts are equal if their bytes are, whatever their type and collation: keys are told apart so, too.
    """
    cursor.execute(
        "SELECT a.attname, t.typname FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid"
        " WHERE a.attrelid = ('pg_temp.' || %s)::regclass AND a.attnum > 0",
        [left],
    )
    kinds = dict(cursor.fetchall())
    # A FULL JOIN needs equality; keys are never NULL, as every extract is checked for.
    joined = sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(mine, theirs)
        for name in key
        for mine, theirs in zip(_parts("s", name, kinds), _parts("k", name, kinds), strict=True)
    )
    rows, only_left, only_right, changed = _counts(cursor, left, right, key, joined)
    differing: list[str] = []
    rounded: list[str] = []
    for start in range(0, len(columns), _MAX_COLUMNS):
        some = columns[start : start + _MAX_COLUMNS]
        looks = [sql.SQL("bool_or({})").format(_differs(name, kinds)) for name in some]
        looks += [sql.SQL("bool_or({})").format(_differs_by_more(name, kinds, left)) for name in some]
        cursor.execute(
            sql.SQL("SELECT {} FROM pg_temp.{} s JOIN pg_temp.{} k ON {}").format(
                sql.SQL(", ").join(looks), sql.Identifier(left), sql.Identifier(right), joined
            )
        )
        answers = cursor.fetchone()
        differing += [name for name, differs in zip(some, answers, strict=False) if differs]
        rounded += [name for name, more in zip(some, answers[len(some) :], strict=True) if not more]
    return Difference(
        rows=rows,
        only_left=only_left,
        only_right=only_right,
        changed=changed,
        columns=tuple(differing),
        rounded=tuple(name for name in differing if name in rounded),
    )


def _counts(
    cursor: Any, left: str, right: str, key: Sequence[str], joined: sql.Composable
) -> tuple[int, int, int, int]:
    """Rows on the left; only there, only on the right, and in both with other bytes."""
    names = sql.SQL(", ").join(map(sql.Identifier, key))
    sides = [
        sql.SQL(
            "(SELECT {names}, r AS rescore_row, true AS rescore_in FROM pg_temp.{table} r) {side}"
        ).format(names=names, table=sql.Identifier(table), side=sql.SQL(side))
        for table, side in ((left, "s"), (right, "k"))
    ]
    cursor.execute(
        sql.SQL(
            "SELECT count(*) FILTER (WHERE s.rescore_in), count(*) FILTER (WHERE k.rescore_in IS NULL),"
            " count(*) FILTER (WHERE s.rescore_in IS NULL), count(*) FILTER (WHERE s.rescore_in"
            " AND k.rescore_in AND s.rescore_row *<> k.rescore_row) FROM {left} FULL JOIN {right} ON {joined}"
        ).format(left=sides[0], right=sides[1], joined=joined)
    )
    rows, only_left, only_right, changed = (int(number) for number in cursor.fetchone())
    return rows, only_left, only_right, changed


def _parts(side: str, name: str, kinds: dict[str, str]) -> list[sql.Composable]:
    """What of a column is compared: of text its bytes, and how many, since ``char(n)`` hides blanks."""
    column: sql.Composable = sql.SQL("{}.{}").format(sql.SQL(side), sql.Identifier(name))
    if kinds[name] not in {"bpchar", "citext", "text", "varchar"}:
        return [column]
    text = sql.SQL('{}::text COLLATE "C"').format(column)
    return [text, sql.SQL("octet_length({})").format(column)] if kinds[name] == "bpchar" else [text]


def _differs(name: str, kinds: dict[str, str]) -> sql.Composable:
    pairs = zip(_parts("s", name, kinds), _parts("k", name, kinds), strict=True)
    return sql.SQL(" OR ").join(sql.SQL("{} IS DISTINCT FROM {}").format(*pair) for pair in pairs)


def _differs_by_more(name: str, kinds: dict[str, str], table: str) -> sql.Composable:
    """Whether a column differs by more than a sum's rounding; of anything but floats, whether it does.

    Sums that cancel are as far off as those that do not: what counts is the column's largest value.
    """
    if kinds[name] != "float8":
        return _differs(name, kinds)
    return sql.SQL(
        "s.{c} IS DISTINCT FROM k.{c} AND (abs(s.{c} - k.{c}) <= {r} * greatest(1e-300, (SELECT max(abs({c}))"
        " FROM pg_temp.{t} WHERE abs({c}) < 'Infinity'))) IS NOT TRUE"
    ).format(c=sql.Identifier(name), t=sql.Identifier(table), r=sql.Literal(_ROUNDING))
