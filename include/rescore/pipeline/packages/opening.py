"""Open a package of a model: its file from the archive, verified, in an environment that it fits."""

from __future__ import annotations

from rescore import model
from rescore.pipeline.context import Context

__all__ = ["open_package"]


def open_package(ctx: Context, model_name: str, sha256: str) -> model.Package:
    """The verified package of a model, by its digest.

    Raises
    ------
    NotFoundError
        The store does not know it.
    IntegrityError
        Its file was changed, or it was built with other versions.
    """
    registered = ctx.store.packages.find(model_name, sha256)
    path = ctx.archive.get_package(registered.sha256)
    return model.open_package(
        path,
        expected_sha256=registered.sha256,
        cache=ctx.cache,
        environments=ctx.environments,
        progress=ctx.progress,
    )
