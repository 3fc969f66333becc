"""What is known about a run: validation, rows without a score, drift, performance, reproductions."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
from psycopg2 import sql
from sqlalchemy import Connection, Row, Table, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from rescore.errors import RowAccountingError, StoreError
from rescore.interval import parse_moment
from rescore.store.binary_copy import copy_in
from rescore.store.database import run_sql
from rescore.store.jsonable import jsonable
from rescore.store.records import RunReference, run_id_of
from rescore.store.runs.queries import run_row
from rescore.store.runs.states import Runs
from rescore.store.schema.score_table import EXCLUDED_KINDS, ScoreLayout
from rescore.store.schema.tables import drift as drift_table
from rescore.store.schema.tables import performance as performance_table
from rescore.store.schema.tables import reproduction as reproduction_table
from rescore.store.schema.tables import run as run_table
from rescore.store.schema.tables import validation as validation_table

__all__ = ["Evidence"]


class Evidence(Runs):
    """The part of the store that keeps reports."""

    def record_validation(self, run: RunReference, report: Mapping[str, Any]) -> None:
        """Keep a validation report; ``report["success"]`` is its outcome. Before scores are staged."""
        with self.transaction() as connection:
            row = self._unscored(connection, run)
            _upsert(
                connection,
                validation_table,
                row.run_id,
                success=bool(report["success"]),
                report=jsonable(report),
            )

    def record_excluded(
        self,
        run: RunReference,
        rows: pa.Table,
        *,
        positions: Sequence[int],
        kinds: Sequence[str],
        reasons: Sequence[str],
    ) -> None:
        """Keep the rows that get no score, and count them; recording the same again changes nothing.

        Parameters
        ----------
        run : str or RunHandle or Run
            An open run without scores, of a model that has tables (``ensure_model``).
        rows : pyarrow.Table
            The excluded rows' key columns and event time; more columns are ignored.
        positions : sequence of int
            Their positions in the frozen input, from 0.
        kinds : sequence of {'quarantined', 'rejected'}
            What became of each.
        reasons : sequence of str
            Why, in words.

        Raises
        ------
        RowAccountingError
            The lengths differ, a position occurs twice, or a kind is unknown.
        StoreError
            The run has other excluded rows already.
        """
        lengths = {rows.num_rows, len(positions), len(kinds), len(reasons)}
        unknown = sorted(set(kinds) - set(EXCLUDED_KINDS))
        if len(lengths) > 1 or len(set(positions)) != len(positions) or unknown:
            raise RowAccountingError(
                f"the excluded rows of run {run_id_of(run)} do not fit together",
                expected=f"per row a kind ({', '.join(EXCLUDED_KINDS)}), a reason and a position of its own",
                examples=[f"{rows.num_rows} rows", f"{len(positions)} positions", *unknown],
            )
        with self.transaction() as connection:
            row = self._unscored(connection, run)
            counts = {f"rows_{kind}": list(kinds).count(kind) for kind in EXCLUDED_KINDS}
            connection.execute(update(run_table).where(run_table.c.run_id == row.run_id).values(counts))
            if not rows.num_rows and not self._has_tables(connection, row.model):
                return
            layout = self._layout(connection, row.model)
            known = self._excluded(connection, layout, row.run_id)
            given = sorted(zip(positions, kinds, reasons, strict=True))
            if known and known != given:
                raise StoreError(
                    f"run {row.run_id} has set other rows aside already",
                    expected=f"the same {len(known):,} rows, or none yet",
                    fix="fork the run",
                )
            if not known and given:
                self._copy_excluded(connection, layout, row.run_id, rows, positions, kinds, reasons)

    def _copy_excluded(
        self,
        connection: Connection,
        layout: ScoreLayout,
        run_id: str,
        rows: pa.Table,
        positions: Sequence[int],
        kinds: Sequence[str],
        reasons: Sequence[str],
    ) -> None:
        table = rows.select(layout.row_schema.names).cast(layout.row_schema)
        table = table.add_column(0, "position", pa.array(positions, pa.int64()))
        table = table.append_column("kind", pa.array(kinds, pa.string()))
        table = table.append_column("reason", pa.array(reasons, pa.string()))
        target = self.qualified(layout.excluded_table)
        copy_in(connection, target, table, constants={"run_id": uuid.UUID(run_id)})

    def excluded_positions(self, run: RunReference) -> list[int]:
        """Positions in the frozen input of the rows without a score, ascending."""
        with self.transaction() as connection:
            row = run_row(connection, run_id_of(run))
            if not self._has_tables(connection, row.model):
                return []
            layout = self._layout(connection, row.model)
            return [position for position, _, _ in self._excluded(connection, layout, row.run_id)]

    def excluded_counts(self, run: RunReference) -> dict[str, int]:
        """How many rows of the run are kept as quarantined and as rejected; counted, not recorded."""
        with self.transaction() as connection:
            row = run_row(connection, run_id_of(run))
            return self._excluded_counts(connection, row)

    def _excluded_counts(self, connection: Connection, row: Row[Any]) -> dict[str, int]:
        counts = dict.fromkeys(EXCLUDED_KINDS, 0)
        if self._has_tables(connection, row.model):
            table = self.qualified(self._layout(connection, row.model).excluded_table)
            statement = sql.SQL("SELECT kind, count(*) FROM {} WHERE run_id = %s GROUP BY kind").format(table)
            counts |= dict(run_sql(connection, statement, (row.run_id,)))
        return counts

    def _excluded(self, connection: Connection, layout: ScoreLayout, run_id: str) -> list[tuple[Any, ...]]:
        statement = sql.SQL('SELECT "position", kind, reason FROM {} WHERE run_id = %s ORDER BY "position"')
        return run_sql(connection, statement.format(self.qualified(layout.excluded_table)), (run_id,))

    def record_drift(self, run: RunReference, report: Mapping[str, Any]) -> None:
        """Keep a drift report; verdict and sentence stand beside the scores. A later one replaces it."""
        with self.transaction() as connection:
            row = self._open(connection, run)
            _upsert(
                connection,
                drift_table,
                row.run_id,
                verdict=str(report["verdict"]),
                sentence=str(report["sentence"]),
                report=jsonable(report),
            )

    def record_performance(
        self,
        run: RunReference,
        as_of: datetime,
        metrics: Mapping[str, Any],
        *,
        label_coverage: float | None = None,
    ) -> None:
        """Add realised metrics of a run, from the labels known by ``as_of``; earlier ones stay.

        ``label_coverage`` is the fraction of scored rows whose label is known, 0 to 1.
        """
        self._append(
            performance_table,
            run,
            as_of=parse_moment(as_of, name="as_of"),
            label_coverage=label_coverage,
            metrics=jsonable(metrics),
        )

    def record_reproduction(self, run: RunReference, verdict: str, details: Mapping[str, Any]) -> None:
        """Add the outcome of scoring a run again; earlier ones stay."""
        self._append(reproduction_table, run, verdict=verdict, details=jsonable(details))

    def validation_of(self, run: RunReference) -> dict[str, Any] | None:
        """The run's validation report, None if there is none."""
        return self._report(validation_table, run)

    def drift_of(self, run: RunReference) -> dict[str, Any] | None:
        """The run's drift report, None if there is none."""
        return self._report(drift_table, run)

    def performances(self, run: RunReference) -> list[dict[str, Any]]:
        """Realised metrics of the run, oldest first: as_of, label_coverage, metrics, at."""
        return self._appended(performance_table, run)

    def reproductions(self, run: RunReference) -> list[dict[str, Any]]:
        """Outcomes of scoring the run again, oldest first: verdict, details, at."""
        return self._appended(reproduction_table, run)

    def _unscored(self, connection: Connection, run: RunReference) -> Row[Any]:
        row = self._open(connection, run)
        if row.score_digest is not None:
            raise StoreError(
                f"run {row.run_id} has scores already, made from the rows that had passed",
                expected="a run without scores",
                fix="fork the run",
            )
        return row

    def _append(self, table: Table, run: RunReference, **values: Any) -> None:
        with self.transaction() as connection:
            row = run_row(connection, run_id_of(run))
            connection.execute(insert(table).values(run_id=row.run_id, **values))

    def _appended(self, table: Table, run: RunReference) -> list[dict[str, Any]]:
        number = next(iter(table.primary_key.columns))
        with self.transaction() as connection:
            row = run_row(connection, run_id_of(run))
            query = select(table).where(table.c.run_id == row.run_id).order_by(number)
            return [dict(found._mapping) for found in connection.execute(query)]

    def _report(self, table: Table, run: RunReference) -> dict[str, Any] | None:
        with self.transaction() as connection:
            row = run_row(connection, run_id_of(run))
            return connection.execute(select(table.c.report).where(table.c.run_id == row.run_id)).scalar()


def _upsert(connection: Connection, table: Table, run_id: str, **values: Any) -> None:
    statement = upsert(table).values(run_id=run_id, **values)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["run_id"],
            set_={name: statement.excluded[name] for name in [*values, "at"]},
        )
    )
