"""What is known of many models at once, one query a question: what a list of models is made of."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Select,
    Text,
    and_,
    cast,
    column,
    func,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on

from rescore.interval import Interval
from rescore.sha256 import Sha256
from rescore.store.database import Database
from rescore.store.records import Pin, RunState
from rescore.store.runs.silent_labels import SilentLabels, silent_labels
from rescore.store.schema.tables import claim as claim_table
from rescore.store.schema.tables import current_publication, measured_interval
from rescore.store.schema.tables import drift as drift_table
from rescore.store.schema.tables import performance as performance_table
from rescore.store.schema.tables import pin as pin_table
from rescore.store.schema.tables import publication as publication_table
from rescore.store.schema.tables import run as run_table
from rescore.store.schema.view_handles import publication_current

__all__ = ["LastPublished", "Outcome", "Overview", "Use"]


@dataclass(frozen=True)
class Outcome:
    """What became of one interval: its published run, else the latest attempt at it.

    Attributes
    ----------
    state : str
        The run's; ``held`` is said apart.
    held : bool
        Whether it waits for a person.
    published : bool
        Whether consumers see its scores.
    publications : int
        How often the interval was published; what came before the last is superseded.
    verdict, sentence : str or None
        Of the drift report.
    """

    model: str
    interval: Interval
    run_id: str
    state: RunState
    held: bool
    published: bool
    publications: int
    verdict: str | None
    sentence: str | None
    claimed_at: datetime


@dataclass(frozen=True)
class LastPublished:
    """A model's latest published interval, and which package scored it."""

    run_id: str
    interval: Interval
    published_at: datetime
    package_version: str | None
    verdict: str | None
    sentence: str | None


@dataclass(frozen=True)
class Use:
    """What a package has published: how many runs, from when to when, and how many rows."""

    runs: int
    within: Interval
    rows: int


class Overview:
    """Facts about many models, each read by one query for all of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def outcomes(self, since: Mapping[str, datetime]) -> dict[str, list[Outcome]]:
        """Of each model the intervals that ended after a moment, oldest first.

        Parameters
        ----------
        since : mapping of str to datetime
            Model to moment.
        """
        if not since:
            return {}
        models_of: dict[datetime, list[str]] = {}
        for model, moment in since.items():
            models_of.setdefault(moment, []).append(model)
        wanted = or_(
            *(
                and_(run_table.c.model.in_(models), run_table.c.interval_end > moment)
                for moment, models in models_of.items()
            )
        )
        of_interval = (run_table.c.model, run_table.c.interval_start, run_table.c.interval_end)
        sequence = publication_table.c.sequence
        query = select(
            *of_interval,
            run_table.c.run_id,
            run_table.c.state,
            run_table.c.error.is_not(None).label("with_error"),
            sequence.is_not(None).label("published"),
            func.count(sequence).over(partition_by=of_interval).label("publications"),
            drift_table.c.verdict,
            drift_table.c.sentence,
            run_table.c.claimed_at,
        ).select_from(
            run_table.outerjoin(
                publication_table, publication_table.c.run_id == run_table.c.run_id
            ).outerjoin(drift_table, drift_table.c.run_id == run_table.c.run_id)
        )
        query = query.where(wanted).ext(distinct_on(*of_interval))
        query = query.order_by(*of_interval, sequence.desc().nulls_last(), run_table.c.fence.desc())
        found: dict[str, list[Outcome]] = {model: [] for model in since}
        for row in self._rows(query):
            found[row.model].append(
                Outcome(
                    model=row.model,
                    interval=Interval(row.interval_start, row.interval_end),
                    run_id=row.run_id,
                    state=row.state,
                    held=row.state == "checked" and row.with_error,
                    published=row.published,
                    publications=row.publications,
                    verdict=row.verdict,
                    sentence=row.sentence,
                    claimed_at=row.claimed_at,
                )
            )
        return found

    def last_published(self, models: Collection[str]) -> dict[str, LastPublished]:
        """Of each model that has published something its latest interval."""
        of, asked = current_publication.c, _each(models)
        latest = (
            select(of.run_id, of.interval_start, of.interval_end, of.published_at, of.package_version)
            .where(of.model == asked.c.model)
            .order_by(of.interval_start.desc(), of.interval_end.desc())
            .limit(1)
            .lateral("latest")
        )
        query = select(asked.c.model, latest, drift_table.c.verdict, drift_table.c.sentence).select_from(
            asked.join(latest, true()).outerjoin(drift_table, drift_table.c.run_id == latest.c.run_id)
        )
        return {
            row.model: LastPublished(
                row.run_id,
                Interval(row.interval_start, row.interval_end),
                row.published_at,
                row.package_version,
                row.verdict,
                row.sentence,
            )
            for row in self._rows(query)
        }

    def pins(self, models: Collection[str]) -> dict[str, Pin]:
        """Of each model that has a pin its last one."""
        query = select(pin_table).where(pin_table.c.model.in_(models)).ext(distinct_on(pin_table.c.model))
        query = query.order_by(pin_table.c.model, pin_table.c.pin_id.desc())
        return {row.model: Pin(**{**row._mapping, "sha256": Sha256(row.sha256)}) for row in self._rows(query)}

    def held(self, models: Collection[str]) -> dict[str, int]:
        """How many runs of each model wait for a person, of those intervals that were not published since."""
        bounds = ("model", "interval_start", "interval_end")
        published = select(publication_table.c.run_id).where(
            *(publication_table.c[name] == run_table.c[name] for name in bounds)
        )
        query = (
            select(run_table.c.model, func.count(func.distinct(run_table.c.interval_start)))
            # Nobody can release a run that another one took its interval from.
            .join(claim_table, claim_table.c.run_id == run_table.c.run_id)
            .where(run_table.c.model.in_(models))
            .where(run_table.c.state == "checked", run_table.c.error.is_not(None))
            .where(~published.exists())
            .group_by(run_table.c.model)
        )
        return dict(self._rows(query))

    def performances(self, models: Collection[str]) -> dict[str, Mapping[str, Any]]:
        """Of each model the ``latest`` part of the last performance report of what consumers see."""
        asked, at, shown, kept = (
            _each(models),
            measured_interval.c,
            current_publication.c,
            performance_table.c,
        )
        latest = (
            select(kept.metrics["latest"].label("latest"))
            .select_from(measured_interval)
            .join(
                current_publication,
                and_(*(shown[one] == at[one] for one in ("model", "interval_start", "interval_end"))),
            )
            .join(performance_table, kept.run_id == shown.run_id)
            .where(at.model == asked.c.model)
            .order_by(at.interval_start.desc(), at.interval_end.desc(), kept.performance_id.desc())
            .limit(1)
            .lateral("report")
        )
        query = select(asked.c.model, latest.c.latest).select_from(asked.join(latest, true()))
        return {row.model: row.latest for row in self._rows(query) if row.latest}

    def drift_alarms(self, models: Collection[str]) -> dict[str, Mapping[str, Any]]:
        """Of each model the ``alarm`` of its latest interval with a drift report, if it has one."""
        published = publication_current.c.run_id.is_not(None)
        latest = (
            select(run_table.c.model, run_table.c.run_id)
            .join(drift_table, drift_table.c.run_id == run_table.c.run_id)
            .outerjoin(publication_current, publication_current.c.run_id == run_table.c.run_id)
            .where(run_table.c.model.in_(models))
            .ext(distinct_on(run_table.c.model))
            .order_by(
                run_table.c.model,
                *(run_table.c[name].desc() for name in ("interval_start", "interval_end")),
                *(published.desc(), run_table.c.fence.desc()),
            )
            .subquery()
        )
        query = select(latest.c.model, drift_table.c.report["alarm"].label("alarm"))
        query = query.join(drift_table, drift_table.c.run_id == latest.c.run_id)
        return {row.model: row.alarm for row in self._rows(query) if row.alarm}

    def silent_labels(self, delays: Mapping[str, timedelta], now: datetime) -> dict[str, SilentLabels]:
        """Of each model whose labels have stopped or thinned out the runs that lack them.

        Parameters
        ----------
        delays : mapping of str to timedelta
            Model to how long after an interval's end its labels are known.
        now : datetime
            Aware.
        """
        return silent_labels(self._rows, delays, now)

    def uses(self, model: str) -> dict[str, Use]:
        """What each of a model's packages has published, by its sha256; superseded runs count, too."""
        of = run_table.c
        query = (
            select(
                of.package_sha256,
                func.count().label("runs"),
                func.min(of.interval_start).label("first"),
                func.max(of.interval_end).label("last"),
                func.sum(of.rows_scored).label("rows"),
            )
            .join(publication_table, publication_table.c.run_id == of.run_id)
            .where(of.model == model)
            .group_by(of.package_sha256)
        )
        return {
            row.package_sha256: Use(row.runs, Interval(row.first, row.last), int(row.rows or 0))
            for row in self._rows(query)
        }

    def of_dag_run(self, dag_id: str, dag_run: str) -> str | None:
        """The last run that an Airflow DAG run made, None if it made none."""
        query = (
            select(run_table.c.run_id)
            .where(
                run_table.c.airflow["dag_id"].astext == dag_id,
                run_table.c.airflow["run_id"].astext == dag_run,
            )
            .order_by(run_table.c.claimed_at.desc())
            .limit(1)
        )
        return next((row.run_id for row in self._rows(query)), None)

    def _rows(self, query: Select[Any]) -> list[Any]:
        with self._database.transaction() as connection:
            return list(connection.execute(query))


def _each(models: Collection[str]) -> Any:
    """Models as a table of one column: what a lateral query is asked for."""
    names = func.unnest(cast([*models], ARRAY(Text)))
    return names.table_valued(column("model", Text), name="asked").render_derived()
