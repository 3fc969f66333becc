"""What is recorded of a package, proved before it is compared with another.

The file's digest, the store's manifest against the file's own, and the recorded metrics: measured again
on the frozen training snapshot, by the fit that the package keeps for that. What does not hold is
refused, by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rescore import model
from rescore.comparison import Reproduced
from rescore.errors import DigestMismatchError, MetricMismatchError, NotFoundError
from rescore.interval import parse_moment
from rescore.manifest import Manifest
from rescore.model import Predictions, one_thread, truth_for, ulps
from rescore.performance import point_metrics
from rescore.pipeline.context import Context
from rescore.pipeline.packages.opening import open_package
from rescore.store import Package, Snapshot

__all__ = ["Fit", "Rival", "predicted", "proved", "reproduced", "rows_since"]

Fit = Literal["final", "evaluation"]


@dataclass(frozen=True)
class Rival:
    """A package whose file and manifest are proved, with the rows it was trained on.

    ``erased`` of them are gone; ``rows`` are what is left.
    """

    registered: Package
    package: model.Package
    snapshot: Snapshot
    rows: pa.Table
    erased: int = 0

    @property
    def manifest(self) -> Manifest:
        """What the file says of itself."""
        return self.package.manifest

    @property
    def held_out_from(self) -> datetime:
        """Where the hold-out of its own training begins."""
        return parse_moment(self.manifest.evaluation.start)

    @property
    def held_out(self) -> pa.Table:
        """The rows that its recorded metrics were measured on."""
        return rows_since(self.rows, self.held_out_from)

    @property
    def erased_of_hold_out(self) -> int:
        """How many of those were erased since."""
        recorded = self.manifest.evaluation.rows
        if not self.erased or recorded is None:
            return self.erased
        return int(recorded) - int(self.held_out.num_rows)

    def fit_before(self, moment: datetime) -> Fit | None:
        """The fit that saw no row from ``moment`` on."""
        if self.snapshot.interval.end <= moment:
            return "final"
        return "evaluation" if self.held_out_from <= moment else None


def proved(ctx: Context, model_name: str, reference: str) -> Rival:
    """Open a package, and compare what the store says of it with what it says itself."""
    registered = ctx.store.packages.find(model_name, reference)
    package = open_package(ctx, model_name, registered.sha256)
    label = f"{model_name} {registered.version}"
    changed = _changed(package.manifest.of_file(), registered.manifest.of_file())
    if changed or package.version != registered.version:
        raise DigestMismatchError(
            f"the store's manifest of {label} is not the one in its file",
            where=f"{ctx.store.database.store_schema}.package, {registered.sha256}",
            expected="the same values in both",
            examples=changed or [f"version: in the file {package.version}, stored {registered.version}"],
            fix="find out who changed the row; the file's own manifest is what its digest covers",
            data={"changed": [one.partition(":")[0] for one in changed]},
        )
    evaluation, lineage = package.manifest.evaluation, package.manifest.lineage
    if not package.manifest.training.reproducible:
        raise NotFoundError(
            f"{label} was adopted: its training is not reproducible",
            where=registered.sha256,
            expected="a package whose hold-out is known not to have been trained on",
            fix="a person decides about an adopted package; train the model to compare from then on",
        )
    if evaluation.artifact is None:
        raise NotFoundError(
            f"{label} does not hold the fit that its metrics were measured on",
            where=registered.sha256,
            expected="a package trained from a snapshot, whose metrics can be measured again",
            fix="train the model anew",
        )
    if package.manifest.metrics != evaluation.metrics:
        raise MetricMismatchError(f"{label} records two different sets of metrics", where=registered.sha256)
    digest = str(lineage.snapshot_digest)
    found = ctx.store.snapshots.of_model(model_name, kind="training", digest=digest)
    if not found:
        raise NotFoundError(
            f"the training snapshot of {label} is not in the store",
            where=digest,
            expected="the snapshot that its metrics were measured on",
            fix="bring the row and the file back; without them its metrics can't be proved",
        )
    snapshot = next((one for one in found if str(one.interval) == lineage.window), None)
    if snapshot is None:
        raise DigestMismatchError(
            f"the store gives the training snapshot of {label} another window",
            where=f"{ctx.store.database.store_schema}.snapshot, {digest}",
            expected=lineage.window,
            examples=[f"got {found[0].interval}"],
        )
    _, rows, tombstone = ctx.frozen_table(digest)
    return Rival(registered, package, snapshot, rows, 0 if tombstone is None else len(tombstone.erased))


def _changed(expected: Any, found: Any, path: str = "") -> list[str]:
    """Where two JSON values differ, in words."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return [
            line
            for key in sorted({*expected, *found})
            for line in _changed(expected.get(key), found.get(key), f"{path}.{key}" if path else key)
        ]
    if expected == found:
        return []
    return [f"{path}: in the file {str(expected)[:60]}, stored {str(found)[:60]}"]


def rows_since(rows: pa.Table, moment: datetime) -> pa.Table:
    """The rows whose interval starts at ``moment`` or later."""
    return rows.filter(
        pc.greater_equal(rows["interval_start"], pa.scalar(moment, rows["interval_start"].type))
    )


def predicted(
    ctx: Context, package: model.Package, fit: Fit, tables: Sequence[pa.Table]
) -> list[Predictions]:
    """Predictions and labels of some tables, by one process."""
    names, target = package.manifest.feature_names, package.manifest.target
    together = pa.concat_tables([rows.select(names) for rows in tables], promote_options="permissive")
    regression = target.kind == "regression"
    with ctx.scratch_folder() as scratch:
        path = scratch / "rows.parquet"
        pq.write_table(together, path)
        columns = {label: f"p{number}" for number, label in enumerate(target.labels)}
        scores = package.predict(path, fit=fit, probabilities=columns)
    edges = np.cumsum([rows.num_rows for rows in tables])[:-1]
    if regression:
        return [Predictions(raw, None) for raw in np.split(scores["score"].to_numpy(), edges)]
    labels = target.labels
    raw = np.column_stack([scores[f"p{number}"].to_numpy() for number in range(len(labels))])
    named = pc.index_in(scores["label"], value_set=pa.array(labels, pa.string())).to_numpy()
    return [Predictions(*part) for part in zip(np.split(raw, edges), np.split(named, edges), strict=True)]


def reproduced(rival: Rival, own: Predictions) -> Reproduced:
    """Measure the recorded metrics again; refuse others.

    Scores have to be the same bits always. Where other releases of numpy or scikit-learn than the
    package's add them up to a metric, its last bits may differ: four ULP are let pass, and said.
    Of a hold-out that lost rows to an erasure nothing can be asked: it is said, too.
    """
    manifest = rival.manifest
    if rival.erased_of_hold_out:
        return Reproduced(
            metrics=dict(manifest.evaluation.metrics),
            rows=rival.held_out.num_rows,
            ulps=0.0,
            libraries=(),
            erased=rival.erased_of_hold_out,
        )
    recorded = manifest.evaluation.metrics
    target = manifest.target
    with one_thread():
        truth = truth_for(target.name, target.kind, target.labels, rival.held_out[target.name])
        found = point_metrics(target.kind, truth, own.raw, own.named)
    packages = manifest.environment.packages
    here = model.numeric_environment()["packages"]
    libraries = [name for name in ("numpy", "scikit-learn", "scipy") if packages.get(name) != here.get(name)]
    distance = {name: _distance(recorded.get(name), value) for name, value in found.items()}
    worst = max(distance.values())
    if set(recorded) != set(found) or worst > (4 if libraries else 0):
        examples = [
            f"{name}: recorded {recorded.get(name)!r}, measured again {found.get(name)!r}"
            for name in sorted({*recorded, *found})
            if recorded.get(name) != found.get(name)
        ]
        raise MetricMismatchError(
            f"{rival.package.name} {rival.package.version} does not reproduce its recorded metrics",
            where=f"its hold-out from {rival.held_out_from.isoformat()}, snapshot {rival.snapshot.digest}",
            expected=f"the recorded values, to the last bit{' but two' if libraries else ''}",
            examples=examples,
            fix="do not trust this package: train it anew from its snapshot and compare the files",
            data={"recorded": dict(recorded), "found": found},
        )
    return Reproduced(
        metrics=dict(recorded), rows=rival.held_out.num_rows, ulps=worst, libraries=tuple(libraries)
    )


def _distance(recorded: float | None, found: float | None) -> float:
    if recorded is None or found is None:
        return 0.0 if recorded is found else float("inf")
    return float(ulps(np.array([recorded]), np.array([found]))[0])
