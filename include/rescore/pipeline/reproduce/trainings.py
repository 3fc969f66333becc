"""Train a package again from what it carries: its sources, its parameters and its frozen snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from zipfile import ZipFile

from rescore import model
from rescore.errors import RescoreError
from rescore.pipeline.context import Context
from rescore.pipeline.packages.carried_folder import folder_of, why_not_trainable
from rescore.pipeline.packages.frozen_training import training_files
from rescore.pipeline.training.train import fit
from rescore.sha256 import bytes_sha256
from rescore.shown_text import number_of

__all__ = ["TrainingReproduction", "retrain_package"]


@dataclass(frozen=True)
class TrainingReproduction:
    """A package beside what training gives now from the same snapshot and sources.

    Attributes
    ----------
    verdict : {"identical", "differs", "not_rederivable"}
        *identical*: the same file to the last byte.
    sha256, again : str
        Digests of the recorded file, and of the file made now (empty if none could be made).
    reason : str
        Why not, or which members of the file differ.
    """

    model: str
    version: str
    verdict: Literal["identical", "differs", "not_rederivable"]
    sha256: str
    again: str = ""
    reason: str = ""

    @property
    def proved(self) -> bool:
        """Whether training gave the same file."""
        return self.verdict == "identical"


def retrain_package(ctx: Context, model_name: str, reference: str) -> TrainingReproduction:
    """Train a package again and compare the files; nothing is registered.

    The model folder is restored from the package itself, so that a folder that changed since does not
    matter. It takes as long as the training took, and the versions that the package was made with.

    Parameters
    ----------
    ctx : Context
        Store and archive.
    model_name : str
        The model.
    reference : str
        A version or sha256.

    Raises
    ------
    NotFoundError
        No such package.
    """
    package = ctx.store.packages.find(model_name, reference)
    lineage = package.manifest.lineage

    def because(reason: str) -> TrainingReproduction:
        return TrainingReproduction(
            model_name, package.version, "not_rederivable", package.sha256, reason=reason
        )

    if reason := why_not_trainable(package):
        return because(reason)
    try:
        path = ctx.archive.get_package(package.sha256)
        erased = sum(_erased(ctx, digest) for digest in lineage.digests)
        if erased:
            return because(f"{number_of(erased, 'row')} that it was trained on were erased")
        training_files(ctx, lineage)
    except RescoreError as error:
        if error.retryable:
            raise
        return because(str(error))
    with ctx.scratch_folder() as scratch:
        folder = folder_of(path, model_name, scratch)
        lock = scratch / "requirements.txt"
        with ZipFile(path) as wheel:
            lock.write_bytes(wheel.read(f"{model_name}/_data/requirements.txt"))
        candidate = fit(ctx, folder, lineage, scratch / "fit", lock=lock)
        again = candidate.build(package.version, bill=model.held_bill(path.read_bytes()) is not None)
        same = again.sha256 == package.sha256
        return TrainingReproduction(
            model_name,
            package.version,
            "identical" if same else "differs",
            package.sha256,
            again.sha256,
            "" if same else "these members differ: " + ", ".join(_differing(path, again.path)),
        )


def _erased(ctx: Context, digest: str) -> int:
    tombstone = ctx.frozen_table(digest)[2]
    return 0 if tombstone is None else len(tombstone.erased)


def _differing(one: Path, other: Path) -> list[str]:
    """Members of two wheels with other bytes, without RECORD, which follows from the others."""
    with ZipFile(one) as left, ZipFile(other) as right:
        digests = [
            {name: bytes_sha256(held.read(name)) for name in held.namelist() if not name.endswith("/RECORD")}
            for held in (left, right)
        ]
    names = sorted(digests[0].keys() | digests[1].keys())
    return [name for name in names if digests[0].get(name) != digests[1].get(name)]
