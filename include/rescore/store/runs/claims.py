"""Claiming an interval: the fence that keeps attempts apart."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg2 import sql
from sqlalchemy import Connection, Row, func, insert, literal, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert

from rescore.errors import OverlapError, StaleFenceError
from rescore.interval import Interval, parse_moment
from rescore.store.database import lock_by_name, run_sql, store_table
from rescore.store.jsonable import jsonable
from rescore.store.records import OPEN_STATES, OpenState, RunHandle, RunState
from rescore.store.runs.queries import run_row
from rescore.store.schema.models import has_tables, score_layout
from rescore.store.schema.tables import attempt as attempt_table
from rescore.store.schema.tables import claim as claim_table
from rescore.store.schema.tables import publication as publication_table
from rescore.store.schema.tables import run as run_table
from rescore.store.schema.tables import run_state as state_table
from rescore.store.schema.tables import validation as validation_table

__all__ = ["begin", "enter_state", "fork", "read_claim", "refuse_stale", "resume"]

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
    lock_by_name(connection, f"claim {model}")
    _take_over_overlapping(connection, model, interval, run_id)
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
    _note_attempt(connection, model, interval, fence, run_id, state)
    for entered in OPEN_STATES[: OPEN_STATES.index(state) + 1]:
        enter_state(connection, run_id, entered)
    _close_abandoned(connection, model, interval, run_id)
    return RunHandle(run_id, fence)


def resume(connection: Connection, run_id: str, state: OpenState) -> RunHandle:
    """Begin another attempt at a run that is in ``state``; see ``Runs.resume``."""
    row = run_row(connection, run_id)
    lock_by_name(connection, f"claim {row.model}")
    claim = read_claim(connection, row, lock=True)
    # Rows under one run id have one writer, and a retry never waits for one that stalled in a write.
    free = select(run_table.c.run_id).where(run_table.c.run_id == row.run_id)
    if (
        state != "scored"
        and connection.execute(free.with_for_update(skip_locked=True, key_share=True)).scalar() is None
    ):
        return fork(connection, row.run_id, until=state)
    row = run_row(connection, row.run_id, lock=True)
    if state == "scored":  # scores are not inherited: one that was taken over has no continuation
        refuse_stale(connection, row, row.fence)
    if row.state != state or (state == "validated" and row.score_digest is not None):
        return fork(connection, row.run_id, until=state)
    refuse_stale(connection, row, row.fence)
    fence = int(claim.fence) + 1
    of_interval = (
        claim_table.c.model == row.model,
        claim_table.c.interval_start == row.interval_start,
        claim_table.c.interval_end == row.interval_end,
    )
    taken = {"fence": fence, "claimed_at": func.clock_timestamp()}
    connection.execute(update(claim_table).where(*of_interval).values(taken))
    connection.execute(update(run_table).where(run_table.c.run_id == row.run_id).values(fence=fence))
    interval = Interval(row.interval_start, row.interval_end)
    _note_attempt(connection, row.model, interval, fence, row.run_id, state)
    return RunHandle(row.run_id, fence)


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


def refuse_stale(connection: Connection, row: Row[Any], fence: int) -> None:
    """Refuse an attempt at a run if a later one has begun, or another run has claimed the interval.

    The caller holds the lock of the run's row, so that no later attempt at the run can begin meanwhile.

    Raises
    ------
    StaleFenceError
        With both runs and fences.
    """
    claim = read_claim(connection, row)
    if claim.fence != fence:
        later = (
            "a later attempt at it began"
            if claim.run_id == row.run_id
            else f"run {claim.run_id} claimed later"
        )
        raise StaleFenceError(
            f"this attempt at run {row.run_id} holds fence {fence}, but {later}",
            where=f"{row.model} {Interval(row.interval_start, row.interval_end)}",
            expected=f"fence {claim.fence}, claimed at {claim.claimed_at.isoformat()}",
            fix="let the later one finish; this one changes and publishes nothing",
            data={
                "run_id": row.run_id,
                "fence": fence,
                "current_run_id": claim.run_id,
                "current_fence": claim.fence,
            },
        )


def _note_attempt(
    connection: Connection, model: str, interval: Interval, fence: int, run_id: str, state: OpenState
) -> None:
    values = {"model": model, "interval_start": interval.start, "interval_end": interval.end}
    connection.execute(insert(attempt_table).values(**values, fence=fence, run_id=run_id, begun_in=state))


def _take_over_overlapping(connection: Connection, model: str, interval: Interval, run_id: str) -> None:
    """Take the fence of other intervals that overlap; refuse if one of them is published.

    Raises
    ------
    OverlapError
        With the interval that consumers see.
    """
    same = (claim_table.c.interval_start == interval.start) & (claim_table.c.interval_end == interval.end)
    overlapping = (
        claim_table.c.model == model,
        claim_table.c.interval_start < interval.end,
        claim_table.c.interval_end > interval.start,
        ~same,
    )
    others = connection.execute(select(claim_table).where(*overlapping).with_for_update()).all()
    if not others:
        return
    bounds = [(other.interval_start, other.interval_end) for other in others]
    published = connection.execute(
        select(publication_table.c.interval_start, publication_table.c.interval_end)
        .where(
            publication_table.c.model == model,
            tuple_(publication_table.c.interval_start, publication_table.c.interval_end).in_(bounds),
        )
        .order_by(publication_table.c.interval_end)
    ).all()
    if published:
        shown = Interval(*published[-1])
        raise OverlapError(
            f"{model} {interval} overlaps {shown}, which is published under another schedule",
            where=f"{model} {interval}",
            expected="intervals that share no moment, so that consumers never see a key twice",
            examples=[str(Interval(*row)) for row in published],
            fix=f"score from {shown.end.isoformat()} on (schedule.start); "
            f"to score {shown} again, use the schedule that it was published under",
        )
    taken = {"fence": claim_table.c.fence + 1, "run_id": run_id, "claimed_at": func.clock_timestamp()}
    connection.execute(update(claim_table).where(*overlapping).values(taken))


def _close_abandoned(connection: Connection, model: str, interval: Interval, run_id: str) -> None:
    """End the open runs whose interval a run took over; a held one stays, since a person looks at it.

    A run that another transaction has locked is left to the next that takes over.
    """
    left = select(run_table.c.run_id).where(
        run_table.c.model == model,
        run_table.c.interval_start < interval.end,
        run_table.c.interval_end > interval.start,
        run_table.c.state.in_(OPEN_STATES),
        run_table.c.error.is_(None),
        run_table.c.run_id != run_id,
    )
    message = f"abandoned: run {run_id} took its interval over"
    error = {"type": "", "message": message, "data": {"taken_over_by": run_id}}
    for abandoned in (
        connection.execute(left.with_for_update(skip_locked=True, key_share=True)).scalars().all()
    ):
        connection.execute(update(run_table).where(run_table.c.run_id == abandoned).values(error=error))
        enter_state(connection, abandoned, "failed")


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
