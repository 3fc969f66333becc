"""Train a package: snapshot, validate, fit twice, compare the bytes, keep.

The snapshot is the union of production-sized intervals, each as known at its own scoring moment,
joined with the labels known by the training's ``as_of``. Nothing here reads the wall clock but the
defaults of a training that names no moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rescore import drift, model, source, validation
from rescore.errors import NotFoundError, ParameterError
from rescore.folder import ModelFolder
from rescore.interval import Interval, Schedule
from rescore.pipeline.context import Context, built_here, utc_now
from rescore.pipeline.packages.versions import same_or_next
from rescore.pipeline.training.frozen_inputs import frozen_rows

__all__ = ["fit", "train_model", "train_package", "train_snapshot", "training_window"]


def training_window(
    folder: ModelFolder,
    as_of: datetime,
    start: datetime | None = None,
    end: datetime | None = None,
) -> list[Interval]:
    """The intervals to train on: those named, else the last declared number whose labels are due.

    Raises
    ------
    ParameterError
        No interval of the schedule lies there, or one has not ended by ``as_of``.
    """
    spec = folder.spec
    schedule: Schedule = spec.schedule.schedule()
    until = as_of - spec.target.delay
    if start is not None or end is not None:
        if start is None or end is None:
            raise ParameterError(
                "only one bound of the training window is named",
                expected="both start and end, or neither",
                fix="give both, or leave both out",
            )
        intervals = list(schedule.intervals(start, end))
    else:
        intervals = schedule.last_intervals(until, spec.training.intervals)
    if not intervals:
        raise ParameterError(
            f"no interval of {folder.name} lies in the training window",
            where=f"as of {as_of.isoformat()}, labels due {spec.target.delay} after an interval's end",
            expected=f"intervals due from {spec.schedule.start} on",
            fix="name a later as_of, or start and end",
        )
    if intervals[-1].end > as_of:
        raise ParameterError(
            f"the training window ends at {intervals[-1].end}, after its as_of {as_of}",
            expected="a window that lies before as_of",
            fix="name a later as_of or an earlier end",
        )
    return intervals


def train_snapshot(
    ctx: Context,
    model_name: str,
    *,
    as_of: datetime | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> str:
    """Freeze the training rows of ``model_name`` and return the snapshot's digest.

    Rows that the model's own suite would quarantine, and rows that it could not score, are left
    out, as they are from scoring.

    Parameters
    ----------
    ctx : Context
        Store, archive, connections.
    model_name : str
        The model.
    as_of : datetime, optional
        Labels known by then are used. Default: the last boundary of the schedule before now.
    start, end : datetime, optional
        Bounds of the window; default the last ``training.intervals`` whose labels are due.

    Raises
    ------
    ParameterError
        The model trains from frozen inputs, and the window has none.
    ValidationError
        A critical expectation failed on the training rows.
    """
    folder = ctx.model(model_name)
    as_of = as_of or folder.spec.schedule.schedule().floor(utc_now())
    intervals = training_window(folder, as_of, start, end)
    frozen = None
    if folder.spec.training.source == "frozen_inputs":
        frozen = frozen_rows(ctx, folder, intervals)
        intervals = list(frozen)
        ctx.progress(f"{model_name} trains on what was frozen when it was scored, not on the source of today")
    ctx.progress(f"snapshot: {len(intervals)} intervals, {intervals[0].start} to {intervals[-1].end}")
    with TemporaryDirectory(dir=ctx.scratch) as scratch:
        raw = source.snapshot(
            ctx.source_url(folder),
            folder,
            intervals,
            as_of,
            Path(scratch) / "raw.parquet",
            frozen=frozen,
            progress=ctx.progress,
        )
        rows = source.read_frozen(raw.path, raw.digest.root)
        report = validation.validate(rows, folder)
        validation.gate(report, folder.spec)
        kept = source.without(rows, report.excluded_positions)
        path = Path(scratch) / "training.parquet"
        with source.Freezer(path, kept.schema, where=f"training rows of {model_name}") as freezer:
            for batch in kept.to_batches():
                freezer.write(batch)
            digest = freezer.keep()
        uri = ctx.archive.put_input(path, digest.root)
    set_aside = len(report.excluded_positions)
    ctx.progress(f"snapshot: {kept.num_rows:,} labelled rows kept, {set_aside:,} set aside")
    ctx.store.snapshots.add(
        digest=digest.root,
        model=model_name,
        kind="training",
        interval=Interval(intervals[0].start, intervals[-1].end),
        as_of=as_of,
        rows=digest.rows,
        uri=uri,
        details={
            **({} if frozen is None else {"from": "frozen_inputs"}),
            "intervals": len(intervals),
            "extracted": raw.extracted,
            "labelled": raw.rows,
            "set_aside": set_aside,
            "labelled_digest": raw.digest.root,
        },
    )
    return digest.root


def train_package(ctx: Context, model_name: str, snapshot_digest: str) -> dict[str, Any]:
    """Fit on a snapshot, twice, and keep the package.

    Two fresh processes fit the same rows; different bytes are refused. A package that would be the
    same file as one there is already is that one: nothing new is registered.

    Returns
    -------
    dict
        ``model``, ``version``, ``sha256``, ``snapshot_digest``, ``rows``, ``code_revision`` (of the code
        that trained now) and the hold-out metrics.

    Raises
    ------
    NotFoundError
        No such snapshot of this model.
    ModelError
        The pipeline can't be fitted or packaged, or is not deterministic.
    """
    folder = ctx.model(model_name)
    found = ctx.store.snapshots.of_model(model_name, kind="training", digest=snapshot_digest)
    if not found:
        raise NotFoundError(
            f"{model_name} has no training snapshot {snapshot_digest}",
            expected="a digest that a training snapshot returned",
            fix=f"rescore train {model_name}",
        )
    snapshot = found[0]
    lineage = {
        "snapshot_digest": snapshot_digest,
        "window": str(snapshot.interval),
        "as_of": snapshot.as_of.isoformat(),
        "snapshot": dict(snapshot.details),
    }
    with TemporaryDirectory(dir=ctx.scratch) as scratch:
        fitted, build = fit(ctx, folder, lineage, Path(scratch), lock=ctx.settings.lock)
        built = built_here(folder)
        package = same_or_next(build, ctx.store.packages.of_model(model_name), folder)
        uri = ctx.archive.put_package(package.path, package.sha256)
        ctx.store.packages.add(
            model_name, package.version, package.sha256, package.manifest, uri, built=built
        )
    ctx.progress(f"{model_name} {package.version}: {package.sha256}")
    return {
        "model": model_name,
        "version": package.version,
        "sha256": package.sha256,
        "snapshot_digest": snapshot_digest,
        "rows": fitted.rows,
        "code_revision": built["code_revision"],
        **{name: value for name, value in fitted.metrics.items() if value is not None},
    }


def fit(
    ctx: Context, folder: ModelFolder, lineage: Mapping[str, Any], scratch: Path, *, lock: Path | None
) -> tuple[model.Fitted, Callable[[str], model.PackageFile]]:
    """Fit a model folder on a frozen snapshot, twice; the package is built when its version is known.

    Parameters
    ----------
    ctx : Context
        Archive.
    folder : ModelFolder
        What is trained.
    lineage : mapping
        Goes into the manifest; ``snapshot_digest`` is the snapshot.
    scratch : Path
        An empty folder, kept until the package was built.
    lock : Path or None
        A requirements file with hashes, from which the package's own lock is taken.

    Returns
    -------
    fitted : Fitted
        The training.
    build : callable
        Of a version; writes the wheel into ``scratch``.
    """
    digest = lineage["snapshot_digest"]
    path = ctx.archive.get_input(digest)
    fitted = model.train_verified(path, folder, build_dir=scratch / "build", progress=ctx.progress)
    rows = source.read_frozen(path, digest)
    profile = drift.build_reference(rows, folder.spec, fitted.out_of_fold, fitted.importance)

    def build(version: str) -> model.PackageFile:
        return model.build_package(
            fitted,
            folder,
            version=version,
            reference_profile=profile,
            lineage=lineage,
            destination=scratch / "dist" / version,
            lock=lock,
        )

    return fitted, build


def train_model(
    ctx: Context,
    model_name: str,
    *,
    as_of: datetime | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> dict[str, Any]:
    """Snapshot and train; see :func:`train_snapshot` and :func:`train_package`."""
    digest = train_snapshot(ctx, model_name, as_of=as_of, start=start, end=end)
    return train_package(ctx, model_name, digest)
