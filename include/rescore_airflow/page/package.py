"""One package: what it is made of, how it measured, what changed, and what it has scored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rescore.model import changes

if TYPE_CHECKING:
    from rescore.pipeline import Context
    from rescore.spec import ModelSpec
    from rescore.store import Package

__all__ = ["package_values"]


def package_values(ctx: Context, spec: ModelSpec, version: str, against: str | None) -> dict[str, Any]:
    """What the template shows of a package.

    Parameters
    ----------
    ctx : Context
        Store and archive.
    spec : ModelSpec
        The model.
    version : str
        The package.
    against : str, optional
        The version that it is compared with; default is the one before.

    Raises
    ------
    NotFoundError
        The model has no such package.
    """
    package = ctx.store.packages.find(spec.name, version)
    others = [one for one in ctx.store.packages.of_model(spec.name) if one.version != package.version]
    other = _other(others, package) if against is None else ctx.store.packages.find(spec.name, against)
    manifest = package.manifest
    importance = manifest.get("importance") or manifest.get("evaluation", {}).get("importance") or {}
    return {
        "spec": spec,
        "package": package,
        "manifest": manifest,
        "facts": _facts(manifest),
        "metrics": manifest.get("metrics", {}),
        "folds": [fold.get("metrics", {}) for fold in manifest.get("evaluation", {}).get("folds", [])],
        "importance": importance,
        "most": max([*importance.values(), 1e-9]),
        "others": others[::-1],
        "other": other,
        "changes": [] if other is None else changes(other.manifest, manifest),
        "use": ctx.store.overview.uses(spec.name).get(package.sha256),
        "pins": [pin for pin in ctx.store.pins.of_model(spec.name) if pin.sha256 == package.sha256],
        "signatures": ctx.store.signatures.of_package(spec.name, package.sha256),
        "comparisons": ctx.store.comparisons.of_model(spec.name, challenger_sha256=package.sha256),
    }


def _other(others: list[Package], package: Package) -> Package | None:
    """The last package made before this one."""
    earlier = [one for one in others if one.created_at < package.created_at]
    return earlier[-1] if earlier else None


def _facts(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What made the package, in a few lines; the whole manifest stands below."""
    training, lineage = manifest.get("training", {}), manifest.get("lineage", {})
    built, environment = manifest.get("built", {}), manifest.get("environment", {})
    window = [str(training[end]) for end in ("from", "last_interval") if end in training]
    versions = environment.get("packages", {})
    facts = {
        "Trained on": " to ".join(window),
        "Rows": f"{training['rows']:,}" if "rows" in training else "",
        "As of": str(training.get("as_of", "")),
        "Snapshot": str(lineage.get("snapshot", "")),
        "Code": str(manifest.get("code", {}).get("digest", "")),
        "Revision": str(built.get("code_revision", "")),
        "Image": str(built.get("image") or ""),
        "Seed": str(manifest.get("seed", "")),
        "Python": f"{environment.get('python', '')} on {environment.get('machine', '')}",
        "Libraries": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }
    return {name: value for name, value in facts.items() if value}
