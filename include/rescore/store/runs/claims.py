"""Claiming an interval and beginning attempts: calls of the protocol's functions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from rescore.interval import Interval, parse_moment
from rescore.store.database import call
from rescore.store.records import OpenState, RunHandle
from rescore.store.runs.queries import run_uuid

__all__ = ["claim", "fork", "resume"]


def claim(
    connection: Connection, model: str, interval: Interval, as_of: datetime, facts: Mapping[str, Any]
) -> RunHandle:
    """Begin a run with the next fence of its interval; see ``Runs.claim``."""
    return _handle(
        call(
            connection,
            "claim",
            model,
            interval.start,
            interval.end,
            parse_moment(as_of, name="as_of"),
            facts["airflow"],
            facts["code_revision"],
            facts["environment"],
        )
    )


def fork(
    connection: Connection, origin: str, *, until: str, airflow: Mapping[str, Any] | None = None
) -> RunHandle:
    """Begin a run that continues from the run ``origin``; see ``Runs.fork``."""
    return _handle(call(connection, "fork", run_uuid(origin), until, airflow or None))


def resume(connection: Connection, run_id: str, state: OpenState) -> RunHandle:
    """Begin another attempt at a run that is in ``state``; see ``Runs.resume``."""
    return _handle(call(connection, "resume", run_uuid(run_id), state))


def _handle(row: tuple[Any, ...]) -> RunHandle:
    run_id, fence = row
    return RunHandle(str(run_id), int(fence))
