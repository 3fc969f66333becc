"""Environments of packages whose versions are not the ones installed here, built before they are needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rescore import model
from rescore.errors import NotFoundError
from rescore.pipeline.context import Context
from rescore.sha256 import file_sha256

__all__ = ["build_environments"]


def build_environments(
    ctx: Context, package: str | None = None, version: str | None = None
) -> list[dict[str, Any]]:
    """Build what packages need, so that scoring finds it and needs no package index.

    Parameters
    ----------
    ctx : Context
        Store, archive, settings.
    package : str, optional
        A model, whose pinned package is meant, or the path of a registered package's wheel. Default: what
        is pinned of every model.
    version : str, optional
        Another version of that model than the pinned one; or its sha256.

    Returns
    -------
    list of dict
        For each package ``package``, ``version`` and ``runs_in``: "the environment installed here", or
        the folder of its own, built and proved by the package's golden rows.

    Raises
    ------
    NotFoundError
        No such model, package or pin; or a wheel that is no registered package's, which is never run.
    EnvironmentMismatchError
        One can't be built; names each distribution with the version expected and found.
    """
    if package is not None and package.endswith(".whl"):
        path = Path(package)
        if not path.is_file():
            raise NotFoundError(f"there is no file {package}", expected="a wheel, or the name of a model")
        sha256 = file_sha256(path)
        if not any(one.sha256 == sha256 for one in ctx.store.packages.all()):
            raise NotFoundError(
                f"no package with the digest of {path.name} is registered",
                where=f"{package}: {sha256}",
                expected="the file of a registered package: its environment is proved by running it",
                fix="`rescore models` names the models that there are; train or adopt the model here",
                data={"sha256": sha256},
            )
        return [_built(ctx, path, sha256)]
    found = []
    for name in [package] if package is not None else ctx.models():
        ctx.model(name)
        pin = ctx.store.pins.current(name)
        if version is None and pin is None:
            if package is None:
                continue
            raise NotFoundError(
                f"no package of {name} is pinned",
                expected="a pin, or --version",
                fix=f"`rescore packages list {name}`",
            )
        reference = version or (pin.sha256 if pin is not None else "")
        sha256 = ctx.store.packages.find(name, reference).sha256
        found.append(_built(ctx, ctx.archive.get_package(sha256), sha256))
    return found


def _built(ctx: Context, path: Path, sha256: str) -> dict[str, Any]:
    opened = model.open_package(
        path,
        expected_sha256=sha256,
        cache=ctx.cache,
        environments=ctx.environments,
        progress=ctx.progress,
    )
    opened.verify()
    own = opened.python
    return {
        "package": opened.name,
        "version": opened.version,
        "runs_in": "the environment installed here" if own is None else str(own.parents[1]),
    }
