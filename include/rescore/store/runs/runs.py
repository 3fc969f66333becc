"""Runs: attempts to score one interval, from their claim to their end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, and_, cast, func, select, union_all
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on

from rescore.errors import NotFoundError
from rescore.interval import Interval
from rescore.json_values import json_value
from rescore.store.database import Database, call
from rescore.store.records import (
    ExtractedRun,
    OpenState,
    Run,
    RunHandle,
    RunReference,
    ScoredRun,
    run_id_of,
)
from rescore.store.retention.deletions import deleted_runs
from rescore.store.runs.claims import claim, fork, resume
from rescore.store.runs.error_record import described
from rescore.store.runs.queries import read_run, read_runs
from rescore.store.schema.removal_tables import deletion as deletion_table
from rescore.store.schema.tables import attempt as attempt_table
from rescore.store.schema.tables import claim as claim_table
from rescore.store.schema.tables import run as run_table
from rescore.store.schema.tables import shard as shard_table
from rescore.store.schema.view_handles import publication_current, publication_history

__all__ = ["Runs"]


class Runs:
    """Runs by their claim, their states and the facts about them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(
        self,
        model: str,
        interval: Interval,
        as_of: datetime,
        *,
        airflow: Mapping[str, Any] | None = None,
        code_revision: str | None = None,
        environment: Mapping[str, Any] | None = None,
    ) -> RunHandle:
        """Begin a run; whoever claimed the interval before can't publish it any more.

        Parameters
        ----------
        model : str
            The model.
        interval : Interval
            Exactly one of the schedule's intervals.
        as_of : datetime
            What had been recorded by then will be seen.
        airflow : mapping, optional
            dag, run, task and try.
        code_revision : str, optional
            The revision of the code that runs.
        environment : mapping, optional
            The numeric environment and versions.
        """
        facts = {
            "code_revision": code_revision,
            "environment": json_value(environment or {}),
            "airflow": json_value(airflow) if airflow else None,
        }
        with self._database.transaction() as connection:
            return claim(connection, model, interval, as_of, facts)

    def fork(
        self, run: RunReference, *, until: str = "validated", airflow: Mapping[str, Any] | None = None
    ) -> RunHandle:
        """Begin a run that continues from another's frozen input and, if it passed, its validation.

        For a retried or cleared task: the fork's fence is newer, so whatever the earlier attempt
        still does can't be published. Scores and drift are not inherited; they are made again.

        Parameters
        ----------
        run : str or RunHandle or Run
            The run to continue, in whatever state.
        until : {'validated', 'extracted'}
            ``extracted`` leaves its validation behind, to validate again.
        airflow : mapping, optional
            dag, run, task and try; default is the run's.

        Raises
        ------
        NotFoundError
            No such run.
        """
        with self._database.transaction() as connection:
            return fork(connection, run_id_of(run), until=until, airflow=airflow)

    def resume(self, run: RunReference, state: OpenState) -> RunHandle:
        """Begin an attempt at a run that is in ``state``: earlier ones can't change anything any more.

        A run that has gone on from there, has scores or is being written to is forked instead: the
        handle is then another run's.

        Raises
        ------
        StaleFenceError
            Another run has claimed the interval.
        """
        with self._database.transaction() as connection:
            return resume(connection, run_id_of(run), state)

    def get(self, run: RunReference) -> Run:
        """One run.

        Raises
        ------
        NotFoundError
            No such run.
        """
        with self._database.transaction() as connection:
            return read_run(connection, run_id_of(run))

    def extracted(self, run: RunReference) -> ExtractedRun:
        """One run, whose input is frozen.

        Raises
        ------
        NotFoundError
            No such run, or it has no frozen input.
        """
        named = self.get(run)
        if not isinstance(named, ExtractedRun):
            raise _without(named, "frozen input")
        return named

    def scored(self, run: RunReference) -> ScoredRun:
        """One run that has scores.

        Raises
        ------
        NotFoundError
            No such run, or it has no scores.
        """
        named = self.get(run)
        if not isinstance(named, ScoredRun):
            raise _without(named, "scores")
        return named

    def latest(
        self, model: str | None = None, limit: int = 100, *, interval: Interval | None = None
    ) -> list[Run]:
        """Runs, newest first."""
        query = select(run_table)
        if model is not None:
            query = query.where(run_table.c.model == model)
        if interval is not None:
            query = query.where(
                run_table.c.interval_start == interval.start, run_table.c.interval_end == interval.end
            )
        with self._database.transaction() as connection:
            return read_runs(connection, query.order_by(run_table.c.claimed_at.desc()).limit(limit))

    def of_model(self, model: str) -> list[Run]:
        """All runs of a model, oldest first."""
        query = select(run_table).where(run_table.c.model == model).order_by(run_table.c.claimed_at)
        with self._database.transaction() as connection:
            return read_runs(connection, query)

    def last_attempts(self, model: str) -> dict[str, datetime]:
        """When the last attempt at each run of a model, or at a shard of it, began or was staged."""
        run_ids = select(run_table.c.run_id).where(run_table.c.model == model)
        moments = union_all(
            select(attempt_table.c.run_id, attempt_table.c.at).where(attempt_table.c.model == model),
            *(
                select(shard_table.c.run_id, moment).where(
                    shard_table.c.run_id.in_(run_ids), moment.is_not(None)
                )
                for moment in (shard_table.c.begun_at, shard_table.c.done_at)
            ),
        ).subquery()
        query = select(moments.c.run_id, func.max(moments.c.at)).group_by(moments.c.run_id)
        with self._database.transaction() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def claimants(self, model: str) -> set[str]:
        """The runs that nobody took their interval from: only they can still be published."""
        query = select(claim_table.c.run_id).where(claim_table.c.model == model)
        with self._database.transaction() as connection:
            return set(connection.execute(query).scalars())

    def published(
        self,
        model: str,
        interval: Interval | None = None,
        *,
        current: bool = True,
        last: int | None = None,
        ended_by: datetime | None = None,
        ended_after: datetime | None = None,
        started_in: Interval | None = None,
        package_sha256: str | None = None,
        run_ids: Collection[str] | None = None,
    ) -> list[ScoredRun]:
        """Published runs by interval, then in the order of publication.

        Parameters
        ----------
        model : str
            The model.
        interval : Interval, optional
            Only this one.
        current : bool
            Only what consumers see now; False: superseded ones, too.
        last : int, optional
            Only so many, the latest.
        ended_by : datetime, optional
            Only intervals that had ended by then.
        ended_after : datetime, optional
            Only intervals that ended later.
        started_in : Interval, optional
            Only intervals that start within.
        package_sha256 : str, optional
            Only what this package scored.
        run_ids : collection of str, optional
            Only these.
        """
        published = publication_current if current else publication_history
        query = select(run_table).join(published, published.c.run_id == run_table.c.run_id)
        query = query.where(run_table.c.model == model)
        if interval is not None:
            query = query.where(
                run_table.c.interval_start == interval.start, run_table.c.interval_end == interval.end
            )
        if ended_by is not None:
            query = query.where(run_table.c.interval_end <= ended_by)
        if ended_after is not None:
            query = query.where(run_table.c.interval_end > ended_after)
        if started_in is not None:
            starts = run_table.c.interval_start
            query = query.where(starts >= started_in.start, starts < started_in.end)
        if package_sha256 is not None:
            query = query.where(run_table.c.package_sha256 == package_sha256)
        if run_ids is not None:
            query = query.where(run_table.c.run_id.in_(run_ids))
        order = (run_table.c.interval_start, run_table.c.interval_end, published.c.sequence)
        query = query.order_by(*(column.desc() for column in order)).limit(last)
        with self._database.transaction() as connection:
            return [run for run in read_runs(connection, query)[::-1] if isinstance(run, ScoredRun)]

    def with_input(
        self, model: str, *, window: Interval | None = None, last: int | None = None
    ) -> list[ExtractedRun]:
        """For each interval the run whose frozen rows count, by interval.

        The published run, since its rows were really scored; where nothing was published, the last run
        that froze rows.

        Parameters
        ----------
        model : str
            The model.
        window : Interval, optional
            Only intervals inside of it.
        last : int, optional
            Only so many intervals, the latest.
        """
        bounds = (run_table.c.interval_start, run_table.c.interval_end)
        query = select(run_table).outerjoin(
            publication_current, publication_current.c.run_id == run_table.c.run_id
        )
        query = query.where(run_table.c.model == model, run_table.c.input_digest.is_not(None))
        if window is not None:
            query = query.where(bounds[0] >= window.start, bounds[1] <= window.end)
        published = publication_current.c.run_id.is_not(None)
        query = query.ext(distinct_on(*bounds)).order_by(
            *(bound.desc() for bound in bounds), published.desc(), run_table.c.claimed_at.desc()
        )
        with self._database.transaction() as connection:
            runs = read_runs(connection, query.limit(last))[::-1]
        return [run for run in runs if isinstance(run, ExtractedRun)]

    def inputs(self, models: Collection[str], *, scored: bool) -> set[str]:
        """Digests of the frozen tables of runs that have rows, or may get some: with scores, or without."""
        query = _with_rows(models).where(_has_scores() == scored).with_only_columns(run_table.c.input_digest)
        with self._database.transaction() as connection:
            return set(connection.execute(query.distinct()).scalars())

    def of_inputs(self, digests: Collection[str], models: Collection[str]) -> list[ExtractedRun]:
        """The runs that have rows of these frozen tables, or may get some, oldest first."""
        query = _with_rows(models).where(run_table.c.input_digest.in_(digests))
        with self._database.transaction() as connection:
            runs = read_runs(connection, query.order_by(run_table.c.claimed_at))
        return [run for run in runs if isinstance(run, ExtractedRun)]

    def packages_of_inputs(self, digests: Collection[str]) -> set[str]:
        """The sha256 of each package that scored one of these frozen tables."""
        there = (
            func.unnest(cast([*digests], ARRAY(Text))).table_valued("digest", name="there").render_derived()
        )
        query = select(run_table.c.package_sha256).distinct()
        query = query.join(there, there.c.digest == run_table.c.input_digest)
        with self._database.transaction() as connection:
            found = connection.execute(query.where(run_table.c.package_sha256.is_not(None)))
            return set(found.scalars())

    def update(self, run: RunHandle, **facts: Any) -> None:
        """Record facts about an open run: ``input_digest``, ``input_uri``, ``query_sha256``, ``environment``,
        ``rows_extracted``, ``rows_quarantined``, ``rows_rejected``, ``code_revision``, ``airflow``.

        Raises
        ------
        NotFoundError
            No such run.
        StaleFenceError
            A later attempt has begun.
        StoreError
            The run is published, failed or stopped; or no such fact.
        """
        with self._database.transaction() as connection:
            call(connection, "note_facts", run.run_id, run.fence, facts)

    def advance(self, run: RunHandle, state: OpenState, **facts: Any) -> None:
        """Record facts and that the run has reached ``state``; reaching it again changes nothing.

        Parameters
        ----------
        run : RunHandle
            The attempt.
        state : {'extracted', 'validated', 'scored', 'checked'}
            Never earlier than the state the run is in.
        **facts
            As for :meth:`update`.

        Raises
        ------
        StaleFenceError
            A later attempt has claimed the interval: nothing this one does can be published.
        StoreError
            The run is closed, the state is earlier, or what the state stands for was not recorded.
        """
        with self._database.transaction() as connection:
            call(connection, "advance", run.run_id, run.fence, state, facts)

    def fail(self, run: RunHandle, error: BaseException | str) -> None:
        """Record why the run ends without being published; a run that has ended stays as it is."""
        with self._database.transaction() as connection:
            call(connection, "end_run", run.run_id, run.fence, "failed", described(error))

    def stop(self, run: RunHandle, error: BaseException | str) -> None:
        """Record that the run was stopped before publishing (an outage); a person may still publish it."""
        with self._database.transaction() as connection:
            call(connection, "end_run", run.run_id, run.fence, "stopped", described(error))

    def hold(self, run: RunHandle, error: BaseException | str) -> None:
        """Record why a run may be published by a person only; it stays open.

        Call it before the run is ``checked``, so that no crash leaves it ready and not held.
        """
        with self._database.transaction() as connection:
            call(connection, "hold", run.run_id, run.fence, described(error))


def _with_rows(models: Collection[str]) -> Select[Any]:
    """Runs of models that froze rows, and whose scores and rows without one nobody deleted."""
    gone = deleted_runs().where(deletion_table.c.subject == cast(run_table.c.run_id, Text)).exists()
    frozen = run_table.c.input_digest.is_not(None)
    return select(run_table).where(run_table.c.model.in_(models), frozen, ~gone)


def _has_scores() -> ColumnElement[bool]:
    return and_(run_table.c.score_digest.is_not(None), run_table.c.package_sha256.is_not(None))


def _without(run: Run, what: str) -> NotFoundError:
    return NotFoundError(
        f"run {run.run_id} has no {what}",
        where=f"{run.model} {run.interval}, state {run.state}",
        fix=f"name a scored run: `rescore runs {run.model}` lists them",
    )
