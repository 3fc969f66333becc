"""Train a package: snapshot, fit twice, compare the bytes, keep.

Nothing here reads the wall clock but the defaults of a training that names no moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rescore import drift, model
from rescore.errors import NotFoundError, StoreError
from rescore.folder import ModelFolder
from rescore.manifest import Lineage
from rescore.pipeline.build_facts import built_here
from rescore.pipeline.context import Context
from rescore.pipeline.packages.frozen_training import reference_rows, training_files
from rescore.pipeline.packages.versions import same_or_next
from rescore.pipeline.training.training_rows import train_snapshot
from rescore.sha256 import Sha256
from rescore.store import Package, Snapshot

__all__ = [
    "Candidate",
    "TrainedPackage",
    "fit",
    "lineage_of",
    "make_candidate",
    "register",
    "train_model",
    "train_package",
]


@dataclass(frozen=True)
class TrainedPackage:
    """A package that a training made, or made again.

    Attributes
    ----------
    model, version, sha256 : str
        Which package.
    snapshot_digest : str
        The rows it was trained on.
    rows : int
        How many they are.
    code_revision : str or None
        Of the code that trained now.
    metrics : dict of str to float
        On the hold-out.
    """

    model: str
    version: str
    sha256: Sha256
    snapshot_digest: Sha256
    rows: int
    code_revision: str | None
    metrics: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """As JSON-serialisable values, the metrics beside the rest."""
        fields = asdict(self)
        metrics = fields.pop("metrics")
        return {**fields, **metrics}


@dataclass(frozen=True)
class Candidate:
    """A fitted model that lacks only its version to be a package.

    Attributes
    ----------
    fitted : Fitted
        The training.
    folder : ModelFolder
        What was trained.
    profile : bytes
        Drift's reference.
    lineage : Lineage
        Where its rows came from; goes into the manifest.
    lock : Path or None
        A requirements file with hashes, from which the package's own lock is taken.
    destination : Path
        Where wheels are written, a folder for each version.
    """

    fitted: model.Fitted
    folder: ModelFolder
    profile: bytes
    lineage: Lineage
    lock: Path | None
    destination: Path

    @property
    def metrics(self) -> dict[str, float]:
        """What was measured, without what could not be."""
        return {name: value for name, value in self.fitted.metrics.items() if value is not None}

    def build(self, version: str, *, bill: bool = True) -> model.PackageFile:
        """Write the package's file under that version, with its bill of materials or without."""
        return model.build_package(
            self.fitted,
            self.folder,
            version=version,
            reference_profile=self.profile,
            lineage=self.lineage,
            destination=self.destination / version,
            lock=self.lock,
            bill=bill,
        )


def train_model(
    ctx: Context,
    model_name: str,
    *,
    as_of: datetime | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    who: str | None = None,
) -> TrainedPackage:
    """Snapshot and train; see :func:`train_snapshot` and :func:`train_package`."""
    digest = train_snapshot(ctx, model_name, as_of=as_of, start=start, end=end)
    return train_package(ctx, model_name, digest, who=who)


def train_package(
    ctx: Context, model_name: str, snapshot_digest: str, *, who: str | None = None
) -> TrainedPackage:
    """Fit on a snapshot, twice, and keep the package.

    Two fresh processes fit the same rows; different bytes are refused. A package that would be the
    same file as one there is already is that one: of it, only this build is new.

    Parameters
    ----------
    ctx : Context
        Store and archive.
    model_name : str
        The model.
    snapshot_digest : str
        The rows.
    who : str, optional
        Who trains; stored with the build. A model that declares ``promotion.approval: four_eyes`` can't
        pin a package of which nobody knows it.

    Raises
    ------
    NotFoundError
        No such snapshot of this model.
    ModelError
        The pipeline can't be fitted or packaged, or is not deterministic.
    """
    folder = ctx.model(model_name)
    snapshots = ctx.store.snapshots.of_model(model_name, kind="training", digest=snapshot_digest)
    if not snapshots:
        raise NotFoundError(
            f"{model_name} has no training snapshot {snapshot_digest}",
            expected="a digest that a training snapshot returned",
            fix=f"`rescore train {model_name}`",
        )
    with ctx.scratch_folder() as scratch:
        candidate = fit(ctx, folder, lineage_of(snapshots[0]), scratch, lock=ctx.settings.lock)
        package, built = register(ctx, candidate, who=who)
        return TrainedPackage(
            model=model_name,
            version=package.version,
            sha256=Sha256(package.sha256),
            snapshot_digest=Sha256(snapshot_digest),
            rows=candidate.fitted.rows,
            code_revision=built["code_revision"],
            metrics=candidate.metrics,
        )


def lineage_of(snapshot: Snapshot) -> Lineage:
    """What a manifest says of the rows that its package was trained on."""
    return Lineage(
        snapshot_digest=snapshot.digest,
        window=str(snapshot.interval),
        as_of=snapshot.as_of.isoformat(),
        snapshot=dict(snapshot.details),
    )


def fit(
    ctx: Context, folder: ModelFolder, lineage: Lineage, scratch: Path, *, lock: Path | None
) -> Candidate:
    """Fit a model folder on a frozen snapshot, twice.

    Parameters
    ----------
    ctx : Context
        Archive.
    folder : ModelFolder
        What is trained.
    lineage : Lineage
        Goes into the manifest; ``snapshot_digest`` is the snapshot.
    scratch : Path
        An empty folder, kept until the package was built.
    lock : Path or None
        See :class:`Candidate`.
    """
    labelled, *rest = training_files(ctx, lineage)
    fitted = model.train_verified(
        labelled,
        folder,
        build_dir=scratch / "build",
        unlabelled=rest[0] if rest else None,
        progress=ctx.progress,
    )
    return make_candidate(ctx, folder, fitted, lineage, scratch, lock=lock)


def make_candidate(
    ctx: Context,
    folder: ModelFolder,
    fitted: model.Fitted,
    lineage: Lineage,
    scratch: Path,
    *,
    lock: Path | None,
) -> Candidate:
    """Join a fitted model with drift's reference, made from all rows of the snapshot's intervals."""
    rows = reference_rows(ctx, lineage)
    profile = drift.build_reference(
        rows,
        folder.spec,
        fitted.reference_scores,
        fitted.importance,
        named=fitted.named,
        out_of_fold="adopted" not in fitted.final,
    )
    for resolution in drift.resolution_of(profile):
        ctx.progress(f"drift: {resolution}")
    return Candidate(fitted, folder, profile, lineage, lock, scratch / "dist")


def register(
    ctx: Context, candidate: Candidate, version: str | None = None, *, who: str | None = None
) -> tuple[model.PackageFile, dict[str, str | None]]:
    """Keep a candidate's package, under ``version`` or the next one; returns it and what built it.

    ``who`` trained or adopted it.

    Raises
    ------
    StoreError
        The version is another package's already.
    """
    model_name = candidate.folder.name
    known = ctx.store.packages.of_model(model_name)
    if version is None:
        package = same_or_next(candidate.build, known, candidate.folder)
    else:
        package = candidate.build(version)
        _refuse_taken(package, known, model_name)
    uri = ctx.archive.put_package(package.path, package.sha256)
    built = built_here(candidate.folder, who)
    ctx.store.pins.declare(candidate.folder.spec)
    ctx.store.packages.add(model_name, package.version, package.sha256, package.manifest, uri, built=built)
    ctx.progress(f"{model_name} {package.version}: {package.sha256}")
    return package, built


def _refuse_taken(package: model.PackageFile, known: Sequence[Package], model_name: str) -> None:
    for other in known:
        if other.version == package.version and other.sha256 != package.sha256:
            raise StoreError(
                f"{model_name} {package.version} is {other.sha256} already",
                expected=f"a version that no other package has, for {package.sha256}",
                fix="leave --version out: the next free one is taken",
            )
