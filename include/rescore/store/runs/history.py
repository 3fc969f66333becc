"""What is known of a model's runs, interval by interval: what tables and pictures over time are made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, literal, literal_column, select, true
from sqlalchemy.dialects.postgresql import UUID, distinct_on

from rescore.interval import Interval
from rescore.store.database import Database
from rescore.store.report_records import (
    DueRun,
    Gap,
    IntervalDrift,
    IntervalRun,
    ModelStatus,
    RunPerformance,
    WeekPerformance,
)
from rescore.store.runs.silent_labels import AGAIN_AFTER, LABEL_SLACK
from rescore.store.schema.tables import drift as drift_table
from rescore.store.schema.tables import performance as performance_table
from rescore.store.schema.tables import run as run_table
from rescore.store.schema.view_handles import gaps as gaps_view
from rescore.store.schema.view_handles import publication_current
from rescore.store.schema.view_handles import status as status_view

__all__ = ["History"]


class History:
    """A model over time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def runs(self, model: str, last: int | None = None) -> list[IntervalRun]:
        """One run an interval, oldest first: the published one, else the latest attempt.

        Parameters
        ----------
        model : str
            The model.
        last : int, optional
            Only so many intervals, the latest.
        """
        names = ("rows_extracted", "rows_scored", "rows_quarantined", "rows_rejected", "package_version")
        rows = self._by_interval(model, last, *(run_table.c[name] for name in ("state", *names)))
        return [IntervalRun(**_with_interval(row)) for row in rows]

    def drift(self, model: str, last: int | None = None) -> list[IntervalDrift]:
        """As :meth:`runs`, of runs with a drift report."""
        kept = (drift_table.c.verdict, drift_table.c.sentence, drift_table.c.report)
        rows = self._by_interval(model, last, run_table.c.package_version, *kept, with_drift=True)
        return [IntervalDrift(**_with_interval(row)) for row in rows]

    def _by_interval(
        self, model: str, last: int | None, *columns: Any, with_drift: bool = False
    ) -> list[Row[Any]]:
        bounds = (run_table.c.interval_start, run_table.c.interval_end)
        published = publication_current.c.run_id.is_not(None)
        query = select(run_table.c.run_id, *bounds, published.label("published"), *columns)
        joined = run_table.outerjoin(publication_current, publication_current.c.run_id == run_table.c.run_id)
        if with_drift:
            joined = joined.join(drift_table, drift_table.c.run_id == run_table.c.run_id)
        query = query.select_from(joined).where(run_table.c.model == model).ext(distinct_on(*bounds))
        query = query.order_by(*(one.desc() for one in bounds), published.desc(), run_table.c.fence.desc())
        return self._rows(query.limit(last))[::-1]

    def performance_by_run(self, model: str, last: int | None = None) -> list[RunPerformance]:
        """The latest realised metrics of each published run, oldest interval first."""
        names = ("as_of", "label_coverage", "metrics", "at")
        kept = [performance_table.c[name] for name in names]
        bounds = (run_table.c.interval_start, run_table.c.interval_end)
        query = select(run_table.c.run_id, *bounds, *kept)
        joined = run_table.join(publication_current, publication_current.c.run_id == run_table.c.run_id)
        joined = joined.join(performance_table, performance_table.c.run_id == run_table.c.run_id)
        query = query.select_from(joined).where(run_table.c.model == model).ext(distinct_on(*bounds))
        latest = performance_table.c.performance_id.desc()
        query = query.order_by(*(one.desc() for one in bounds), latest)
        return [_performance(row) for row in self._rows(query.limit(last))[::-1]]

    def performance_of_package(
        self, model: str, package_sha256: str, started_from: datetime
    ) -> list[RunPerformance]:
        """The latest realised metrics of every run of a package from a time on, oldest first.

        Runs whose scores were replaced since are among them: what was concluded from them stays.
        """
        return self._latest_performance(
            run_table.c.model == model,
            run_table.c.package_sha256 == package_sha256,
            run_table.c.interval_start >= started_from,
        )

    def performance_of_runs(self, run_ids: Iterable[str]) -> list[RunPerformance]:
        """The latest realised metrics of these runs, oldest interval first."""
        return self._latest_performance(run_table.c.run_id.in_([*run_ids]))

    def _latest_performance(self, *where: ColumnElement[bool]) -> list[RunPerformance]:
        names = ("as_of", "label_coverage", "metrics", "at")
        order = (run_table.c.interval_start, run_table.c.interval_end, run_table.c.run_id)
        query = select(*order, *(performance_table.c[name] for name in names))
        query = query.select_from(
            run_table.join(performance_table, performance_table.c.run_id == run_table.c.run_id)
        )
        query = query.where(*where).ext(distinct_on(*order))
        query = query.order_by(*order, performance_table.c.performance_id.desc())
        return [_performance(row) for row in self._rows(query)]

    def first_performance(
        self, model: str, package_sha256: str, *, ended_by: datetime, first: int
    ) -> list[RunPerformance]:
        """The latest realised metrics of the first windows that a package scored, oldest first."""
        names = ("as_of", "label_coverage", "metrics", "at")
        kept = [performance_table.c[name] for name in names]
        bounds = (run_table.c.interval_start, run_table.c.interval_end)
        joined = run_table.join(publication_current, publication_current.c.run_id == run_table.c.run_id)
        joined = joined.join(performance_table, performance_table.c.run_id == run_table.c.run_id)
        query = select(run_table.c.run_id, *bounds, *kept).select_from(joined)
        query = query.where(
            run_table.c.model == model,
            run_table.c.package_sha256 == package_sha256,
            run_table.c.interval_end <= ended_by,
            performance_table.c.label_coverage > 0,
        )
        query = query.ext(distinct_on(*bounds)).order_by(*bounds, performance_table.c.performance_id.desc())
        return [_performance(row) for row in self._rows(query.limit(first))]

    def due_for_measuring(
        self,
        model: str,
        *,
        ended_by: datetime,
        now: datetime,
        min_age: timedelta,
        last: int,
        again: bool = False,
    ) -> list[DueRun]:
        """Published runs that were never measured, or whose missing labels may have come since.

        A run without a label for every row is due again when its age has doubled since it was measured, and
        has grown by ``min_age``. One that had no label at all when it was due is looked at again within
        ``LABEL_SLACK`` of that: labels that come some hours late are late by hours.

        Parameters
        ----------
        model : str
            The model.
        ended_by : datetime
            Only intervals that had ended by then: their labels should be known.
        now : datetime
            Ages count until then.
        min_age : timedelta
            The least time between two measurements.
        last : int
            Only so many intervals, the latest.
        again : bool
            Those too that have been measured with a label for every row.
        """
        current, kept = publication_current.c, performance_table.c
        newest = (
            select(kept.as_of, kept.label_coverage)
            .where(kept.run_id == current.run_id)
            .order_by(kept.performance_id.desc())
            .limit(1)
            .lateral("newest")
        )
        age = func.greatest(newest.c.as_of - current.interval_end, min_age)
        missing = newest.c.label_coverage.is_distinct_from(1) & (literal(now) - newest.c.as_of >= age)
        ripe_at = current.interval_end + (now - ended_by)
        none_yet = (func.coalesce(newest.c.label_coverage, 0) == 0) & (newest.c.as_of < ripe_at + LABEL_SLACK)
        missing |= none_yet & (literal(now) - newest.c.as_of >= func.greatest(AGAIN_AFTER, min_age))
        wanted = true() if again else newest.c.as_of.is_(None) | missing
        query = (
            select(current.run_id, current.interval_start, current.interval_end)
            .select_from(publication_current.outerjoin(newest, true()))
            .where(current.model == model, current.interval_end <= ended_by, wanted)
            .order_by(current.interval_start.desc())
            .limit(last)
        )
        return [DueRun(**_with_interval(row)) for row in self._rows(query)[::-1]]

    def performance_by_week(self, model: str, last: int | None = None) -> list[WeekPerformance]:
        """The latest realised metrics of each week of published runs, oldest first.

        They stand in the documents of runs, under ``week``: of the last run measured with the week.
        """
        document = performance_table.c.metrics["week"]
        monday = document["week"].astext
        query = select(performance_table.c.as_of, document.label("document"))
        query = query.select_from(
            performance_table.join(run_table, run_table.c.run_id == performance_table.c.run_id)
        )
        query = query.where(run_table.c.model == model, monday.is_not(None))
        query = query.ext(distinct_on(monday)).order_by(
            monday.desc(), performance_table.c.performance_id.desc()
        )
        rows = self._rows(query.limit(last))[::-1]
        return [WeekPerformance(row.as_of, row.document) for row in rows]

    def status(self) -> list[ModelStatus]:
        """One row per model, as consumers see it in ``scores.status``; by model."""
        columns: list[ColumnElement[Any]] = [
            literal_column(name, UUID(as_uuid=False) if name.endswith("run_id") else None)
            for name in (field.name for field in fields(ModelStatus))
        ]
        query = select(*columns).select_from(status_view).order_by(status_view.c.model)
        return [ModelStatus(**row._mapping) for row in self._rows(query)]

    def gaps(self, model: str, *, due_after: datetime, ended_by: datetime) -> list[Gap]:
        """Overdue intervals without scores, of those due since then and ended by then; oldest first."""
        view = gaps_view.c
        query = select(*(column for column in view if column is not view.model))
        query = query.where(
            view.model == model, view.due_at > due_after, view.interval_end <= ended_by
        ).order_by(view.interval_start)
        return [
            Gap(
                Interval(row.interval_start, row.interval_end),
                row.due_at,
                row.attempt_state,
                row.attempt_run_id,
                row.attempt_problem,
            )
            for row in self._rows(query)
        ]

    def _rows(self, query: Select[Any]) -> list[Row[Any]]:
        with self._database.transaction() as connection:
            return list(connection.execute(query).all())


def _with_interval(row: Row[Any]) -> dict[str, Any]:
    """The row's columns, its bounds as one interval."""
    values = dict(row._mapping)
    values["interval"] = Interval(values.pop("interval_start"), values.pop("interval_end"))
    return values


def _performance(row: Any) -> RunPerformance:
    bounds = Interval(row.interval_start, row.interval_end)
    return RunPerformance(row.run_id, bounds, row.as_of, row.label_coverage, row.metrics, row.at)
