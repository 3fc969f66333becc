"""Adopt a model that was fitted elsewhere: a package whose training can't be repeated, its scores can."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from rescore import model
from rescore.errors import ParameterError
from rescore.folder import ModelFolder
from rescore.manifest import Lineage
from rescore.pipeline.context import Context
from rescore.pipeline.packages.frozen_training import training_files
from rescore.pipeline.training.train import lineage_of, make_candidate, register
from rescore.pipeline.training.training_rows import train_snapshot
from rescore.sha256 import Sha256
from rescore.store import Snapshot

__all__ = ["AdoptedPackage", "adopt_model"]


@dataclass(frozen=True)
class AdoptedPackage:
    """A package of a model that was fitted elsewhere.

    Attributes
    ----------
    model, version, sha256 : str
        Which package.
    training : str
        That it can't be repeated.
    adopted_from, adopted_sha256 : str
        Name and digest of the file.
    snapshot_digest : str
        The rows that it was measured on.
    metrics : dict of str to float
        On rows that it may have been fitted to.
    """

    model: str
    version: str
    sha256: Sha256
    training: str
    adopted_from: str
    adopted_sha256: str
    snapshot_digest: Sha256
    metrics: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """As JSON-serialisable values, the metrics beside the rest."""
        fields = asdict(self)
        return {**fields, **fields.pop("metrics")}


def adopt_model(
    ctx: Context,
    model_name: str,
    file: Path,
    *,
    version: str | None = None,
    as_of: datetime | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    timeout: float = 600.0,
    who: str | None = None,
) -> AdoptedPackage:
    """Convert a fitted model to a package; it is not pinned.

    A training snapshot is frozen as for a training; nothing is fitted to it. It gives the levels of
    categorical features, what golden rows are drawn from, drift's reference, and rows to measure on.
    Adopting the same file on the same snapshot again gives the package that there is.

    Parameters
    ----------
    ctx : Context
        Store, archive, connections.
    model_name : str
        The model whose folder declares features, target and ``TRUSTED_TYPES``.
    file : Path
        See :func:`rescore.model.find_saved`.
    version : str, optional
        ``MAJOR.MINOR.PATCH``, of the folder's ``MAJOR.MINOR``; default the next.
    as_of, start, end : datetime, optional
        Of the snapshot; see :func:`train_snapshot`.
    timeout : float
        Seconds that loading and inspecting, and converting, may take each.
    who : str, optional
        Who adopts it, which counts as training it; stored with the build.

    Raises
    ------
    ParameterError
        The version is not one of the folder's.
    StoreError
        The version is another package's already.
    ModelError
        The file holds no fitted model of these features and this target, names types that are not
        allowed, or does not predict the same bits once converted. Nothing is kept then.
    """
    folder = ctx.model(model_name)
    _check_version(folder, version)
    saved = model.find_saved(file)
    with ctx.scratch_folder() as scratch:
        rows = _ReferenceRows(ctx, model_name, as_of=as_of, start=start, end=end)
        fitted = model.adopt(
            saved,
            folder,
            rows.freeze,
            build_dir=scratch / "build",
            progress=ctx.progress,
            timeout=timeout,
        )
        adopted = fitted.final["adopted"]
        found_here = {"training": adopted["note"], "adopted_from": adopted["adopted_from"]}
        lineage = Lineage.from_dict({**found_here, **lineage_of(rows.snapshot).to_dict()})
        candidate = make_candidate(ctx, folder, fitted, lineage, scratch, lock=ctx.settings.lock)
        package, _ = register(ctx, candidate, version, who=who)
        return AdoptedPackage(
            model=model_name,
            version=package.version,
            sha256=Sha256(package.sha256),
            training=adopted["note"],
            adopted_from=saved.path.name,
            adopted_sha256=adopted["adopted_from"]["sha256"],
            snapshot_digest=Sha256(rows.snapshot.digest),
            metrics=candidate.metrics,
        )


class _ReferenceRows:
    """The snapshot to measure on, frozen only once the file is known to hold a model."""

    def __init__(self, ctx: Context, model_name: str, **window: datetime | None) -> None:
        self._ctx = ctx
        self._model_name = model_name
        self._window = window

    @cached_property
    def snapshot(self) -> Snapshot:
        digest = train_snapshot(self._ctx, self._model_name, **self._window)
        return self._ctx.store.snapshots.of_model(self._model_name, kind="training", digest=digest)[0]

    def freeze(self) -> list[Path]:
        """The files of the rows: with a label, and without."""
        return training_files(self._ctx, lineage_of(self.snapshot))


def _check_version(folder: ModelFolder, version: str | None) -> None:
    line = folder.spec.version
    if version is not None and not re.fullmatch(re.escape(line) + r"\.\d+", version):
        raise ParameterError(
            f"--version {version!r} is no version of {folder.name}",
            where=str(folder.path / "model.yaml"),
            expected=f"{line}.PATCH, since model.yaml says version: {line}",
            fix="leave it out, or change version in model.yaml",
        )
