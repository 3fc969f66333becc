"""What the typed score table of one model looks like: its columns, its SQL. No connection here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
from psycopg2 import sql

from rescore.errors import SpecError, StoreError
from rescore.spec import ModelSpec
from rescore.store.binary_copy import held_as, postgres_type
from rescore.store.schema.consumer_columns import VIEW_COMMENTS

__all__ = ["EXCLUDED_KINDS", "ScoreLayout", "column_list", "row_columns", "score_columns"]

#: Why a row has no score: a row-level expectation failed, or the model can't score it.
EXCLUDED_KINDS = ("quarantined", "rejected")

_TIMESTAMP = pa.timestamp("us", tz="UTC")
_ARROW = {
    "boolean": pa.bool_(),
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "date": pa.date32(),
    "timestamptz": _TIMESTAMP,
    "text": pa.string(),
}
# Integers, each of which holds all of those before it.
_WIDTHS = (pa.int16(), pa.int32(), pa.int64())
# Columns of the tables and views beside the key's; a key column of such a name would hide one.
_TAKEN = {
    "run_id",
    "position",
    "score",
    "label",
    "kind",
    "reason",
    "released_by",
    "interval_start",
    "interval_end",
    "published_at",
    "superseded_at",
    "package_version",
    "verdict",
    "sequence",
}
_VIEW_SUFFIXES = ("_latest", "_history", "_excluded")


@dataclass(frozen=True)
class ScoreLayout:
    """The columns of one model's scores.

    Attributes
    ----------
    model : str
        The model's name.
    keys : tuple of (str, DataType)
        The key columns in order.
    event_time : str
        The source's name of the event time; it may be one of the key columns.
    labelled : bool
        Whether scores carry a class label.
    probabilities : tuple of (str, str)
        Each class whose probability is published, and its column.
    """

    model: str
    keys: tuple[tuple[str, pa.DataType], ...]
    event_time: str
    labelled: bool
    probabilities: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, spec: ModelSpec, key_types: Mapping[str, pa.DataType]) -> ScoreLayout:
        """Derive the layout from what the model declares and what its extract gave.

        Parameters
        ----------
        spec : ModelSpec
            The model.
        key_types : mapping of str to DataType
            Arrow types of the key columns; others in it are ignored.

        Raises
        ------
        SpecError
            A name that the tables or views use themselves.
        StoreError
            A key column without a type, or of one the store has no column for.
        """
        missing = [name for name in spec.source.key if name not in key_types]
        if missing:
            raise StoreError(
                f"key column {missing[0]!r} of {spec.name} has no type",
                expected=f"types of {', '.join(spec.source.key)}",
                examples=missing,
            )
        event_time = spec.source.event_time
        taken = [name for name in spec.source.key if name in _TAKEN]
        if event_time != "event_time" and "event_time" in spec.source.key:
            taken.append("event_time")
        if event_time in _TAKEN:
            taken.append(event_time)
        probabilities = spec.output.probabilities
        taken_too = {*_TAKEN, "event_time", event_time, *spec.source.key} & {*probabilities.values()}
        if taken_too:
            raise SpecError(
                f"{spec.name} calls the column of a probability {min(taken_too)!r}, which is another column "
                "of the consumers' views",
                where=f"model.yaml of {spec.name}: output.probabilities",
                expected=f"other names than {', '.join(sorted({*_TAKEN, *spec.source.key}))}",
                examples=sorted(taken_too),
                fix="call it prob_ and the class",
            )
        if taken:
            raise SpecError(
                f"{spec.name} calls a key column {taken[0]!r}, which is a column of the consumers' views",
                where=f"model.yaml of {spec.name}: source.key, source.event_time",
                expected=f"other names than {', '.join(sorted(_TAKEN))}",
                examples=taken,
                fix="give the column an alias in extract.sql",
            )
        keys = tuple((name, held_as(name, key_types[name])) for name in spec.source.key)
        for name, kind in keys:
            if kind == pa.float64():
                raise StoreError(
                    f"key column {name!r} of {spec.name} is a float, which identifies nothing",
                    expected="an integer, text, a date, a moment or a boolean",
                    fix="cast it in extract.sql",
                )
            if name == event_time and kind != _TIMESTAMP:
                raise StoreError(
                    f"event time {name!r} of {spec.name} has type {kind}",
                    expected=str(_TIMESTAMP),
                    fix="cast it to timestamptz in extract.sql",
                )
        labelled = spec.target.kind != "regression"
        return cls(spec.name, keys, event_time, labelled, tuple(probabilities.items()))

    @classmethod
    def recorded(
        cls,
        model: str,
        key_columns: list[list[str]],
        event_time: str,
        labelled: bool,
        probabilities: list[list[str]],
    ) -> ScoreLayout:
        """Read back what the ``model`` table holds: :attr:`recorded_keys`, and classes with columns."""
        keys = tuple((name, _ARROW[kind]) for name, kind in key_columns)
        return cls(
            model, keys, event_time, labelled, tuple((label, column) for label, column in probabilities)
        )

    @property
    def recorded_keys(self) -> list[list[str]]:
        """Key columns as [name, Postgres type], for the ``model`` table."""
        return [[name, postgres_type(kind)] for name, kind in self.keys]

    @property
    def key_names(self) -> list[str]:
        """The key columns in order."""
        return [name for name, _ in self.keys]

    @property
    def row_schema(self) -> pa.Schema:
        """What identifies a row: the key, and the event time unless it is part of it."""
        fields = list(self.keys)
        if self.event_time not in self.key_names:
            fields.append((self.event_time, _TIMESTAMP))
        return pa.schema(fields)

    @property
    def score_schema(self) -> pa.Schema:
        """A score table's columns: the row, ``score``, and ``label`` and probabilities if there are any."""
        fields = [pa.field("score", pa.float64())]
        fields += [pa.field("label", pa.string())] if self.labelled else []
        fields += [pa.field(column, pa.float64()) for _, column in self.probabilities]
        return pa.schema([*self.row_schema, *fields])

    @property
    def said_of_rows(self) -> list[str]:
        """The columns beside what identifies a row: ``score``, ``label``, probabilities."""
        return [name for name in self.score_schema.names if name not in self.row_schema.names]

    @property
    def scores_table(self) -> str:
        """The name of the partitioned score table."""
        return f"scores_{self.model}"

    @property
    def excluded_table(self) -> str:
        """The name of the table of rows without a score."""
        return f"excluded_{self.model}"

    @property
    def keys_table(self) -> str:
        """The name of the table of keys that have a score: where the view of the latest ones begins."""
        return f"keys_{self.model}"

    @property
    def views(self) -> list[str]:
        """The consumers' views."""
        return [self.model, *(self.model + suffix for suffix in _VIEW_SUFFIXES)]

    def clashes(self, other: str) -> bool:
        """Whether model ``other`` has a view of a name that this one needs (``a`` and ``a_latest``)."""
        theirs = {other, *(other + suffix for suffix in _VIEW_SUFFIXES), *VIEW_COMMENTS}
        return bool(theirs & set(self.views))

    def select_list(self) -> sql.Composable:
        """The score table's own columns, in a score table's order."""
        return column_list(self.score_schema.names)

    def order(self) -> sql.Composable:
        """The total order of rows: by key; text columns are declared COLLATE "C"."""
        return column_list(self.key_names)

    def create(self, schema: str) -> sql.Composed:
        """Tables: scores by month of the event time, and the rows without one.

        No foreign key from a score to its run: it would be checked row by row. Text is ``COLLATE "C"``,
        so that the index gives the order that digests need. The table of keys, and the index by key, come
        from the function ``ensure_keys`` once the model is registered.
        """
        keyed = sql.SQL(", ").join(
            sql.SQL("{} {} NOT NULL").format(sql.Identifier(name), _column_type(kind))
            for name, kind in zip(self.row_schema.names, self.row_schema.types, strict=True)
        )
        return sql.SQL(
            """
CREATE TABLE {scores} (
  run_id uuid NOT NULL, {keyed}, score double precision NOT NULL{label}{probabilities},
  PRIMARY KEY (run_id, {row})) PARTITION BY RANGE ({event_time});
CREATE TRIGGER never_changed BEFORE UPDATE ON {scores}
  FOR EACH ROW EXECUTE FUNCTION {refuse}();
CREATE TABLE {excluded} (
  run_id uuid NOT NULL REFERENCES {run} (run_id), "position" bigint NOT NULL, {keyed},
  kind text NOT NULL CHECK (kind IN ('quarantined', 'rejected')), reason text NOT NULL,
  PRIMARY KEY (run_id, "position"));
CREATE INDEX ON {excluded} ({key});
"""
        ).format(
            scores=sql.Identifier(schema, self.scores_table),
            excluded=sql.Identifier(schema, self.excluded_table),
            run=sql.Identifier(schema, "run"),
            refuse=sql.Identifier(schema, "refuse_score_change"),
            keyed=keyed,
            label=sql.SQL(", label text") if self.labelled else sql.SQL(""),
            probabilities=sql.Composed(
                sql.SQL(", {} double precision NOT NULL").format(sql.Identifier(column))
                for _, column in self.probabilities
            ),
            row=column_list(self.row_schema.names),
            key=column_list(self.key_names),
            event_time=sql.Identifier(self.event_time),
        )

    def as_digested(self, columns: Sequence[tuple[str, str]]) -> ScoreLayout:
        """The layout as it was when scores of these columns and types were staged: keys may be wider now."""
        names = {str(kind): kind for kind in _WIDTHS}
        then = {name: names[kind] for name, kind in columns if kind in names}
        return replace(self, keys=tuple((name, then.get(name, kind)) for name, kind in self.keys))

    def widened(self, other: ScoreLayout) -> ScoreLayout | None:
        """The layout with integer keys as wide as in either; None if they differ in anything else."""
        if self.key_names != other.key_names:
            return None
        keys = []
        for (name, kind), (_, wanted) in zip(self.keys, other.keys, strict=True):
            both = {kind, wanted} <= {*_WIDTHS}
            if kind != wanted and not both:
                return None
            keys.append((name, max(kind, wanted, key=_WIDTHS.index) if both else kind))
        wider = replace(self, keys=tuple(keys))
        return wider if replace(other, keys=wider.keys) == wider else None

    def widen(self, schema: str, consumer: str, recorded: ScoreLayout) -> sql.Composed:
        """Give the key columns of existing tables the types of this layout; drops the views for it."""
        statements = [
            sql.SQL("DROP VIEW IF EXISTS {};").format(sql.Identifier(consumer, view)) for view in self.views
        ]
        for (name, kind), (_, before) in zip(self.keys, recorded.keys, strict=True):
            if kind == before:
                continue
            for table in (self.scores_table, self.excluded_table, self.keys_table):
                statements.append(
                    sql.SQL("ALTER TABLE {} ALTER COLUMN {} TYPE {};").format(
                        sql.Identifier(schema, table), sql.Identifier(name), _column_type(kind)
                    )
                )
        return sql.Composed(statements)


def row_columns(scores: pa.Table) -> list[str]:
    """The columns of a score table that identify its rows: no float does."""
    return [name for name in scores.column_names if name not in {"label", *score_columns(scores)}]


def score_columns(scores: pa.Table) -> list[str]:
    """The columns of a score table that the model computed: ``score``, then the published probabilities."""
    return [field.name for field in scores.schema if pa.types.is_floating(field.type)]


def column_list(names: list[str]) -> sql.Composable:
    """Columns as a query lists them."""
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _column_type(kind: pa.DataType) -> sql.SQL:
    name = postgres_type(kind)
    if not re.fullmatch(r"[a-z ]+", name):  # from our own table of types, never from outside
        raise AssertionError(name)
    return sql.SQL(name + ' COLLATE "C"') if name == "text" else sql.SQL(name)
