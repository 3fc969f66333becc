"""Publish a run: by itself when its verdict allows it, else by a person who gives a reason."""

from __future__ import annotations

from typing import Any

from rescore.errors import StoreError
from rescore.pipeline.context import Context
from rescore.pipeline.scoring.failures import recorded
from rescore.store import Publication, Run

__all__ = ["publish_run", "release_run"]


def publish_run(ctx: Context, run_id: str) -> dict[str, Any]:
    """Make the run's scores what consumers see; publishing it again changes nothing.

    Returns
    -------
    dict
        ``model``, ``interval``, ``run_id``, ``rows``, ``package_version``, ``package_sha256``,
        ``verdict``, ``sentence``, ``score_digest``, ``published_at``, ``reason``, ``released_by``.

    Raises
    ------
    HeldError
        The model declares that a verdict like this one waits for a person; see :func:`release_run`.
    StaleFenceError
        A later attempt has claimed the interval.
    IntegrityError
        The staged rows are not those that were scored, or do not add up.
    """
    run = ctx.store.runs.get(run_id)
    reason = None
    if run.verdict == "outage" and ctx.model(run.model).spec.drift.on_outage == "publish_flagged":
        reason = "drift.on_outage: publish_flagged is declared"
    with recorded(ctx, run_id):
        publication = ctx.store.publications.publish(run, reason=reason)
    ctx.progress(f"{run.model}: {run.rows_scored:,} scores of {run.interval} published")
    return _published(run, publication)


def release_run(ctx: Context, run_id: str, who: str, why: str) -> dict[str, Any]:
    """Publish a run that is held, or was stopped as an outage; person and reason stand beside the scores.

    The fence, the row accounting and the digest are checked as ever: nobody can release scores that
    are not what was recorded, or an interval that a later attempt has claimed.

    Parameters
    ----------
    ctx : Context
        Store.
    run_id : str
        The run.
    who, why : str
        Stored for ever.

    Returns
    -------
    dict
        As :func:`publish_run`.

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
    run = ctx.store.runs.get(run_id)
    with recorded(ctx, run_id):
        publication = ctx.store.publications.publish(run, reason=why, released_by=who)
    if (publication.released_by, publication.reason) != (who, why):
        by = f" by {publication.released_by}" if publication.released_by else ""
        raise StoreError(
            f"run {run_id} is published already{by}, at {publication.published_at.isoformat()}",
            where=f"{run.model} {run.interval}",
            expected="a run that is held or was stopped",
            fix="nothing is left to do; to replace the scores, score the interval again",
        )
    ctx.progress(f"{run.model}: {run.rows_scored:,} scores of {run.interval} released by {who}: {why}")
    return _published(run, publication)


def _published(run: Run, publication: Publication) -> dict[str, Any]:
    return {
        "model": run.model,
        "interval": str(run.interval),
        "run_id": run.run_id,
        "rows": run.rows_scored,
        "package_version": run.package_version,
        "package_sha256": run.package_sha256,
        "verdict": run.verdict,
        "sentence": run.sentence,
        "score_digest": run.score_digest,
        "published_at": publication.published_at.isoformat(),
        "reason": publication.reason,
        "released_by": publication.released_by,
    }
