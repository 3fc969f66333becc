"""Publishing: one transaction after which consumers see a run's scores, or it never happened."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, ScalarSelect, func, insert, select

from rescore.digest import TableDigest
from rescore.errors import DigestMismatchError, HeldError, OutageError, RowAccountingError, StoreError
from rescore.interval import Interval
from rescore.store.database import Database, where_of
from rescore.store.records import Publication, RunHandle, RunReference, run_id_of
from rescore.store.runs.claims import enter_state, read_claim, refuse_stale
from rescore.store.runs.excluded import excluded_counts
from rescore.store.runs.queries import publications_of, run_row
from rescore.store.runs.scores import stored_digest
from rescore.store.runs.states import binding
from rescore.store.schema.models import score_layout
from rescore.store.schema.tables import drift as drift_table
from rescore.store.schema.tables import publication as publication_table
from rescore.store.schema.tables import publication_history

__all__ = ["Publications"]


class Publications:
    """What consumers see."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def publish(
        self, run: RunReference, *, reason: str | None = None, released_by: str | None = None
    ) -> Publication:
        """Make a run's scores what consumers see of its interval.

        In one transaction: lock the claim, compare the fence, check row accounting, read the staged
        rows back, compare their digest and that of what made them, insert the publication. Publishing a
        run again changes nothing, and gives the publication it has.

        Parameters
        ----------
        run : str or RunHandle or Run
            A checked run; or one that is held or was stopped, released by a person with a reason.
        reason : str, optional
            Why it is published although its verdict is an outage, or it is held or stopped; shown
            beside the scores.
        released_by : str, optional
            The person who releases it; shown beside the scores.

        Raises
        ------
        StaleFenceError
            A later attempt has begun, or another run has claimed the interval.
        RowAccountingError
            extracted != scored + quarantined + rejected, or the counts are not those of the rows.
        DigestMismatchError
            The staged rows are not those that were staged.
        OutageError
            The verdict is an outage, and no reason is given.
        HeldError
            The run is held, and nobody releases it with a reason.
        StoreError
            The run has not been checked, or failed, or was stopped and nobody releases it.
        """
        with self._database.transaction() as connection:
            row = run_row(connection, run_id_of(run))
            published = _publication(connection, row)
            if published is not None:
                return published
            # The claim before the run, as in claiming, so that the two never wait for each other.
            read_claim(connection, row, lock=True)
            row = run_row(connection, row.run_id, lock=True)
            published = _publication(connection, row)
            if published is not None:
                return published
            refuse_stale(connection, row, run.fence if isinstance(run, RunHandle) else row.fence)
            _refuse_unready(connection, row, reason, released_by)
            _refuse_unaccounted(connection, row)
            _refuse_tampered(connection, row)
            values = {
                "run_id": row.run_id,
                "model": row.model,
                "interval_start": row.interval_start,
                "interval_end": row.interval_end,
                "fence": row.fence,
                "published_at": _moment(row),
                "reason": reason,
            }
            if released_by is not None:  # the role that runs models has no right on this column
                values["released_by"] = released_by
            connection.execute(insert(publication_table).values(values))
            enter_state(connection, row.run_id, "published")
            found = _publication(connection, row)
            if found is None:
                raise AssertionError(row.run_id)
            return found

    def of_model(self, model: str, interval: Interval | None = None) -> list[Publication]:
        """What consumers of the model saw and see, in the order of publication."""
        conditions = []
        if interval is not None:
            conditions = [
                publication_history.c.interval_start == interval.start,
                publication_history.c.interval_end == interval.end,
            ]
        with self._database.transaction() as connection:
            return publications_of(connection, [model], *conditions)


def _refuse_unaccounted(connection: Connection, row: Row[Any]) -> None:
    counted = excluded_counts(connection, row)
    recorded = {"quarantined": row.rows_quarantined, "rejected": row.rows_rejected}
    accounted = row.rows_scored + sum(recorded.values())
    if counted != recorded or row.rows_extracted != accounted:
        raise RowAccountingError(
            f"the rows of run {row.run_id} do not add up",
            where=_where(row),
            expected="extracted = scored + quarantined + rejected, as counted",
            examples=[
                f"extracted {row.rows_extracted:,}",
                f"scored {row.rows_scored:,}",
                f"quarantined {row.rows_quarantined:,} (kept: {counted['quarantined']:,})",
                f"rejected {row.rows_rejected:,} (kept: {counted['rejected']:,})",
            ],
            fix="score the interval again; if it happens again, report it with this message",
            data={
                "extracted": row.rows_extracted,
                "scored": row.rows_scored,
                **recorded,
                "kept": counted,
            },
        )


def _refuse_tampered(connection: Connection, row: Row[Any]) -> None:
    layout = score_layout(connection, row.model)
    interval = Interval(row.interval_start, row.interval_end)
    staged = TableDigest.from_dict(row.score_digest)
    stored = stored_digest(connection, layout.as_digested(staged.columns), row.run_id, interval)
    if stored != staged:
        raise DigestMismatchError(
            f"the stored scores of run {row.run_id} are not those that were staged",
            where=f"{where_of(connection, layout.scores_table)}, {_where(row)}",
            expected=f"{staged.root}, {staged.rows:,} rows",
            examples=staged.differences(stored),
            fix="find out who changed them; then score the interval again",
            data={"expected": staged.root, "got": stored.root, "run_id": row.run_id},
        )
    bound = binding(row.input_digest, row.package_sha256, stored.root, stored.rows)
    if bound != row.binding:
        raise DigestMismatchError(
            f"the scores of run {row.run_id} are not bound to the input and package that it names",
            where=_where(row),
            expected=row.binding,
            examples=[f"got {bound} of {row.input_digest}, {row.package_sha256} and {stored.root}"],
            fix="find out who changed the run; then score the interval again",
            data={"expected": row.binding, "got": bound, "run_id": row.run_id},
        )


def _refuse_unready(
    connection: Connection, row: Row[Any], reason: str | None, released_by: str | None
) -> None:
    given = bool(reason and reason.strip())
    released = given and bool(released_by and released_by.strip())
    if row.state != "checked" and not (row.state == "stopped" and released):
        raise StoreError(
            f"run {row.run_id} is {row.state}; it can't be published",
            where=_where(row),
            expected="a run that is checked, or one that was stopped and a person who releases it",
            fix="run the stages before publishing, or score the interval again",
            data={"run_id": row.run_id, "state": row.state},
        )
    if row.state == "checked" and row.error is not None and not released:
        raise HeldError(
            f"run {row.run_id} is held: {row.error['message']}",
            where=_where(row),
            expected="a person who releases it, and a reason",
            fix=f"`rescore publish {row.run_id} --reason WHY`, or correct the source and score it again",
            data={"run_id": row.run_id},
        )
    if row.binding is None or row.rows_extracted is None:
        raise StoreError(
            f"run {row.run_id} has no scores to publish",
            where=_where(row),
            expected="staged scores, their package and the rows extracted",
            fix="it was stopped before scoring; score the interval again",
        )
    verdict = connection.execute(
        select(drift_table.c.verdict, drift_table.c.sentence).where(drift_table.c.run_id == row.run_id)
    ).one_or_none()
    if verdict is not None and verdict.verdict == "outage" and not given:
        raise OutageError(
            f"run {row.run_id} is an outage: {verdict.sentence}",
            where=_where(row),
            expected="a reason, to publish it all the same",
            fix="put right what the sentence names and score again, or publish with a reason",
            data={"run_id": row.run_id, "verdict": verdict.verdict},
        )


def _moment(row: Row[Any]) -> ScalarSelect[Any]:
    """Now, and in any case after the interval's last publication, even if the clock was set back."""
    last = func.max(publication_table.c.published_at) + timedelta(microseconds=1)
    return (
        select(func.greatest(func.clock_timestamp(), last))
        .where(
            publication_table.c.model == row.model,
            publication_table.c.interval_start == row.interval_start,
            publication_table.c.interval_end == row.interval_end,
        )
        .scalar_subquery()
    )


def _publication(connection: Connection, row: Row[Any]) -> Publication | None:
    found = publications_of(connection, [row.model], publication_history.c.run_id == row.run_id)
    return found[0] if found else None


def _where(row: Row[Any]) -> str:
    return f"{row.model} {Interval(row.interval_start, row.interval_end)}"
