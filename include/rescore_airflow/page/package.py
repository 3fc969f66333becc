"""One package: what it is made of, how it measured, what changed, and what it has scored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rescore import pipeline
from rescore.model import changes

if TYPE_CHECKING:
    from rescore.manifest import Manifest
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
    importance = manifest.evaluation.importance
    return {
        "spec": spec,
        "package": package,
        "manifest": manifest,
        "facts": _facts(manifest),
        "metrics": manifest.metrics,
        "folds": [fold.metrics for fold in manifest.evaluation.folds],
        "importance": importance,
        "most": max([*importance.values(), 1e-9]),
        "others": others[::-1],
        "other": other,
        "changes": [] if other is None else changes(other.manifest, manifest),
        "use": ctx.store.overview.uses(spec.name).get(package.sha256),
        "pins": [pin for pin in ctx.store.pins.of_model(spec.name) if pin.sha256 == package.sha256],
        "signatures": ctx.store.signatures.of_package(spec.name, package.sha256),
        "beside": [
            one
            for one in pipeline.shadows_of(ctx, spec.name, pipeline.utc_now())
            if one.sha256 == package.sha256
        ],
        "comparisons": ctx.store.comparisons.of_model(spec.name, package_sha256=package.sha256),
    }


def _other(others: list[Package], package: Package) -> Package | None:
    """The last package made before this one."""
    earlier = [one for one in others if one.created_at < package.created_at]
    return earlier[-1] if earlier else None


def _facts(manifest: Manifest) -> dict[str, str]:
    """What made the package, in a few lines; the whole manifest stands below."""
    training, lineage, environment = manifest.training, manifest.lineage, manifest.environment
    facts = {
        "Trained on": lineage.window.replace("/", " to "),
        "Rows": "" if training.rows is None else f"{training.rows:,}",
        "As of": lineage.as_of,
        "Snapshot": lineage.snapshot_digest or "",
        "Code": manifest.code.digest,
        "Revision": manifest.built.code_revision or "",
        "Image": manifest.built.image or "",
        "Trained by": manifest.built.trained_by or "",
        "Seed": "" if manifest.seed is None else str(manifest.seed),
        "Python": f"{environment.python} on {environment.machine}",
        "Libraries": ", ".join(f"{name} {version}" for name, version in environment.packages.items()),
    }
    kept = manifest.artifact.keeps_rows
    if kept:
        facts["Stores rows of training"] = "declared"
    return {name: value for name, value in facts.items() if value}
