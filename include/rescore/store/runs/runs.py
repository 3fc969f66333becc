"""Runs: attempts to score one interval, from their claim to their end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select, update

from rescore.errors import StoreError
from rescore.interval import Interval
from rescore.store.database import Database
from rescore.store.jsonable import jsonable
from rescore.store.records import OPEN_STATES, Run, RunHandle, RunReference, run_id_of
from rescore.store.runs.claims import begin, enter_state, fork, refuse_stale
from rescore.store.runs.queries import read_run, read_runs, run_row
from rescore.store.runs.states import described, end, open_run, require, set_facts
from rescore.store.schema.tables import publication_current, publication_history
from rescore.store.schema.tables import run as run_table

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
            "environment": jsonable(environment or {}),
            "airflow": jsonable(airflow) if airflow else None,
        }
        with self._database.transaction() as connection:
            return begin(connection, model, interval, as_of, "claimed", facts)

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

    def get(self, run: RunReference) -> Run:
        """One run.

        Raises
        ------
        NotFoundError
            No such run.
        """
        with self._database.transaction() as connection:
            return read_run(connection, run_id_of(run))

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

    def published(self, model: str, interval: Interval | None = None, *, current: bool = True) -> list[Run]:
        """Published runs by interval, then in the order of publication.

        Parameters
        ----------
        model : str
            The model.
        interval : Interval, optional
            Only this one.
        current : bool
            Only what consumers see now; False: superseded ones, too.
        """
        published = publication_current if current else publication_history
        query = select(run_table).join(published, published.c.run_id == run_table.c.run_id)
        query = query.where(run_table.c.model == model)
        if interval is not None:
            query = query.where(
                run_table.c.interval_start == interval.start, run_table.c.interval_end == interval.end
            )
        order = (run_table.c.interval_start, run_table.c.interval_end, published.c.sequence)
        with self._database.transaction() as connection:
            return read_runs(connection, query.order_by(*order))

    def update(self, run: RunReference, **facts: Any) -> None:
        """Record facts about an open run (see ``FACTS``).

        Raises
        ------
        NotFoundError
            No such run.
        StoreError
            The run is published, failed or stopped; or no such fact.
        DigestMismatchError
            ``score_digest`` or ``rows_scored`` are not those of the staged rows.
        """
        with self._database.transaction() as connection:
            set_facts(connection, open_run(connection, run), facts)

    def advance(self, run: RunReference, state: str, **facts: Any) -> None:
        """Record facts and that the run has reached ``state``; reaching it again changes nothing.

        Parameters
        ----------
        run : str or RunHandle or Run
            The run.
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
        if state not in OPEN_STATES:
            raise StoreError(
                f"a run can't be advanced to {state!r}",
                expected=", ".join(OPEN_STATES[1:]),
                fix="use publish, fail or stop for how a run ends",
            )
        with self._database.transaction() as connection:
            row = open_run(connection, run)
            refuse_stale(connection, row)
            if OPEN_STATES.index(state) < OPEN_STATES.index(row.state):
                raise StoreError(
                    f"run {row.run_id} is {row.state}; it can't go back to {state}",
                    expected=f"a state after {row.state}",
                    fix="fork the run",
                )
            set_facts(connection, row, facts)
            require(connection, run_row(connection, row.run_id), state)
            if state != row.state:
                enter_state(connection, row.run_id, state)

    def fail(self, run: RunReference, error: BaseException | str) -> None:
        """Record why the run ends without being published; a run that has ended stays as it is."""
        with self._database.transaction() as connection:
            end(connection, run, "failed", error)

    def stop(self, run: RunReference, error: BaseException | str) -> None:
        """Record that the run was stopped before publishing (an outage); a person may still publish it."""
        with self._database.transaction() as connection:
            end(connection, run, "stopped", error)

    def hold(self, run: RunReference, error: BaseException | str) -> None:
        """Record why a run may be published by a person only; it stays open.

        Call it before the run is ``checked``, so that no crash leaves it ready and not held.
        """
        with self._database.transaction() as connection:
            row = open_run(connection, run)
            connection.execute(
                update(run_table).where(run_table.c.run_id == row.run_id).values(error=described(error))
            )
