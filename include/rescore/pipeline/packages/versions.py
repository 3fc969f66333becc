"""The packages that a model has, and the version that a newly built one gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rescore import model
from rescore.folder import ModelFolder
from rescore.pipeline.context import Context
from rescore.store import Package

__all__ = ["package_rows", "same_or_next"]


def package_rows(ctx: Context, model_name: str) -> list[dict[str, Any]]:
    """A model's packages for people, newest first: version, metrics, and which is pinned."""
    ctx.model(model_name)
    pinned = ctx.store.pins.current(model_name)
    packages = ctx.store.packages.of_model(model_name)
    adopted = {one.sha256 for one in packages if not one.manifest.training.reproducible}
    return [
        {
            "version": package.version,
            "pinned": "yes" if pinned is not None and pinned.sha256 == package.sha256 else "",
            "created_at": f"{package.created_at:%Y-%m-%d %H:%M}",
            "rows": package.manifest.training.rows,
            **({"training": "not reproducible" if package.sha256 in adopted else ""} if adopted else {}),
            **{name: value for name, value in package.manifest.metrics.items() if value is not None},
            "sha256": package.sha256,
        }
        for package in reversed(packages)
    ]


def same_or_next(
    build: Callable[[str], model.PackageFile], known: Sequence[Package], folder: ModelFolder
) -> model.PackageFile:
    """The new package: under the version of a known one with the very same bytes, else under the next one.

    Any known one of this ``MAJOR.MINOR``: training A, then B, then A again is A's version again.
    """
    new = build(model.next_version(folder.spec.version, [one.version for one in known]))
    for one in reversed(known):
        # Of the same files: all that can differ then is what names a version.
        if one.version.rpartition(".")[0] == folder.spec.version and one.manifest.files == new.manifest.files:
            again = build(one.version)
            if again.sha256 == one.sha256:
                return again
    return new
