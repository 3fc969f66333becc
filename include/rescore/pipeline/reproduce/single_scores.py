"""One published score derived again by itself, and everything that a package made.

A row scored alone gives the bits it got among others: that is what packages promise, and what makes a
single score provable without the rows of anybody else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rescore.document import Document
from rescore.errors import IntegrityError, ModelError, NotFoundError, ParameterError, RescoreError
from rescore.interval import Interval
from rescore.pipeline.compare.proved_packages import predicted, proved, reproduced
from rescore.pipeline.context import Context
from rescore.pipeline.reproduce.runs import Reproduction, reproduce_run
from rescore.pipeline.reproduce.score_again import (
    Derived,
    derived,
    differences,
    frozen_rows,
    largest_distance,
)
from rescore.pipeline.reproduce.verdict import Verdict, judge
from rescore.store import ScoredRun, row_columns

__all__ = ["PackageReproduction", "ScoreReproduction", "reproduce_package", "reproduce_score"]

#: More matches than this are a run or a day to reproduce, not a score.
MOST_ROWS = 10


class ScoreReproduction(Document):
    """One published score, derived again from its row alone; the store keeps it.

    Attributes
    ----------
    published, rederived : float
        The score that consumers read, and what the row gives; None where it could not be derived.
    ulps : int or None
        How many float64 values lie between the two.
    """

    scope: Literal["score"] = "score"
    run_id: str
    model: str
    interval: str
    key: dict[str, str]
    package_version: str
    verdict: Verdict
    published: float
    rederived: float | None
    label: str | None
    ulps: int | None
    reason: str = ""

    def row(self) -> dict[str, Any]:
        """One line of a table for people."""
        return {
            "key": ", ".join(f"{name}={value}" for name, value in self.key.items()),
            "published": self.published.hex(),
            "derived_again": None if self.rederived is None else self.rederived.hex(),
            **{name: getattr(self, name) for name in ("package_version", "interval", "verdict", "run_id")},
            "ulps": self.ulps,
            "reason": self.reason,
            "score": self.published,
            "label": self.label,
        }


@dataclass(frozen=True)
class PackageReproduction:
    """What a package recorded of itself, measured again, and the runs that it scored.

    ``problem`` is empty if the file, its golden rows and its recorded metrics hold.
    """

    model: str
    version: str
    sha256: str
    metrics: dict[str, float | None]
    problem: str
    runs: list[Reproduction]

    @property
    def proved(self) -> bool:
        """Whether the package and every run that it scored stand."""
        return not self.problem and all(run.proved for run in self.runs)


def reproduce_score(
    ctx: Context, model_name: str, key: Mapping[str, str], *, intervals: Sequence[Interval] | None = None
) -> list[ScoreReproduction]:
    """Derive the published scores of a key again, each from its row alone; the verdicts are stored.

    Parameters
    ----------
    ctx : Context
        Store and archive; the source database only if the frozen input is gone.
    model_name : str
        The model.
    key : mapping of str to str
        Key columns (and the event time) to values. Columns left out match any value, as long as no
        more than :data:`MOST_ROWS` scores match.
    intervals : sequence of Interval, optional
        Only scores of these.

    Raises
    ------
    NotFoundError
        No score of that key is published; a row that was set aside is named with its reason.
    ParameterError
        No key, or too many scores match.
    """
    if not key:
        raise ParameterError(
            "no key is named", expected="at least one column of the key", fix="--key a=1,b=2"
        )
    within = [None] if intervals is None else list(intervals)
    found = [
        one for interval in within for one in ctx.store.scores.of_key(model_name, key, interval=interval)
    ]
    matches = sum(rows.num_rows for _, rows in found)
    named = ", ".join(f"{name}={value}" for name, value in key.items())
    if not matches:
        raise NotFoundError(
            f"no published score of {model_name} has {named}",
            where=f"{ctx.store.database.consumer_schema}.{model_name}",
            expected="the key of a published score",
            fix=f"rows without a score, with why: {ctx.store.database.consumer_schema}.{model_name}_excluded",
        )
    if matches > MOST_ROWS:
        raise ParameterError(
            f"{matches:,}{' or more' * (matches >= 100)} published scores have {named}",
            expected=f"at most {MOST_ROWS}",
            fix="name more columns of the key, or a day; or reproduce the whole run",
        )
    done = []
    for run_id, published in found:
        run = ctx.store.runs.scored(run_id)
        for one in _of_run(ctx, run, published):
            ctx.store.reports.record_reproduction(run_id, one.verdict, one.to_dict())
            done.append(one)
    return done


def _of_run(ctx: Context, run: ScoredRun, published: pa.Table) -> list[ScoreReproduction]:
    rows = [published.slice(number, 1) for number in range(published.num_rows)]
    try:
        with frozen_rows(ctx, run) as frozen:
            kept = np.ones(frozen.rows.num_rows, dtype=bool)
            kept[frozen.excluded] = False
            done = []
            for row in rows:
                position = _position(frozen.rows, row, kept)
                with ctx.scratch_folder() as scratch:
                    path = scratch / "row.parquet"
                    alone = frozen.rows.slice(position, 1)
                    pq.write_table(alone, path)
                    single = replace(frozen, path=path, rows=alone, excluded=[])
                    again = derived(ctx, run, single, published.schema)
                done.append(_score(run, row, again, frozen.note))
            return done
    except (IntegrityError, NotFoundError, ModelError) as error:
        return [_score(run, row, None, str(error)) for row in rows]


def _position(frozen: pa.Table, row: pa.Table, kept: np.ndarray[Any, Any]) -> int:
    """Where the row of a score stands in the frozen input."""
    same = pa.array(kept)
    for name in row_columns(row):
        column = frozen[name].cast(row.schema.field(name).type)
        same = pc.and_(same, pc.equal(column, row[name][0]).combine_chunks())
    found = np.flatnonzero(same.to_numpy(zero_copy_only=False))
    if len(found) != 1:
        raise NotFoundError(
            "the frozen input has no such row: the score was not made from it",
            examples=[str(row.to_pylist()[0])],
            expected="exactly one row of that key among those that were scored",
        )
    return int(found[0])


def _score(run: ScoredRun, row: pa.Table, again: Derived | None, note: str) -> ScoreReproduction:
    keys = row_columns(row)
    facts: dict[str, Any] = {
        "run_id": run.run_id,
        "model": run.model,
        "interval": str(run.interval),
        "key": {name: pc.cast(row[name], pa.string())[0].as_py() for name in keys},
        "package_version": str(run.package_version),
        "published": row["score"][0].as_py(),
        "label": row["label"][0].as_py() if "label" in row.column_names else None,
    }
    if again is None:
        return ScoreReproduction(**facts, verdict="not_rederivable", rederived=None, ulps=None, reason=note)
    distance = largest_distance(row, again.scores)
    verdict, reason = judge(distance, again.environment, again.golden_ulps)
    if distance is None:
        reason = f"the label is {facts['label']}, and derived again {again.scores['label'][0].as_py()}"
    elif verdict == "differs" and not reason:
        [apart] = differences(row, again.scores)
        reason = f"the {apart.column} in the table is not what its row gives"
    return ScoreReproduction(
        **facts,
        verdict=verdict,
        rederived=again.scores["score"][0].as_py(),
        ulps=distance,
        reason="; ".join(part for part in (reason, note) if part),
    )


def reproduce_package(ctx: Context, model_name: str, reference: str) -> PackageReproduction:
    """Prove a package, and derive every run again that it scored and consumers see.

    The file's digest, the store's manifest against the file's own, the golden rows, the recorded
    metrics (measured again on the frozen snapshot), and then each run as :func:`reproduce_run` does.

    Parameters
    ----------
    ctx : Context
        Store and archive.
    model_name : str
        The model.
    reference : str
        A version or sha256.
    """
    registered = ctx.store.packages.find(model_name, reference)
    metrics: dict[str, float | None] = {}
    problem = ""
    try:
        rival = proved(ctx, model_name, registered.sha256)
        proof = reproduced(rival, predicted(ctx, rival.package, "evaluation", [rival.held_out])[0])
        metrics, problem = ({}, proof.refused) if proof.erased else (proof.metrics, "")
    except RescoreError as error:
        if error.retryable:
            raise
        problem = str(error)
    runs = ctx.store.runs.published(model_name, package_sha256=registered.sha256)
    return PackageReproduction(
        model=model_name,
        version=registered.version,
        sha256=registered.sha256,
        metrics=metrics,
        problem=problem,
        runs=[reproduce_run(ctx, run.run_id) for run in runs],
    )
