"""The model folder that a package carries, and whether it can be trained again here."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

from rescore import model
from rescore.folder import ModelFolder, load_model
from rescore.store import Package

__all__ = ["folder_of", "why_not_trainable"]

#: What the package's shell and training wrote; the rest of its files is the model folder.
_OURS = ("_runtime", "_data", "__init__.py", "__main__.py")


def why_not_trainable(package: Package) -> str:
    """Why a package can't be trained again here, wherever its rows are; empty if it can."""
    if not package.manifest.training.reproducible:
        return "it was adopted: its training is not reproducible"
    if package.manifest.lineage.snapshot_digest is None:
        return "it was not trained here: no snapshot is recorded"
    environment = {"python": package.manifest.requirements["python"], **package.manifest.locked}
    versions = ", ".join(
        f"{name} {one['expected']} (here {one['found'] or 'none'})"
        for name, one in model.differences(environment).items()
    )
    return f"it was trained with {versions}" if versions else ""


def folder_of(wheel: Path, name: str, scratch: Path) -> ModelFolder:
    """The model folder and the shared features, as the package carries them."""
    models, shared = scratch / "models", scratch / "features"
    shared.mkdir(parents=True)
    with ZipFile(wheel) as held:
        for member in held.namelist():
            owner, _, relative = member.partition("/")
            if owner != name or relative.split("/")[0] in _OURS:
                continue
            path = models / name / relative.removeprefix("_sources/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(held.read(member))
    spec = load_model(models, name, shared=shared).spec
    for module in spec.shared_features:
        (models / name / "features" / f"{module}.py").replace(shared / f"{module}.py")
    return load_model(models, name, shared=shared)
