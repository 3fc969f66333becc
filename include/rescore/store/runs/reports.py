"""What is known about a run: validation, drift, performance, reproductions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Table, select

from rescore.interval import Interval, parse_moment
from rescore.store.database import Database, call
from rescore.store.records import RunHandle, RunReference, run_id_of
from rescore.store.report_records import RunPerformance, StoredReproduction
from rescore.store.runs.queries import run_row, run_uuid
from rescore.store.schema.tables import drift as drift_table
from rescore.store.schema.tables import performance as performance_table
from rescore.store.schema.tables import reproduction as reproduction_table
from rescore.store.schema.tables import validation as validation_table

__all__ = ["Reports"]


class Reports:
    """Reports about runs; what is added never replaces what is there, unless it says so."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record_validation(self, run: RunHandle, report: Mapping[str, Any]) -> None:
        """Keep a validation report; ``report["success"]`` is its outcome. Until it is validated."""
        with self._database.transaction() as connection:
            passed = bool(report["success"])
            call(connection, "record_validation", run.run_id, run.fence, passed, dict(report))

    def record_drift(self, run: RunHandle, report: Mapping[str, Any]) -> None:
        """Keep a drift report; verdict and sentence stand beside the scores.

        Of a scored run; until it is checked a later one replaces it.
        """
        with self._database.transaction() as connection:
            words = (str(report["verdict"]), str(report["sentence"]))
            call(connection, "record_drift", run.run_id, run.fence, *words, dict(report))

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
        of_run = run_uuid(run_id_of(run))
        moment = parse_moment(as_of, name="as_of")
        with self._database.transaction() as connection:
            call(connection, "record_performance", of_run, moment, label_coverage, dict(metrics))

    def record_reproduction(self, run: RunReference, verdict: str, details: Mapping[str, Any]) -> None:
        """Add the outcome of scoring a run again; earlier ones stay."""
        of_run = run_uuid(run_id_of(run))
        with self._database.transaction() as connection:
            call(connection, "record_reproduction", of_run, verdict, dict(details))

    def validation_of(self, run: RunReference) -> dict[str, Any] | None:
        """The run's validation report, None if there is none."""
        return self._report(validation_table, run)

    def drift_of(self, run: RunReference) -> dict[str, Any] | None:
        """The run's drift report, None if there is none."""
        return self._report(drift_table, run)

    def performances(self, run: RunReference) -> list[RunPerformance]:
        """Realised metrics of the run, oldest first."""
        with self._database.transaction() as connection:
            row = run_row(connection, run_id_of(run))
            interval = Interval(row.interval_start, row.interval_end)
            return [
                RunPerformance(
                    row.run_id, interval, found.as_of, found.label_coverage, found.metrics, found.at
                )
                for found in _appended(connection, performance_table, row.run_id)
            ]

    def reproductions(self, run: RunReference) -> list[StoredReproduction]:
        """Outcomes of scoring the run again, oldest first."""
        with self._database.transaction() as connection:
            row = run_row(connection, run_id_of(run))
            return [
                StoredReproduction(row.run_id, found.verdict, found.details, found.at)
                for found in _appended(connection, reproduction_table, row.run_id)
            ]

    def _report(self, table: Table, run: RunReference) -> dict[str, Any] | None:
        with self._database.transaction() as connection:
            row = run_row(connection, run_id_of(run))
            return connection.execute(select(table.c.report).where(table.c.run_id == row.run_id)).scalar()


def _appended(connection: Connection, table: Table, run_id: str) -> Sequence[Row[Any]]:
    number = next(iter(table.primary_key.columns))
    return connection.execute(select(table).where(table.c.run_id == run_id).order_by(number)).all()
