"""Score a past run again and compare it with what was recorded and with what consumers read.

Three digests have to agree: the one recorded when the run was scored, the one of the rows that
stand in the score table now, and the one of the scores derived again from the frozen input with
the very package of the run.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pyarrow as pa
from pydantic import Field

from rescore.digest import table_digest
from rescore.document import Document
from rescore.errors import IntegrityError, ModelError, NotFoundError
from rescore.interval import Interval
from rescore.pipeline.context import Context
from rescore.pipeline.reproduce.score_again import (
    Derived,
    Difference,
    derived,
    differences,
    frozen_rows,
    largest_distance,
)
from rescore.pipeline.reproduce.verdict import Verdict, judge
from rescore.shown_text import number_of
from rescore.store import ScoredRun, Tombstone

__all__ = [
    "Difference",
    "Reproduction",
    "concluded",
    "published_run_ids",
    "reproduce_run",
    "without_rows",
]


class Reproduction(Document):
    """What came of deriving the scores of a past run again; the store keeps it.

    Attributes
    ----------
    verdict : str
        ``identical``; ``equal_within_ulp``, on another numeric environment; ``differs``; or
        ``not_rederivable``.
    reason : str
        Why it is not identical; or where the rows come from, if not from the archive.
    ulps : int or None
        The largest distance of two scores, where every row and label is the same.
    environment : dict
        What of the numeric environment is another than the scores were made in.
    differences : tuple of Difference
        The first rows that differ.
    """

    scope: Literal["run"] = "run"
    run_id: str
    model: str
    interval: str
    rows: int
    verdict: Verdict
    recorded_digest: str | None
    stored_digest: str | None
    rederived_digest: str | None
    reason: str = ""
    ulps: int | None = None
    environment: dict[str, Any] = Field(default_factory=dict)
    differences: tuple[Difference, ...] = ()

    @property
    def proved(self) -> bool:
        """Whether the scores were reproduced, to the bit or but for another processor's rounding."""
        return self.verdict in {"identical", "equal_within_ulp"}

    def row(self) -> dict[str, Any]:
        """One line of a table for people."""
        return {
            "model": self.model,
            "interval": self.interval,
            "run_id": self.run_id,
            "rows": self.rows,
            "verdict": self.verdict,
            "reason": self.reason,
        }


def reproduce_run(ctx: Context, run_id: str) -> Reproduction:
    """Derive the scores of a run again and compare them to the last bit; the verdict is stored.

    Parameters
    ----------
    ctx : Context
        Store and archive; the source database only if the frozen input is gone.
    run_id : str
        A run that staged scores.

    Returns
    -------
    Reproduction
        Its verdict: ``identical``; ``equal_within_ulp``, on another numeric environment than the
        scores were made in; ``differs``, with the first rows that do; or ``not_rederivable``, with
        the reason: the package or the rows are gone or changed, or need an environment that can't
        be had.

    Raises
    ------
    NotFoundError
        No such run, or it has no scores.
    SourceUnavailableError, StoreUnavailableError
        A database is down; try again later.
    """
    run = ctx.store.runs.scored(run_id)
    stored = ctx.store.scores.of_run(run_id)
    deleted = ctx.store.deletions.of_runs([run_id]).get(run_id)
    note = ""
    again: Derived | str
    try:
        with frozen_rows(ctx, run) as frozen:
            again, note = derived(ctx, run, frozen, stored.schema), frozen.note
    except (IntegrityError, NotFoundError, ModelError) as error:
        again = str(error)
    if deleted is not None and run.rows_quarantined + run.rows_rejected:
        again = "which of the frozen rows had no score was deleted with them"
    if deleted is not None:
        done = without_rows(run, again, f"its rows in the score table were {deleted}")
    else:
        done = concluded(run, stored, again, note, ctx.store.erasures.of_scores().get(run_id))
    ctx.store.reports.record_reproduction(run_id, done.verdict, done.to_dict())
    return done


def published_run_ids(
    ctx: Context,
    model_name: str,
    *,
    interval: Interval | None = None,
    day: date | None = None,
    last: int | None = None,
) -> list[str]:
    """The published runs of a model, by interval; only those of an interval, or due on a day.

    Parameters
    ----------
    ctx : Context
        Store and model folders.
    model_name : str
        The model.
    interval : Interval, optional
        Only this one's.
    day : date, optional
        Only runs that were due on this day in the schedule's zone, that is, whose intervals end on it.
    last : int, optional
        Only so many, the latest.

    Raises
    ------
    NotFoundError
        An interval or a day is given, and no run of it is published.
    """
    ended_in = None
    if day is not None:
        zone = ZoneInfo(ctx.model(model_name).spec.schedule.timezone)
        midnights = (datetime.combine(one, time.min, zone) for one in (day, day + timedelta(days=1)))
        ended_in = Interval(*(midnight.astimezone(UTC) for midnight in midnights))
    found = ctx.store.publications.run_ids(model_name, interval=interval, ended_in=ended_in, last=last)
    if not found and (interval or day):
        raise NotFoundError(
            f"no run of {model_name} is published for {interval or day}",
            where="the store's publications",
            expected="an interval or a day with a published run",
            fix="see the intervals there are on the Rescore page, or in the store's consumer views",
        )
    return found


def concluded(
    run: ScoredRun, stored: pa.Table, again: Derived | str, note: str, tombstone: Tombstone | None = None
) -> Reproduction:
    """The verdict on stored scores: as they were recorded, but for those that a tombstone attests."""
    stored_digest = str(table_digest(stored).root)
    facts: dict[str, Any] = {
        "run_id": run.run_id,
        "model": run.model,
        "interval": str(run.interval),
        "rows": stored.num_rows,
        "recorded_digest": run.score_digest,
        "stored_digest": stored_digest,
    }
    if isinstance(again, str):
        return Reproduction(**facts, verdict="not_rederivable", rederived_digest=None, reason=again)
    digest = str(table_digest(again.scores).root)
    facts |= {"rederived_digest": digest, "environment": again.environment}
    if run.score_digest == stored_digest == digest:
        return Reproduction(**facts, verdict="identical", ulps=0, reason=note)
    distance = largest_distance(stored, again.scores)
    verdict, reason = judge(distance, again.environment, again.golden_ulps)
    if run.score_digest != stored_digest or verdict == "differs":
        verdict, reason = "differs", reason if verdict == "differs" and again.environment else ""
        reason = reason or _reason(run.score_digest, stored_digest, digest)
    done = Reproduction(
        **facts,
        verdict=verdict,
        ulps=distance,
        reason="; ".join(part for part in (reason, note) if part),
        differences=tuple(differences(stored, again.scores)),
    )
    return done if tombstone is None else _through(tombstone, done, stored, again, note)


def without_rows(run: ScoredRun, again: Derived | str, deleted: str) -> Reproduction:
    """What can be said of a run whose stored scores retention took: the recorded digest, derived again."""
    digest = None if isinstance(again, str) else str(table_digest(again.scores).root)
    verdict: Verdict = "not_rederivable"
    if isinstance(again, str):
        said = again
    elif digest == run.score_digest:
        verdict, said = "identical", "the scores derived again have the digest that was recorded"
    elif again.environment:
        # How far apart they are can't be said: a digest has no distance.
        said = (
            "the scores derived again do not have the digest that was recorded, on another numeric "
            f"environment ({', '.join(sorted(again.environment))}); derive them where it is the same"
        )
    else:
        verdict, said = "differs", "the scores derived again do not have the digest that was recorded"
    return Reproduction(
        run_id=run.run_id,
        model=run.model,
        interval=str(run.interval),
        rows=run.rows_scored,
        verdict=verdict,
        recorded_digest=run.score_digest,
        stored_digest=None,
        rederived_digest=digest,
        reason=f"{deleted}; {said}",
        environment={} if isinstance(again, str) else again.environment,
    )


def _through(
    tombstone: Tombstone, done: Reproduction, stored: pa.Table, again: Derived, note: str
) -> Reproduction:
    """The verdict where some scores were erased: the tombstone attests those, others are compared.

    What is stored never has the recorded digest then; it proves it through the tombstone.
    """
    apart = tombstone.differences(stored, str(done.recorded_digest))
    if apart:
        said = f"what an erasure left is not there: {'; '.join(apart)}"
        return done.model_copy(update={"verdict": "differs", "reason": said})
    same = done.stored_digest == done.rederived_digest
    distance = 0 if same else largest_distance(stored, again.scores)
    verdict, reason = judge(distance, again.environment, again.golden_ulps)
    said = f"{number_of(len(tombstone.erased), 'score was', 'scores were')} erased; all others "
    if verdict == "identical":
        said += "are identical and prove the recorded digest"
    else:
        said += f"prove the recorded digest; derived again they are {reason or 'not the same'}"
    apart_rows = () if verdict == "identical" else done.differences
    return done.model_copy(
        update={
            "verdict": verdict,
            "ulps": distance,
            "reason": "; ".join(part for part in (said, note) if part),
            "differences": apart_rows,
        }
    )


def _reason(recorded: str, stored: str, rederived: str) -> str:
    if recorded == rederived:
        return "the rows in the score table are not those that were published"
    if recorded == stored:
        return "the scores derived again are not those that were published"
    if stored == rederived:
        return "the recorded digest is not that of the rows"
    return "the recorded digest, the rows in the table and the scores derived again all differ"
