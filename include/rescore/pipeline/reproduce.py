"""Score a past run again and compare it with what was recorded and with what consumers read.

Three digests have to agree: the one recorded when the run was scored, the one of the rows that
stand in the score table now, and the one of the scores derived again from the frozen input with
the very package of the run.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rescore.digest import table_digest
from rescore.errors import IntegrityError, NotFoundError
from rescore.pipeline.context import Context
from rescore.pipeline.score import open_package, predict_run

__all__ = ["Difference", "Reproduction", "reproduce_run", "sample_runs"]

Verdict = Literal["identical", "differs", "not_re_derivable"]

#: How many differing rows a reproduction keeps.
MAX_DIFFERENCES = 10


@dataclass(frozen=True)
class Difference:
    """One row whose published and re-derived scores differ.

    ``ulps`` is how many float64 values lie between the two.
    """

    key: dict[str, str]
    published: float
    rederived: float
    ulps: int


@dataclass(frozen=True)
class Reproduction:
    """What came of scoring a past run again."""

    run_id: str
    model: str
    interval: str
    rows: int
    verdict: Verdict
    recorded_digest: str | None
    stored_digest: str | None
    rederived_digest: str | None
    reason: str = ""
    differences: list[Difference] = field(default_factory=list)

    def details(self) -> dict[str, Any]:
        """All of it, JSON-serialisable."""
        return asdict(self)

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
        Store and archive; the source database is not touched.
    run_id : str
        A run that staged scores.

    Returns
    -------
    Reproduction
        ``identical``; ``differs``, with the first rows that do; or ``not_re_derivable``, with the
        reason: the frozen input or the package is gone, changed, or needs another environment.
    """
    run = ctx.store.run(run_id)
    if run.score_digest is None or run.package_sha256 is None:
        raise NotFoundError(
            f"run {run_id} has no scores to reproduce",
            where=f"{run.model} {run.interval}, state {run.state}",
            expected="a run that was scored",
            fix="name a published run: rescore reproduce --model " + run.model,
        )
    stored = ctx.store.scores_of(run_id)
    stored_digest = str(table_digest(stored).root)
    try:
        package = open_package(ctx, run.model, run.package_sha256)
        rederived = predict_run(ctx, run, package)
    except (IntegrityError, NotFoundError) as error:
        done = _reproduction(run, stored.num_rows, "not_re_derivable", stored_digest, None, str(error), [])
    else:
        rederived = rederived.cast(stored.schema)  # keys as the score table holds them
        digest = str(table_digest(rederived).root)
        same = run.score_digest == stored_digest == digest
        done = _reproduction(
            run,
            stored.num_rows,
            "identical" if same else "differs",
            stored_digest,
            digest,
            "" if same else _reason(run.score_digest, stored_digest, digest),
            [] if same else _differences(ctx, run.model, stored, rederived),
        )
    ctx.store.record_reproduction(run_id, done.verdict, done.details())
    return done


def sample_runs(ctx: Context, model_name: str | None = None, count: int = 7) -> list[str]:
    """The latest ``count`` published runs, of one model or of each."""
    models = [model_name] if model_name is not None else ctx.models()
    return [run.run_id for name in models for run in ctx.store.published_runs(name)[-count:]]


def _reason(recorded: str, stored: str, rederived: str) -> str:
    if recorded == rederived:
        return "the rows in the score table are not those that were published"
    if recorded == stored:
        return "the scores derived again are not those that were published"
    if stored == rederived:
        return "the recorded digest is not that of the rows"
    return "the recorded digest, the rows in the table and the scores derived again all differ"


def _reproduction(
    run: Any,
    rows: int,
    verdict: Verdict,
    stored: str,
    rederived: str | None,
    reason: str,
    differences: list[Difference],
) -> Reproduction:
    return Reproduction(
        run_id=run.run_id,
        model=run.model,
        interval=str(run.interval),
        rows=rows,
        verdict=verdict,
        recorded_digest=run.score_digest,
        stored_digest=stored,
        rederived_digest=rederived,
        reason=reason,
        differences=differences,
    )


def _differences(ctx: Context, model_name: str, stored: pa.Table, rederived: pa.Table) -> list[Difference]:
    """The first rows that differ, by position if the keys agree; else nothing more can be said."""
    keys = [name for name in stored.column_names if name not in {"score", "label"}]
    if stored.num_rows != rederived.num_rows or not all(
        stored[name].equals(rederived[name].cast(stored[name].type)) for name in keys
    ):
        return []
    from rescore.model.runtime.package import ulps

    left, right = stored["score"].to_numpy(), rederived["score"].to_numpy()
    apart = ulps(left, right)
    rows = np.flatnonzero(apart)[:MAX_DIFFERENCES]
    shown = stored.select(keys).take(pa.array(rows))
    columns = {name: pc.cast(shown[name], pa.string()).to_pylist() for name in keys}
    return [
        Difference(
            key={name: columns[name][at] for name in keys},
            published=float(left[row]),
            rederived=float(right[row]),
            ulps=int(apart[row]),
        )
        for at, row in enumerate(rows)
    ]
