"""Does an extract read what was not known? The same query, on the tables as they were known.

Every relation that the query names is copied into a temporary table, only the rows known by ``as_of``;
the query runs on the relations and on the copies, in one transaction that is rolled back. What differs
was read past the filter. A query in which the order of rows can count, or in a view of which it can, runs a
third time, on the copies turned round: what differs then is chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from psycopg2 import sql

from rescore.folder import ModelFolder
from rescore.interval import Interval
from rescore.shown_text import number_of
from rescore.source.compared_rows import Difference, compare
from rescore.source.grammar import RelationName
from rescore.source.inspection import reading
from rescore.source.query import on_other_relations, quote_identifier, relation_names, render
from rescore.source.turned_views import may_depend, put_before, tables_of_functions, turned_view

__all__ = ["Leak", "last_event", "read_past_filter", "turned_round"]


@dataclass(frozen=True)
class Leak:
    """How a query's result differs from that on the tables as they were known.

    Attributes
    ----------
    rows, only_seen, only_known, changed : int
        Rows of the query; rows that are only in it; rows it lacks; rows with other values.
    columns : tuple of str
        Columns in which rows differ.
    filtered, unfiltered : tuple of str
        Relations that were cut to what was known; those without the known-by column.
    later_moments : tuple of str
        Relations and columns whose moments lie after the row's own known-by moment.
    functions : tuple of str
        Functions of the source that the query calls and that may read tables: nothing here sees what.
    committed_later : tuple of str
        Relations with rows that say they were known by ``as_of`` and were committed after it.
    commits_known : bool
        Whether the server keeps the time of commits (``track_commit_timestamp``).
    turned : Difference or None
        How the query's rows differ if all rows of its relations lie in another order; None if nothing in it
        can depend on that.
    """

    rows: int
    only_seen: int
    only_known: int
    changed: int
    columns: tuple[str, ...]
    filtered: tuple[str, ...]
    unfiltered: tuple[str, ...]
    later_moments: tuple[str, ...]
    functions: tuple[str, ...] = ()
    committed_later: tuple[str, ...] = ()
    commits_known: bool = False
    turned: Difference | None = None

    @property
    def none(self) -> bool:
        """Whether the query reads only what was known."""
        return not (self.only_seen or self.only_known or self.changed)


def read_past_filter(
    url: str, folder: ModelFolder, interval: Interval, as_of: datetime, *, labels: bool = False
) -> Leak:
    """Run ``extract.sql`` (or ``labels.sql``) on the source and on copies of what was known.

    Raises
    ------
    SourceQueryError
        The database refuses it; the role may not make temporary tables.
    SpecError
        The query is wrong.
    """
    query, key, columns = _declared(folder, interval, as_of, labels=labels)
    known_by = folder.spec.source.known_by
    names = [known_by.column] if known_by.column else list(known_by.valid_range or ())
    with reading(url, read_only=False) as cursor:
        cursor.execute(f"CREATE TEMP TABLE rescore_seen ON COMMIT DROP AS\n{query}")
        functions = _functions(cursor, query)
        cursor.execute("SELECT current_setting('track_commit_timestamp')::bool")
        [commits_known] = cursor.fetchone()
        known = _Known(cursor, names, as_of, commits_known)
        others = {read: copy for read in relation_names(query) if (copy := known.copy_of(read)) is not None}
        rewritten = on_other_relations(query, others)
        cursor.execute(f"CREATE TEMP TABLE rescore_known ON COMMIT DROP AS\n{rewritten}")
        found = compare(cursor, "rescore_seen", "rescore_known", key, columns)
        turned = None
        if may_depend(cursor, query) or tables_of_functions(cursor, functions):
            turned = _turned(cursor, query, known, others, key, columns)
    # The copies lie in another order than the tables: what that alone changes is no leak.
    of_order = () if turned is None else turned.columns
    moved = found.only_left or found.only_right or turned is None
    by_order = not moved and set(found.columns) <= {*of_order, *found.rounded}
    return Leak(
        rows=found.rows,
        only_seen=found.only_left,
        only_known=found.only_right,
        changed=0 if by_order else found.changed,
        columns=() if by_order else found.columns,
        filtered=tuple(known.filtered),
        unfiltered=tuple(known.unfiltered),
        later_moments=tuple(known.later_moments),
        functions=tuple(functions),
        committed_later=tuple(known.committed_later),
        commits_known=commits_known,
        turned=turned,
    )


def turned_round(
    url: str, folder: ModelFolder, interval: Interval, as_of: datetime, *, labels: bool = False
) -> Difference | None:
    """How a query's rows differ if all rows of its relations lie the other way round.

    None if nothing in it can depend on that. For sources that keep no history: of others
    :func:`read_past_filter` tells it.

    Raises
    ------
    SourceQueryError, SpecError
        As :func:`read_past_filter`.
    """
    query, key, columns = _declared(folder, interval, as_of, labels=labels)
    with reading(url, read_only=False) as cursor:
        if not (may_depend(cursor, query) or tables_of_functions(cursor, _functions(cursor, query))):
            return None
        known = _Known(cursor, [], as_of, commits_known=False)
        copies = {read: copy for read in relation_names(query) if (copy := known.copy_of(read)) is not None}
        on_copies = on_other_relations(query, copies)
        cursor.execute(f"CREATE TEMP TABLE rescore_known ON COMMIT DROP AS\n{on_copies}")
        return _turned(cursor, query, known, copies, key, columns)


def _declared(
    folder: ModelFolder, interval: Interval, as_of: datetime, *, labels: bool
) -> tuple[str, Sequence[str], Sequence[str]]:
    """A query as it runs, its key, and its columns that are declared."""
    where = str(folder.path / ("labels.sql" if labels else "extract.sql"))
    query = render(folder.labels_sql if labels else folder.extract_sql, interval, as_of, where=where)
    key = folder.spec.source.key
    return query.text, key, [*key, folder.spec.target.name] if labels else folder.spec.input_columns


def _turned(
    cursor: Any,
    query: str,
    known: _Known,
    copies: dict[RelationName, str],
    key: Sequence[str],
    columns: Sequence[str],
) -> Difference:
    """Run the query on the same copies the other way round; views are made of tables that lie so."""
    for copy, read in sorted({copy: read for read, copy in copies.items()}.items()):
        cursor.execute(
            sql.SQL(
                "CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT * FROM pg_temp.{} ORDER BY ctid DESC"
            ).format(sql.Identifier(f"{copy}_turned"), sql.Identifier(known.copy_again(read, copy) or copy))
        )
        cursor.execute(sql.SQL("ANALYZE pg_temp.{}").format(sql.Identifier(f"{copy}_turned")))
    rewritten = on_other_relations(query, {read: f"{copy}_turned" for read, copy in copies.items()})
    too_large = put_before(cursor, tables_of_functions(cursor, _functions(cursor, query)))
    cursor.execute(f"CREATE TEMP TABLE rescore_turned ON COMMIT DROP AS\n{rewritten}")
    return replace(compare(cursor, "rescore_known", "rescore_turned", key, columns), too_large=too_large)


def last_event(url: str, folder: ModelFolder, interval: Interval) -> datetime | None:
    """The latest event time that the extract gives for a long range; None without a row."""
    query = render(folder.extract_sql, interval, interval.end, where=str(folder.path / "extract.sql")).text
    with reading(url) as cursor:
        event = quote_identifier(folder.spec.source.event_time)
        cursor.execute(f"SELECT max(e.{event}) FROM (\n{query}\n) e")  # noqa: S608 - quoted, one SELECT
        [latest] = cursor.fetchone()
    return latest if isinstance(latest, datetime) else None


@dataclass(frozen=True)
class _Relation:
    """A relation of the database's own.

    Attributes
    ----------
    schema, name : str
        Where it is.
    columns : dict of str to str
        Its columns, in order, and the names of their types.
    """

    schema: str
    name: str
    columns: dict[str, str]

    @classmethod
    def find(cls, cursor: Any, parts: Sequence[str]) -> _Relation | None:
        """The relation that a query's ``parts`` name; None if it is none of the database's own."""
        cursor.execute(
            "SELECT c.oid, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.oid = to_regclass(%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
            " AND n.nspname !~ '^(pg_|information_schema)'",
            [".".join(map(quote_identifier, parts))],
        )
        if (row := cursor.fetchone()) is None:
            return None
        oid, schema, name = row
        cursor.execute(
            "SELECT a.attname, t.typname FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid"
            " WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            [oid],
        )
        return cls(schema, name, dict(cursor.fetchall()))

    @property
    def identifier(self) -> sql.Identifier:
        """Quoted."""
        return sql.Identifier(self.schema, self.name)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


class _Known:
    """Copies of relations as they were known, each made once, and what was noticed on the way.

    Parameters
    ----------
    cursor : cursor
        Of a transaction that may make temporary tables.
    known_by : sequence of str
        The column, or the two, that say when a row was known; none without a history.
    as_of : datetime
        Rows known by then are copied.
    commits_known : bool
        Whether the server keeps the time of commits.
    """

    def __init__(self, cursor: Any, known_by: Sequence[str], as_of: datetime, commits_known: bool) -> None:
        self._cursor, self._known_by, self._as_of = cursor, known_by, as_of
        self._commits_known = commits_known
        self._copies: dict[str, str] = {}
        self.filtered: list[str] = []
        self.unfiltered: list[str] = []
        self.later_moments: list[str] = []
        self.committed_later: list[str] = []

    def copy_of(self, read: RelationName) -> str | None:
        """The temporary table to read instead; None for what is no relation of the database's own."""
        relation = _Relation.find(self._cursor, read.parts)
        if relation is None:
            return None
        label = f"{relation}, alone" if read.only else str(relation)
        if label not in self._copies:
            self._copies[label] = f"rescore_known_{len(self._copies) + 1}"
            has_history = self._has_history(relation)
            rows = sql.SQL("ONLY {}" if read.only else "{}").format(relation.identifier)
            self._copy(relation, self._copies[label], rows)
            (self.filtered if has_history else self.unfiltered).append(label)
            if has_history:
                self._look_at_history(relation)
        return self._copies[label]

    def copy_again(self, read: RelationName, copy: str) -> str | None:
        """Copy a view made of tables that lie the other way round; None where no order counts in it."""
        turned, relation = turned_view(self._cursor, read), _Relation.find(self._cursor, read.parts)
        if turned is None or relation is None:
            return None
        self._copy(relation, f"{copy}_again", sql.Identifier(turned))
        return f"{copy}_again"

    def _copy(self, relation: _Relation, copy: str, rows: sql.Composable) -> None:
        """Copy what was known of a relation, whose rows are read from ``rows``."""
        selected: list[sql.Composable] = [sql.Identifier(column) for column in relation.columns]
        condition: sql.Composable = sql.SQL("true")
        if filtered := self._has_history(relation):
            known = sql.Identifier(self._known_by[0])
            condition = sql.SQL("{} <= {}").format(known, sql.Literal(self._as_of))
        if filtered and len(self._known_by) == 2:
            # That a version ends later was not known: its successor came only then.
            until = sql.Identifier(self._known_by[1])
            selected[list(relation.columns).index(self._known_by[1])] = sql.SQL(
                "CASE WHEN {u} <= {t} THEN {u} ELSE {o} END AS {u}"
            ).format(
                u=until, t=sql.Literal(self._as_of), o=sql.Literal(_open_end(self._cursor, relation, until))
            )
        self._cursor.execute(
            sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WHERE {}").format(
                sql.Identifier(copy), sql.SQL(", ").join(selected), rows, condition
            )
        )
        self._cursor.execute(sql.SQL("ANALYZE pg_temp.{}").format(sql.Identifier(copy)))

    def _has_history(self, relation: _Relation) -> bool:
        return bool(self._known_by) and set(self._known_by) <= relation.columns.keys()

    def _look_at_history(self, relation: _Relation) -> None:
        known = self._known_by[0]
        if len(self._known_by) == 1:
            self.later_moments += _later(self._cursor, relation, known)
        if self._commits_known:
            self.committed_later += _committed_later(self._cursor, relation, known, self._as_of)


def _open_end(cursor: Any, relation: _Relation, until: sql.Identifier) -> str | None:
    """What most versions that still hold have as their end: NULL, ``infinity``, ``9999-12-31``, …"""
    cursor.execute(
        sql.SQL(
            "SELECT {u}::text FROM {r} WHERE {u} IS NULL OR {u} > now()"
            " GROUP BY {u} ORDER BY count(*) DESC, {u} LIMIT 1"
        ).format(u=until, r=relation.identifier)
    )
    row = cursor.fetchone()
    return None if row is None else row[0]


def _later(cursor: Any, relation: _Relation, known: str) -> list[str]:
    """Moments of a row after it was known: a plan's may be, an outcome's can't."""
    moments = [name for name, kind in relation.columns.items() if kind == "timestamptz" and name != known]
    found = []
    for column in moments:
        cursor.execute(
            sql.SQL("SELECT count(*) FILTER (WHERE {c} > {k}), count({c}) FROM {t}").format(
                c=sql.Identifier(column), k=sql.Identifier(known), t=relation.identifier
            )
        )
        later, present = cursor.fetchone()
        if later > 0.01 * present:
            found.append(f"{relation}.{column} ({later:,} of {number_of(present, 'row')})")
    return found


def _functions(cursor: Any, query: str) -> list[str]:
    """What the query calls that Postgres did not bring; one declared immutable can't read a table."""
    cursor.execute(f"CREATE TEMP VIEW rescore_calls AS\n{query}")
    cursor.execute(
        "SELECT DISTINCT p.oid::regproc::text FROM pg_rewrite r"
        " JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid"
        " AND d.refclassid = 'pg_proc'::regclass JOIN pg_proc p ON p.oid = d.refobjid"
        " WHERE r.ev_class = 'pg_temp.rescore_calls'::regclass AND p.provolatile <> 'i' ORDER BY 1"
    )
    found = [name for (name,) in cursor.fetchall()]
    cursor.execute("DROP VIEW pg_temp.rescore_calls")
    return found


def _committed_later(cursor: Any, relation: _Relation, known: str, as_of: datetime) -> list[str]:
    """Rows known by ``as_of`` by their own account that were written after it: late, or changed since.

    A row's xmin is the transaction that wrote this version of it; of long ago, its time is forgotten.
    """
    cursor.execute(
        "SELECT c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s",
        [relation.schema, relation.name],
    )
    if cursor.fetchone()[0] not in {"r", "p"}:
        return []
    cursor.execute(
        sql.SQL(
            "SELECT count(*) FILTER (WHERE pg_xact_commit_timestamp(xmin) > {t}), count(*),"
            " count(DISTINCT xmin::text) FROM {r} WHERE {k} <= {t}"
        ).format(t=sql.Literal(as_of), r=relation.identifier, k=sql.Identifier(known))
    )
    late, rows, transactions = cursor.fetchone()
    if not late:
        return []
    at_once = ", all in one transaction: loaded from a history?" if transactions == 1 else ""
    return [f"{relation} ({late:,} of {number_of(rows, 'row')}{at_once})"]
