"""The states of a run, and the facts about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, select, update

from rescore.errors import DigestMismatchError, RescoreError, StoreError
from rescore.interval import Interval
from rescore.store.jsonable import jsonable
from rescore.store.records import OPEN_STATES, RunReference, run_id_of
from rescore.store.runs.claims import Claiming, enter_state, refuse_stale
from rescore.store.runs.queries import run_row
from rescore.store.schema.tables import drift as drift_table
from rescore.store.schema.tables import run as run_table
from rescore.store.schema.tables import validation as validation_table

__all__ = ["FACTS", "Runs"]

#: What :meth:`Runs.update` may set.
FACTS = (
    "input_digest",
    "input_uri",
    "query_sha256",
    "rows_extracted",
    "rows_scored",
    "rows_quarantined",
    "rows_rejected",
    "package_version",
    "package_sha256",
    "score_digest",
    "code_revision",
    "environment",
    "airflow",
)
# Set by staging, from the rows themselves; whoever says something else is mistaken.
_STAGED = ("rows_scored", "score_digest")


class Runs(Claiming):
    """The part of the store that follows a run from its claim to its end."""

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
        with self.transaction() as connection:
            self._set(connection, self._open(connection, run), facts)

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
        with self.transaction() as connection:
            row = self._open(connection, run)
            refuse_stale(connection, row)
            if OPEN_STATES.index(state) < OPEN_STATES.index(row.state):
                raise StoreError(
                    f"run {row.run_id} is {row.state}; it can't go back to {state}",
                    expected=f"a state after {row.state}",
                    fix="fork the run",
                )
            self._set(connection, row, facts)
            self._require(connection, run_row(connection, row.run_id), state)
            if state != row.state:
                enter_state(connection, row.run_id, state)

    def fail(self, run: RunReference, error: BaseException | str) -> None:
        """Record why the run ends without being published; a run that has ended stays as it is."""
        self._end(run, "failed", error)

    def stop(self, run: RunReference, error: BaseException | str) -> None:
        """Record that the run was stopped before publishing (an outage); a person may still publish it."""
        self._end(run, "stopped", error)

    def hold(self, run: RunReference, error: BaseException | str) -> None:
        """Record why a run may be published by a person only; it stays open.

        Call it before the run is ``checked``, so that no crash leaves it ready and not held.
        """
        with self.transaction() as connection:
            row = self._open(connection, run)
            connection.execute(
                update(run_table).where(run_table.c.run_id == row.run_id).values(error=_described(error))
            )

    def _open(self, connection: Connection, run: RunReference) -> Row[Any]:
        """Lock the run's row; refuse a run that has ended."""
        row = run_row(connection, run_id_of(run), lock=True)
        if row.state not in OPEN_STATES:
            raise StoreError(
                f"run {row.run_id} is {row.state}: nothing about it changes any more",
                where=f"{row.model} {Interval(row.interval_start, row.interval_end)}",
                expected=f"a run that is {', '.join(OPEN_STATES)}",
                fix="fork the run, or score the interval again",
                data={"run_id": row.run_id, "state": row.state},
            )
        return row

    def _set(self, connection: Connection, row: Row[Any], facts: Mapping[str, Any]) -> None:
        unknown = sorted(set(facts) - set(FACTS))
        if unknown:
            raise StoreError(f"a run has no fact {unknown[0]!r}", expected=", ".join(FACTS), examples=unknown)
        staged = {"score_digest": (row.score_digest or {}).get("root"), "rows_scored": row.rows_scored}
        for name in _STAGED:
            if name in facts and facts[name] != staged[name]:
                raise DigestMismatchError(
                    f"run {row.run_id} staged other scores than it says",
                    where=name,
                    expected=str(staged[name]),
                    examples=[f"got {facts[name]}"],
                    fix="stage the scores first; staging records their digest and count",
                )
        values = {name: jsonable(value) for name, value in facts.items() if name not in _STAGED}
        if values:
            connection.execute(update(run_table).where(run_table.c.run_id == row.run_id).values(values))

    def _require(self, connection: Connection, row: Row[Any], state: str) -> None:
        """Refuse a state for which something is missing."""
        missing = []
        reached = OPEN_STATES.index(state)
        if reached >= 1:
            missing += [name for name in ("input_digest", "rows_extracted") if row._mapping[name] is None]
        if reached >= 2:
            query = select(validation_table.c.success).where(validation_table.c.run_id == row.run_id)
            if not connection.execute(query).scalar():
                missing.append("a validation that passed (record_validation)")
        if reached >= 3:
            missing += ["package_version"] if row.package_version is None else []
            missing += ["staged scores (stage)"] if row.score_digest is None else []
        if reached >= 4:
            query = select(drift_table.c.verdict).where(drift_table.c.run_id == row.run_id)
            if connection.execute(query).scalar() is None:
                missing.append("a drift report (record_drift)")
        if missing:
            raise StoreError(
                f"run {row.run_id} can't be {state}: {missing[0]} is not recorded",
                where=f"{row.model} {Interval(row.interval_start, row.interval_end)}",
                examples=missing,
                fix="record it first",
            )

    def _end(self, run: RunReference, state: str, error: BaseException | str) -> None:
        with self.transaction() as connection:
            row = run_row(connection, run_id_of(run), lock=True)
            if row.state not in OPEN_STATES:
                return
            connection.execute(
                update(run_table).where(run_table.c.run_id == row.run_id).values(error=_described(error))
            )
            enter_state(connection, row.run_id, state)


def _described(error: BaseException | str) -> dict[str, Any]:
    if isinstance(error, str):
        return {"type": "", "message": error, "data": {}}
    data = error.data if isinstance(error, RescoreError) else {}
    described: dict[str, Any] = jsonable({"type": type(error).__name__, "message": str(error), "data": data})
    return described
