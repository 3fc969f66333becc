"""The states of a run, and what each stands for: functions of a connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, select, update

from rescore.errors import RescoreError, StoreError
from rescore.interval import Interval
from rescore.sha256 import Sha256, bytes_sha256
from rescore.store.jsonable import jsonable
from rescore.store.records import OPEN_STATES, OpenState, RunHandle, RunState
from rescore.store.runs.claims import enter_state, read_claim, refuse_stale
from rescore.store.runs.queries import run_row
from rescore.store.schema.tables import drift as drift_table
from rescore.store.schema.tables import run as run_table
from rescore.store.schema.tables import validation as validation_table

__all__ = ["FACTS", "binding", "described", "end", "open_run", "open_unscored", "require", "set_facts"]

#: What ``Runs.update`` may set.
FACTS = (
    "input_digest",
    "input_uri",
    "query_sha256",
    "rows_extracted",
    "rows_quarantined",
    "rows_rejected",
    "code_revision",
    "environment",
    "airflow",
)
# What the scores were made of: fixed once they are staged.
_BOUND = ("input_digest", "input_uri", "rows_extracted", "rows_quarantined", "rows_rejected")


def binding(input_digest: str, package_sha256: str, score_digest: str, rows_scored: int) -> Sha256:
    """One digest over what made a run's scores and the scores themselves; ``v0005`` says it in SQL."""
    parts = ("rescore binding 1", input_digest, package_sha256, score_digest, rows_scored)
    return bytes_sha256("\n".join(str(part) for part in parts).encode())


def open_run(connection: Connection, run: RunHandle) -> Row[Any]:
    """Lock the run's row; refuse an attempt that is no longer the latest, and a run that has ended."""
    row = run_row(connection, run.run_id, lock=True)
    refuse_stale(connection, row, run.fence)
    if row.state not in OPEN_STATES:
        raise StoreError(
            f"run {row.run_id} is {row.state}: nothing about it changes any more",
            where=f"{row.model} {Interval(row.interval_start, row.interval_end)}",
            expected=f"a run that is {', '.join(OPEN_STATES)}",
            fix="fork the run, or score the interval again",
            data={"run_id": row.run_id, "state": row.state},
        )
    return row


def open_unscored(connection: Connection, run: RunHandle) -> Row[Any]:
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
    if row.binding is not None and not facts.keys().isdisjoint(_BOUND):
        raise StoreError(
            f"run {row.run_id} has staged scores; what made them changes no more",
            where=f"{row.model} {Interval(row.interval_start, row.interval_end)}",
            fix="fork the run",
        )
    values = {name: jsonable(value) for name, value in facts.items()}
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
        missing += ["staged scores (scores.stage)"] if row.binding is None else []
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


def end(connection: Connection, run: RunHandle, state: RunState, error: BaseException | str) -> None:
    """Close the run with the error that ended it.

    A run that has ended stays as it is, and so does one that a later attempt works on.
    """
    row = run_row(connection, run.run_id, lock=True)
    claim = read_claim(connection, row)
    if row.state not in OPEN_STATES or (claim.run_id == row.run_id and claim.fence != run.fence):
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
