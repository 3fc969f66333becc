"""Withdraw a package: its file goes for good, and it can't be pinned any more."""

from __future__ import annotations

from rescore.pipeline.context import Context
from rescore.store import Package

__all__ = ["withdraw_package"]


def withdraw_package(ctx: Context, model_name: str, reference: str, *, who: str, why: str) -> Package:
    """Delete a package's file and note it; its rows in the store, and what it scored, stay.

    Copies on other machines, and environments, go with the next ``rescore retention run`` there.

    Parameters
    ----------
    ctx : Context
        Store (with a person's login) and archive.
    model_name, reference : str
        The package; its version or its sha256.
    who, why : str
        Stored for ever.

    Returns
    -------
    Package
        What was withdrawn.

    Raises
    ------
    NotFoundError
        The store does not know it.
    KeptError
        It is pinned, or a legal hold covers what it was trained on.
    """
    package = ctx.store.packages.find(model_name, reference)
    ctx.store.deletions.withdraw_package(
        model_name,
        package.version,
        reason=why,
        done_by=who,
        size=ctx.archive.package_size(package.sha256),
        delete=lambda: ctx.archive.delete_package(package.sha256),
    )
    return package
