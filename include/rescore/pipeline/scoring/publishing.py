"""Publish a run: by itself when its verdict allows it, else by a person who gives a reason."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from rescore.errors import IntegrityError, StoreError
from rescore.interval import Interval
from rescore.pipeline.context import Context
from rescore.pipeline.scoring.failures import recorded
from rescore.pipeline.scoring.verdict_actions import reason_to_publish
from rescore.sha256 import Sha256
from rescore.shown_text import number_of
from rescore.store import Publication, ScoredRun

__all__ = ["Published", "publish_run", "release_run"]


@dataclass(frozen=True)
class Published:
    """What consumers see of an interval now, and what made it.

    ``rows`` counts the scores; ``reason`` and ``released_by`` say why and by whom it was published
    although its verdict is an outage, or it was held or stopped.
    """

    model: str
    interval: Interval
    run_id: str
    rows: int
    package_version: str
    package_sha256: Sha256
    verdict: str | None
    sentence: str | None
    score_digest: Sha256
    published_at: datetime
    reason: str | None
    released_by: str | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON-serialisable values, moments in ISO 8601."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {
            "interval": str(self.interval),
            "published_at": self.published_at.isoformat(),
        }


def publish_run(ctx: Context, run_id: str) -> Published:
    """Make the run's scores what consumers see; publishing it again changes nothing.

    Raises
    ------
    HeldError
        The model declares that a verdict like this one waits for a person; see :func:`release_run`.
    StaleFenceError
        A later attempt has claimed the interval.
    IntegrityError
        The staged rows are not those that were scored, or do not add up.
    """
    run = ctx.store.runs.scored(run_id)
    # Its scores are whole and checked: a passing (retryable) error leaves them to be published later.
    with recorded(replace(ctx, tried_again=True), run.handle):
        publication = ctx.store.publications.publish(run.handle, reason=reason_to_publish(ctx, run))
    ctx.progress(f"{run.model}: {number_of(run.rows_scored, 'score')} of {run.interval} published")
    return _published(run, publication)


def release_run(ctx: Context, run_id: str, who: str, why: str) -> Published:
    """Publish a run that is held, or was stopped as an outage; person and reason stand beside the scores.

    The fence, the row accounting and the digest are checked as ever: nobody can release scores that
    are not what was recorded, or an interval that a later attempt has claimed. If the scores are not what was
    recorded, the run ends. A release that fails for another reason (a login without the right, a wrong URL)
    leaves the run as it is, to be released later.

    Parameters
    ----------
    ctx : Context
        Store.
    run_id : str
        The run.
    who, why : str
        Stored for ever.

    Raises
    ------
    StoreError
        It is not said who or why, the run has no scores, or it is published already for another reason.
    StaleFenceError
        A later attempt has claimed the interval.
    IntegrityError
        The staged rows are not those that were scored, or do not add up.
    """
    who, why = who.strip(), why.strip()
    if not who or not why:
        raise StoreError(
            f"it is not said who releases run {run_id}, or why",
            expected="a name and a reason",
            fix="give both; they are shown beside the scores",
        )
    run = ctx.store.runs.scored(run_id)
    try:
        publication = ctx.store.publications.publish(run.handle, reason=why, released_by=who)
    except IntegrityError as error:
        ctx.store.runs.fail(run.handle, error)
        raise  # whatever else hinders a release says nothing about the run, which waits on
    if (publication.released_by, publication.reason) != (who, why):
        by = f" by {publication.released_by}" if publication.released_by else ""
        raise StoreError(
            f"run {run_id} is published already{by}, at {publication.published_at.isoformat()}",
            where=f"{run.model} {run.interval}",
            expected="a run that is held or was stopped",
            fix="nothing is left to do; to replace the scores, score the interval again",
        )
    ctx.progress(
        f"{run.model}: {number_of(run.rows_scored, 'score')} of {run.interval} released by {who}: {why}"
    )
    return _published(run, publication)


def _published(run: ScoredRun, publication: Publication) -> Published:
    return Published(
        model=run.model,
        interval=run.interval,
        run_id=run.run_id,
        rows=run.rows_scored,
        package_version=run.package_version,
        package_sha256=run.package_sha256,
        verdict=run.verdict,
        sentence=run.sentence,
        score_digest=run.score_digest,
        published_at=publication.published_at,
        reason=publication.reason,
        released_by=publication.released_by,
    )
