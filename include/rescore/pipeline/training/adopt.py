"""Adopt a model that was fitted elsewhere: a package whose training can't be repeated, its scores can."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rescore import drift, model, source
from rescore.errors import ParameterError, StoreError
from rescore.folder import ModelFolder
from rescore.pipeline.context import Context, built_here
from rescore.pipeline.packages.versions import same_or_next
from rescore.pipeline.training.train import train_snapshot

__all__ = ["adopt_model"]


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
) -> dict[str, Any]:
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
        A joblib or pickle file, or an MLflow model folder with the sklearn flavour.
    version : str, optional
        ``MAJOR.MINOR.PATCH``, of the folder's ``MAJOR.MINOR``; default the next.
    as_of, start, end : datetime, optional
        Of the snapshot; see :func:`train_snapshot`.
    timeout : float
        Seconds that loading and inspecting, and converting, may take each.

    Returns
    -------
    dict
        ``model``, ``version``, ``sha256``, ``training`` (that it is not reproducible), ``adopted_from``,
        ``snapshot_digest``, and metrics on rows that it may have been fitted to.

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
    digests: list[str] = []

    def snapshot() -> Path:
        digests.append(train_snapshot(ctx, model_name, as_of=as_of, start=start, end=end))
        return ctx.archive.get_input(digests[0])

    with TemporaryDirectory(dir=ctx.scratch) as scratch:
        fitted = model.adopt(
            saved,
            folder,
            snapshot,
            build_dir=Path(scratch) / "build",
            progress=ctx.progress,
            timeout=timeout,
        )
        [frozen] = ctx.store.snapshots.of_model(model_name, kind="training", digest=digests[0])[:1]
        rows = source.read_frozen(ctx.archive.get_input(frozen.digest), frozen.digest)
        profile = drift.build_reference(rows, folder.spec, fitted.out_of_fold, fitted.importance)
        adopted = fitted.final["adopted"]
        lineage = {
            "training": adopted["note"],
            "adopted_from": adopted["adopted_from"],
            "snapshot_digest": frozen.digest,
            "window": str(frozen.interval),
            "as_of": frozen.as_of.isoformat(),
            "snapshot": dict(frozen.details),
        }

        def build(wanted: str) -> model.PackageFile:
            return model.build_package(
                fitted,
                folder,
                version=wanted,
                reference_profile=profile,
                lineage=lineage,
                destination=Path(scratch) / "dist" / wanted,
                lock=ctx.settings.lock,
            )

        known = ctx.store.packages.of_model(model_name)
        package = same_or_next(build, known, folder) if version is None else build(version)
        taken = [one for one in known if one.version == package.version and one.sha256 != package.sha256]
        if taken:
            raise StoreError(
                f"{model_name} {package.version} is {taken[0].sha256} already",
                expected=f"a version that no other package has, for {package.sha256}",
                fix="leave --version out: the next free one is taken",
            )
        uri = ctx.archive.put_package(package.path, package.sha256)
        built = built_here(folder)
        ctx.store.packages.add(
            model_name, package.version, package.sha256, package.manifest, uri, built=built
        )
    ctx.progress(f"{model_name} {package.version}: {package.sha256}")
    return {
        "model": model_name,
        "version": package.version,
        "sha256": package.sha256,
        "training": adopted["note"],
        "adopted_from": saved.path.name,
        "adopted_sha256": adopted["adopted_from"]["sha256"],
        "snapshot_digest": frozen.digest,
        **{name: value for name, value in fitted.metrics.items() if value is not None},
    }


def _check_version(folder: ModelFolder, version: str | None) -> None:
    line = folder.spec.version
    if version is not None and not re.fullmatch(re.escape(line) + r"\.\d+", version):
        raise ParameterError(
            f"--version {version!r} is no version of {folder.name}",
            where=str(folder.path / "model.yaml"),
            expected=f"{line}.PATCH, since model.yaml says version: {line}",
            fix="leave it out, or change version in model.yaml",
        )
