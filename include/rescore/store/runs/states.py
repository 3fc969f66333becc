"""The states of a run, and what each stands for: functions of a connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, select, update

from rescore.errors import DigestMismatchError, RescoreError, StoreError
from rescore.interval import Interval
from rescore.store.jsonable import jsonable
from rescore.store.records import OPEN_STATES, OpenState, RunReference, RunState, run_id_of
from rescore.store.runs.claims import enter_state
from rescore.store.runs.queries import run_row
from rescore.store.schema.tables import drift as drift_table
from rescore.store.schema.tables import run as run_table
from rescore.store.schema.tables import validation as validation_table

__all__ = ["FACTS", "described", "end", "open_run", "open_unscored", "require", "set_facts"]

#: What ``Runs.update`` may set.
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


def open_run(connection: Connection, run: RunReference) -> Row[Any]:
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


def open_unscored(connection: Connection, run: RunReference) -> Row[Any]:
    """Lock the run's row; refuse a run that has ended, or has scores."""
    row = open_run(connection, run)
    if row.score_digest is not None:
        raise StoreError(
            f"run {row.run_id} has scores already, made from the rows that had passed",
            expected="a run without scores",
            fix="fork the run",
        )
    return row


def set_facts(connection: Connection, row: Row[Any], facts: Mapping[str, Any]) -> None:
    """Record facts about a run; see ``FACTS``."""
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


def require(connection: Connection, row: Row[Any], state: OpenState) -> None:
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


def end(connection: Connection, run: RunReference, state: RunState, error: BaseException | str) -> None:
    """Close the run with the error that ended it; a run that has ended stays as it is."""
    row = run_row(connection, run_id_of(run), lock=True)
    if row.state not in OPEN_STATES:
        return
    connection.execute(
        update(run_table).where(run_table.c.run_id == row.run_id).values(error=described(error))
    )
    enter_state(connection, row.run_id, state)


def described(error: BaseException | str) -> dict[str, Any]:
    """An error as the store keeps it: type, message, data."""
    if isinstance(error, str):
        return {"type": "", "message": error, "data": {}}
    data = error.data if isinstance(error, RescoreError) else {}
    described: dict[str, Any] = jsonable({"type": type(error).__name__, "message": str(error), "data": data})
    return described
