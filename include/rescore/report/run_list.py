"""Runs as people read them: one line each, with what is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rescore.report.wording import age, span
from rescore.shown_text import number_of

if TYPE_CHECKING:
    from rescore.store import Run, Shard, Store

__all__ = ["RunLine", "run_lines", "run_lines_of"]

#: Without progress for so long, a run is shown as abandoned: no task of ours waits that long between two
#: states.
ABANDONED_AFTER = timedelta(days=1)


@dataclass(frozen=True)
class RunLine:
    """One run; counts are rows, moments are text in the model's time zone.

    Attributes
    ----------
    state : str
        The run's state, ``held`` or ``abandoned``.
    current : bool
        Whether consumers see its scores now.
    set_aside : int or None
        Rows quarantined and rejected; None where validation has not passed, and so set nothing aside.
    started : str
        How long ago.
    problem : str
        Why it is not published; empty if it is, or still goes on.
    released : str
        Who published it although it was held or stopped, and why.
    releasable : bool
        Whether somebody may publish it so.
    """

    run_id: str
    interval: str
    state: str
    current: bool
    verdict: str
    sentence: str
    extracted: int | None
    scored: int | None
    set_aside: int | None
    package: str
    started: str
    problem: str
    released: str
    releasable: bool


def run_lines(store: Store, model_name: str, last: int, *, timezone: str, now: datetime) -> list[RunLine]:
    """The last runs of a model, newest first.

    Parameters
    ----------
    store : Store
        The store.
    model_name : str
        The model.
    last : int
        How many.
    timezone : str
        IANA name; intervals are shown in it.
    now : datetime
        Aware; ages count from it.
    """
    return run_lines_of(store, store.runs.latest(model_name, last), timezone=timezone, now=now)


def run_lines_of(store: Store, runs: Iterable[Run], *, timezone: str, now: datetime) -> list[RunLine]:
    """Some runs as lines, in their order; see :func:`run_lines`."""
    every = list(runs)
    missing = store.shards.missing(run.run_id for run in every if run.state == "validated")
    return [_line(run, timezone, now, _shards_of(missing.get(run.run_id))) for run in every]


def _shards_of(missing: tuple[int, list[Shard]] | None) -> str:
    """What a run that is scored in shards waits for."""
    if missing is None:
        return ""
    count, shards = missing
    first = "; ".join(f"shard {shard.number}, {shard}" for shard in shards[:3])
    more = f" and {len(shards) - 3} more" if len(shards) > 3 else ""
    return (
        f"{count - len(shards)} of {number_of(count, 'shard is', 'shards are')} staged; missing: "
        f"{first}{more}"
    )


def _line(run: Run, timezone: str, now: datetime, shards: str) -> RunLine:
    publication = run.publication
    state: str = run.state
    problem = shards
    if run.held:
        state = "held"
    elif run.going_on and now - max(run.states.values()) > ABANDONED_AFTER:
        state = "abandoned"
        problem = f"abandoned at state {run.state}: its process ended without a word, and published nothing"
        problem += f" ({shards})" if shards else ""
    aside = run.rows_quarantined + run.rows_rejected
    released = ""
    if publication is None:
        # Of a published run, the error says why it was held, which the sentence says too.
        problem = str((run.error or {}).get("message", problem))
    elif publication.reason:
        released = f"{publication.released_by or 'published as declared'}: {publication.reason}"
    return RunLine(
        run_id=run.run_id,
        interval=span(run.interval, timezone),
        state=state,
        current=publication is not None and publication.superseded_at is None,
        verdict=run.verdict or "",
        sentence=run.sentence or "",
        extracted=run.rows_extracted,
        scored=run.rows_scored,
        set_aside=aside if aside or "validated" in run.states else None,
        package=run.package_version or "",
        started=age(now - run.claimed_at),
        problem=problem,
        released=released,
        releasable=run.held or (run.state == "stopped" and run.score_digest is not None),
    )
