"""Train packages again without a person, and say what that changes: nothing is kept, nothing published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rescore import model, source
from rescore.errors import RescoreError
from rescore.leaf_rows import LEAF_ROWS
from rescore.pipeline.context import Context
from rescore.pipeline.erasure.subjects import FrozenRows, Subject, frozen_tables, models_of
from rescore.pipeline.packages.carried_folder import folder_of, why_not_trainable
from rescore.pipeline.packages.opening import open_package
from rescore.store import Package

__all__ = ["Counterfactual", "train_without"]

_KEEPS_ROWS = "not listed: its estimator stores rows that it was fitted on"


@dataclass(frozen=True)
class Counterfactual:
    """A package beside the one that the same training gives without a person.

    Attributes
    ----------
    model, version : str
        The package.
    removed : int
        Rows of the person that its training read, with or without a label.
    reason : str
        Why it can't be trained without them; empty if it was.
    parameters : list of str
        What of the fitted estimator differs: where, its value before and after.
    metrics : dict of str to list of float or None
        What was measured on the hold-out, before and after.
    rows : int
        The remaining rows with a label, which both score.
    moved : int
        Of them, those whose score is another.
    largest, mean : float
        Distances of the scores, in the score's unit.
    labels : int
        Of them, those whose predicted label is another.
    """

    model: str
    version: str
    removed: int
    reason: str = ""
    parameters: list[str] = field(default_factory=list)
    metrics: dict[str, list[float | None]] = field(default_factory=dict)
    rows: int = 0
    moved: int = 0
    largest: float = 0.0
    mean: float = 0.0
    labels: int = 0

    def to_dict(self) -> dict[str, Any]:
        """For a script."""
        return asdict(self)


def train_without(ctx: Context, values: Mapping[str, str]) -> list[Counterfactual]:
    """Train every package that saw a person again, from what it carries, without the person's rows.

    Code, parameters, seed and the other rows are the package's own. What others lost by earlier erasures is
    missing from those rows, too. It has to be done before the erasure: afterwards nobody can say which
    packages are concerned. It takes as long as the trainings took.

    Parameters
    ----------
    ctx : Context
        Models, store, archive.
    values : mapping of str to str
        Subject columns, as the models declare them, to the person's values.

    Returns
    -------
    list of Counterfactual
        One for each package that was trained on the person.

    Raises
    ------
    ParameterError
        No model declares these columns.
    DigestMismatchError
        A frozen table is not what was recorded.
    """
    subject = Subject(dict(values))
    models = models_of(ctx, subject)
    touched = {table.digest: table for table in frozen_tables(ctx, models, subject)}
    return [
        _compared(ctx, package, [touched[digest] for digest in digests], subject)
        for name in models
        for package in ctx.store.packages.of_model(name)
        if (digests := [one for one in package.manifest.lineage.digests if one in touched])
    ]


def _compared(ctx: Context, package: Package, tables: list[FrozenRows], subject: Subject) -> Counterfactual:
    name, version = package.model, package.version
    removed = sum(len(table.places) for table in tables)
    reason = why_not_trainable(package)
    if reason:
        return Counterfactual(name, version, removed, reason)
    try:
        with ctx.scratch_folder() as scratch:
            return _trained(ctx, package, removed, subject, scratch)
    except RescoreError as error:
        if error.retryable:
            raise
        return Counterfactual(name, version, removed, str(error))


def _trained(ctx: Context, package: Package, removed: int, subject: Subject, scratch: Path) -> Counterfactual:
    before = open_package(ctx, package.model, package.sha256)
    folder = folder_of(ctx.archive.get_package(package.sha256), package.model, scratch)
    labelled, *rest = [
        _without(ctx, digest, subject, scratch / f"rows-{number}.parquet")
        for number, digest in enumerate(package.manifest.lineage.digests)
    ]
    fitted = model.train_verified(
        labelled,
        folder,
        build_dir=scratch / "build",
        unlabelled=rest[0] if rest else None,
        progress=ctx.progress,
    )
    made = model.build_package(
        fitted,
        folder,
        version=package.version,
        reference_profile=before.data("reference.json"),
        lineage=package.manifest.lineage,
        destination=scratch / "dist",
    )
    after = model.open_package(made.path, expected_sha256=made.sha256, cache=scratch / "cache")
    scores, again = before.predict(labelled), after.predict(labelled)
    distance = np.abs(scores["score"].to_numpy() - again["score"].to_numpy())
    metrics = {
        metric: [package.manifest.metrics.get(metric), made.manifest.metrics.get(metric)]
        for metric in sorted({*package.manifest.metrics, *made.manifest.metrics})
    }
    parameters = model.differing(before.data("model.skops"), after.data("model.skops"))
    return Counterfactual(
        package.model,
        package.version,
        removed,
        parameters=[_KEEPS_ROWS] if package.manifest.artifact.keeps_rows else parameters,
        metrics=metrics,
        rows=len(distance),
        moved=int(np.count_nonzero(distance)),
        largest=float(distance.max(initial=0.0)),
        mean=float(distance.mean()) if len(distance) else 0.0,
        labels=_other_labels(scores, again),
    )


def _other_labels(scores: pa.Table, again: pa.Table) -> int:
    if "label" not in scores.column_names:
        return 0
    return int(pc.sum(pc.not_equal(scores["label"], again["label"])).as_py() or 0)


def _without(ctx: Context, digest: str, subject: Subject, path: Path) -> Path:
    """Write the frozen rows of others, whoever was erased from them before."""
    buried = None if digest in ctx.archive.inputs() else ctx.store.erasures.of_frozen().get(digest)
    held_as = digest if buried is None or buried.remaining is None else buried.remaining
    rows = source.read_frozen(ctx.archive.get_input(held_as), held_as)
    others = rows.filter(pa.array(~subject.mask(rows)))
    with source.Freezer(path, others.schema, where=f"others' rows of {digest}") as freezer:
        for batch in others.combine_chunks().to_batches(max_chunksize=LEAF_ROWS):
            freezer.write(batch)
        freezer.keep()
    return path
