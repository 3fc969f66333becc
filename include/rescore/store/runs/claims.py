"""Claiming an interval: the fence that keeps attempts apart."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg2 import sql
from sqlalchemy import Connection, Row, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from rescore.errors import StaleFenceError
from rescore.interval import Interval, parse_moment
from rescore.store.database import run_sql, store_table
from rescore.store.jsonable import jsonable
from rescore.store.records import OPEN_STATES, OpenState, RunHandle, RunState
from rescore.store.runs.queries import run_row
from rescore.store.schema.models import has_tables, score_layout
from rescore.store.schema.tables import claim as claim_table
from rescore.store.schema.tables import run as run_table
from rescore.store.schema.tables import run_state as state_table
from rescore.store.schema.tables import validation as validation_table

__all__ = ["begin", "enter_state", "fork", "read_claim", "refuse_stale"]

# What a fork takes over from the run it continues.
_INHERITED = (
    "input_digest",
    "input_uri",
    "query_sha256",
    "rows_extracted",
    "rows_quarantined",
    "rows_rejected",
    "code_revision",
    "environment",
)


def begin(
    connection: Connection,
    model: str,
    interval: Interval,
    as_of: datetime,
    state: OpenState,
    facts: Mapping[str, Any],
) -> RunHandle:
    """Begin a run in ``state``, with the next fence of its interval."""
    run_id = str(uuid.uuid4())
    claim = upsert(claim_table).values(
        model=model, interval_start=interval.start, interval_end=interval.end, fence=1, run_id=run_id
    )
    taken = claim.on_conflict_do_update(
        index_elements=["model", "interval_start", "interval_end"],
        set_={
            "fence": claim_table.c.fence + 1,
            "run_id": claim.excluded.run_id,
            "claimed_at": func.clock_timestamp(),
        },
    ).returning(claim_table.c.fence)
    fence = int(connection.execute(taken).scalar_one())
    connection.execute(
        insert(run_table).values(
            run_id=run_id,
            model=model,
            interval_start=interval.start,
            interval_end=interval.end,
            as_of=parse_moment(as_of, name="as_of"),
            fence=fence,
            state="claimed",
            **facts,
        )
    )
    for entered in OPEN_STATES[: OPEN_STATES.index(state) + 1]:
        enter_state(connection, run_id, entered)
    return RunHandle(run_id, fence)


def fork(
    connection: Connection, origin: str, *, until: str, airflow: Mapping[str, Any] | None = None
) -> RunHandle:
    """Begin a run that continues from the run ``origin``; see ``Runs.fork``."""
    row = run_row(connection, origin)
    passed = connection.execute(
        select(validation_table.c.success).where(validation_table.c.run_id == origin)
    ).scalar()
    facts = {name: row._mapping[name] for name in _INHERITED}
    facts |= {"forked_from": origin, "airflow": jsonable(airflow or row.airflow)}
    passed = passed and until == "validated"
    state: OpenState = "claimed" if row.input_digest is None else "validated" if passed else "extracted"
    if state != "validated":
        facts |= {"rows_quarantined": 0, "rows_rejected": 0}
    interval = Interval(row.interval_start, row.interval_end)
    handle = begin(connection, row.model, interval, row.as_of, state, facts)
    if state == "validated":
        _inherit_validation(connection, row.model, origin, handle.run_id)
    return handle


def read_claim(connection: Connection, row: Row[Any], *, lock: bool = False) -> Row[Any]:
    """The claim on a run's interval; locked, nobody can claim it before the transaction ends."""
    query = select(claim_table).where(
        claim_table.c.model == row.model,
        claim_table.c.interval_start == row.interval_start,
        claim_table.c.interval_end == row.interval_end,
    )
    return connection.execute(query.with_for_update() if lock else query).one()


def refuse_stale(connection: Connection, row: Row[Any]) -> None:
    """Refuse a run whose interval was claimed by a later one.

    Raises
    ------
    StaleFenceError
        With both runs and fences.
    """
    claim = read_claim(connection, row)
    if claim.fence != row.fence:
        raise StaleFenceError(
            f"run {row.run_id} holds fence {row.fence}, but run {claim.run_id} claimed later",
            where=f"{row.model} {Interval(row.interval_start, row.interval_end)}",
            expected=f"fence {claim.fence}, claimed at {claim.claimed_at.isoformat()}",
            fix="let the later run finish; this one publishes nothing",
            data={
                "run_id": row.run_id,
                "fence": row.fence,
                "current_run_id": claim.run_id,
                "current_fence": claim.fence,
            },
        )


def enter_state(connection: Connection, run_id: str, state: RunState) -> None:
    """Move to ``state`` and note when."""
    position = select(func.coalesce(func.max(state_table.c.position), 0) + 1).where(
        state_table.c.run_id == run_id
    )
    connection.execute(
        insert(state_table).values(run_id=run_id, position=position.scalar_subquery(), state=state)
    )
    connection.execute(update(run_table).where(run_table.c.run_id == run_id).values(state=state))


def _inherit_validation(connection: Connection, model: str, origin: str, run_id: str) -> None:
    copied = select(literal(run_id), validation_table.c.success, validation_table.c.report)
    connection.execute(
        insert(validation_table).from_select(
            ["run_id", "success", "report"], copied.where(validation_table.c.run_id == origin)
        )
    )
    if has_tables(connection, model):
        layout = score_layout(connection, model)
        columns = sql.SQL(", ").join(
            map(sql.Identifier, ["position", *layout.row_schema.names, "kind", "reason"])
        )
        statement = sql.SQL("INSERT INTO {t} (run_id, {c}) SELECT %s, {c} FROM {t} WHERE run_id = %s")
        run_sql(
            connection,
            statement.format(t=store_table(connection, layout.excluded_table), c=columns),
            (run_id, origin),
        )
