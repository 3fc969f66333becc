"""What a run is scored with, and its scores as they are made; nothing is stored here."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rescore import model, source
from rescore.errors import NotFoundError, SpecError, StoreError
from rescore.folder import ModelFolder
from rescore.pipeline.context import Context
from rescore.pipeline.packages.opening import open_package
from rescore.pipeline.packages.signing import refuse_unsigned
from rescore.pipeline.scoring.keys_and_scores import beside
from rescore.store import ExtractedRun, RunHandle

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["begin_attempt", "pinned_package", "predict_run"]


def begin_attempt(
    ctx: Context, run_id: str, state: Literal["extracted", "validated"]
) -> tuple[RunHandle, ExtractedRun]:
    """Begin an attempt at the run in ``state``, or at a fork of it if an earlier one has gone on.

    Raises
    ------
    StoreError
        The run never got so far.
    """
    attempt = ctx.store.runs.resume(run_id, state)
    run = ctx.store.runs.get(attempt)
    if run.state != state or not isinstance(run, ExtractedRun):
        raise StoreError(
            f"run {run_id} never got as far as {state}",
            where=f"{run.model} {run.interval}, state {run.state}",
            expected=f"a run that was {state}",
            fix="start again from the extraction",
        )
    return attempt, run


def pinned_package(ctx: Context, run: ExtractedRun) -> model.Package:
    """The package that a run is scored with now, opened and verified.

    Raises
    ------
    NotFoundError
        No package is pinned.
    IntegrityError
        It is not what was pinned, was built in another environment, or has no signature that holds where
        the model requires one.
    """
    pinned = ctx.store.pins.current(run.model)
    if pinned is None:
        frozen = ctx.model(run.model).spec.training.source == "frozen_inputs"
        counts = (
            "its rows are frozen, and training counts them; once enough intervals are: " if frozen else ""
        )
        raise NotFoundError(
            f"no package of {run.model} is pinned",
            where=f"{run.model} {run.interval}",
            expected="a package that a person or the rule has promoted",
            fix=f"{counts}train one and pin it: `rescore train {run.model}`, then "
            f"`rescore pin {run.model} --to VERSION --reason WHY`",
        )
    refuse_unsigned(ctx, run.model, pinned.sha256)
    return open_package(ctx, run.model, pinned.sha256)


def predict_run(
    ctx: Context, run: ExtractedRun, package: model.Package, *, leaves: tuple[int, int] | None = None
) -> Generator[pa.RecordBatch]:
    """Score the frozen input of a run, without the rows set aside, leaf by leaf.

    Parameters
    ----------
    ctx : Context
        Store and archive.
    run : ExtractedRun
        A validated run.
    package : Package
        What scores it.
    leaves : (int, int), optional
        Only from this leaf of the frozen input to before that; default: all.

    Yields
    ------
    pyarrow.RecordBatch
        Key columns, event time, ``score``, unless a regression ``label``, and the declared probabilities;
        in the input's order.

    Raises
    ------
    DigestMismatchError
        The file of the frozen input is not what was recorded: before the first batch, or after the last.
    """
    folder = ctx.model(run.model)
    path = ctx.frozen_file(run)
    excluded = ctx.store.excluded.positions(run)
    _refuse_other_features(package, path, folder)
    rows = source.frozen_leaves(path, folder.spec.source.row_columns, excluded, leaves)
    probabilities = ctx.store.models.probabilities(run.model)
    made = package.scored(
        path, exclude=excluded, leaves=leaves, progress=ctx.progress, probabilities=probabilities
    )
    with closing(made) as scores:
        yield from beside(rows, scores)
    ctx.archive.verify_again(path)  # it was opened by its path, here and by children, after it was verified


def _refuse_other_features(package: model.Package, path: Path, folder: ModelFolder) -> None:
    """A folder may have moved on since its package was trained."""
    given = source.frozen_columns(path)
    missing = [name for name in package.manifest.feature_names if name not in given]
    if missing:
        raise SpecError(
            f"the extract lacks features of package {package.version}",
            where=str(folder.path / "model.yaml"),
            expected=", ".join(package.manifest.feature_names),
            examples=missing,
            fix="train and pin a package from the folder as it is, or put the features back",
        )
