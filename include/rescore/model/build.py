"""From a training to a package: a wheel that needs neither Rescore nor Airflow.

Its bytes are a function of what was trained, the version, the reference profile, the lineage and the
lock. What it says of itself is in ``manifest``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rescore.errors import SpecError
from rescore.folder import ModelFolder
from rescore.json_values import json_bytes
from rescore.manifest import Lineage, Manifest
from rescore.model import requirements
from rescore.model.allowed_types import refuse_unvouched
from rescore.model.bill_of_materials import MEMBER, bill_of_materials
from rescore.model.code_tree import DATA, code_tree, sources_tree
from rescore.model.manifest_writer import code_digests, strict_json, what_was_trained
from rescore.model.training import Fitted
from rescore.model.wheel_format import build_wheel, wheel_name
from rescore.sha256 import Sha256, bytes_sha256

__all__ = ["PackageFile", "build_package", "next_version"]


@dataclass(frozen=True)
class PackageFile:
    """A built package.

    Attributes
    ----------
    path : Path
        The wheel.
    sha256 : Sha256
        Of the file.
    manifest : Manifest
        What the package says about itself.
    """

    path: Path
    sha256: Sha256
    manifest: Manifest

    @property
    def version(self) -> str:
        """The package's version."""
        return self.manifest.version


def next_version(spec_version: str, existing: Iterable[str]) -> str:
    """The version of the next package.

    Parameters
    ----------
    spec_version : str
        ``MAJOR.MINOR`` as model.yaml declares it.
    existing : iterable of str
        Versions that there are, of any ``MAJOR.MINOR``.

    Returns
    -------
    str
        ``MAJOR.MINOR.PATCH``, one patch after the greatest of the same ``MAJOR.MINOR``; from 0.
    """
    pattern = re.compile(re.escape(spec_version) + r"\.(\d+)")
    patches = [int(match[1]) for version in existing if (match := pattern.fullmatch(version))]
    return f"{spec_version}.{max(patches, default=-1) + 1}"


def build_package(
    fitted: Fitted,
    folder: ModelFolder,
    *,
    version: str,
    reference_profile: bytes,
    lineage: Lineage,
    destination: Path,
    lock: Path | None = None,
    bill: bool = True,
) -> PackageFile:
    """Write the wheel of a training into the folder ``destination``.

    Parameters
    ----------
    fitted : Fitted
        The training.
    folder : ModelFolder
        The model folder it was trained from, unchanged since.
    version : str
        See :func:`next_version`.
    reference_profile : bytes
        What drift compares live windows with; JSON.
    lineage : Lineage
        Where its rows came from: things that are the same each time. What is true of this one build
        alone (git revision, image, time) belongs in the store, beside the package.
    destination : Path
        A folder; the file has the name that pip expects.
    lock : Path, optional
        A requirements file with hashes, from which the package's own lock is taken.
    bill : bool
        Whether the wheel holds its bill of materials; those of releases that had none are made again
        without it.

    Raises
    ------
    SpecError
        The model folder's code is not what was trained, or imports Rescore or Airflow.
    RefusedTypeError
        An adopted model's artifact names what nobody vouches for.
    """
    name = folder.name
    code, sources = code_tree(folder), sources_tree(folder)
    _refuse_other_code(fitted, code, name)
    types, adopted = fitted.final["artifact"]["types"], "adopted" in fitted.final
    artifact = (fitted.results / "model.skops").read_bytes()
    if adopted:  # its artifact was written beside a stranger's file, and so was the list
        refuse_unvouched(artifact, types, model=name, code=code)
    pinned = requirements.direct(name, code, types)
    locked = requirements.locked(pinned)
    data = {
        "model.skops": artifact,
        "golden.json": (fitted.results / "golden.json").read_bytes(),
        "reference.json": reference_profile,
        "requirements.txt": requirements.lock_lines(locked, lock).encode(),
    }
    evaluation = fitted.results / "evaluation.skops"
    if evaluation.is_file() and not adopted:  # which has no other fit
        data["evaluation.skops"] = evaluation.read_bytes()
    files = {**code, **sources, **{f"{name}/{DATA}/{file}": content for file, content in data.items()}}
    manifest = {
        **what_was_trained(fitted, folder, version),
        "lineage": strict_json(lineage.to_dict()),
        "code": code_digests({**code, **sources}, name),
        "requirements": {**pinned, "python": fitted.final["environment"]["python"]},
        "locked": locked,
        "artifact": {**fitted.final["artifact"], "sha256": bytes_sha256(data["model.skops"])},
        "files": {path: bytes_sha256(content) for path, content in sorted(files.items())},
    }
    files[f"{name}/{DATA}/manifest.json"] = json_bytes(manifest)
    materials = bill_of_materials(json_bytes(manifest), data["requirements.txt"].decode())
    feature_release = ".".join(fitted.final["environment"]["python"].split(".")[:2])
    content = build_wheel(
        name,
        version,
        files,
        summary=folder.spec.description or f"Scores of the model {name}",
        python=f"=={feature_release}.*",
        requirements=[f"{package}=={exact}" for package, exact in pinned.items()],
        information={MEMBER: materials} if bill else {},
    )
    destination.mkdir(parents=True, exist_ok=True)
    path = destination / wheel_name(name, version)
    partial = path.with_suffix(".part")
    partial.write_bytes(content)
    partial.replace(path)
    return PackageFile(path, bytes_sha256(content), Manifest.from_dict(manifest))


def _refuse_other_code(fitted: Fitted, code: Mapping[str, bytes], name: str) -> None:
    staged = {
        path.relative_to(fitted.tree).as_posix(): path.read_bytes()
        for path in fitted.tree.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    changed = sorted(path for path in staged.keys() | code.keys() if staged.get(path) != code.get(path))
    if changed:
        raise SpecError(
            f"the code of {name} was changed since it was trained",
            where=", ".join(changed),
            expected="the code that was trained, packaged unchanged",
            fix="train again",
            data={"changed": changed},
        )
