"""A model folder: its declaration, its queries, and the files that determine a score."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rescore.errors import RescoreError, SpecError, UnknownModelError
from rescore.folder_files import read_bytes, read_spec, read_text
from rescore.spec_values import is_name

if TYPE_CHECKING:
    from rescore.spec import ModelSpec

__all__ = ["ModelFolder", "find_models", "load_model"]


@dataclass(frozen=True)
class ModelFolder:
    """A model folder as read: its specification and the text of its files.

    Attributes
    ----------
    path : Path
        The folder.
    spec : ModelSpec
        ``model.yaml``, validated.
    extract_sql, labels_sql : str
        The text of the two queries.
    shared_path : Path
        The folder of feature code that models share (``include/features``).
    """

    path: Path
    spec: ModelSpec
    extract_sql: str
    labels_sql: str
    shared_path: Path

    @property
    def name(self) -> str:
        """The model's name."""
        return self.spec.name

    def source_files(self) -> dict[str, bytes]:
        """What determines a score, by relative name, sorted: code, declarations, files that code reads.

        ``features/NAME.py`` are the shared modules the model declares. Tests, texts for people, hidden
        files and caches determine no score and are left out.

        Raises
        ------
        SpecError
            A declared shared module does not exist.
        """
        files = {
            path.relative_to(self.path).as_posix(): read_bytes(path)
            for path in sorted(self.path.rglob("*"))
            if path.is_file() and _determines_scores(path.relative_to(self.path))
        }
        for module in self.spec.shared_features:
            shared = self.shared_path / f"{module}.py"
            if not shared.is_file():
                raise SpecError(
                    f"shared feature module {module!r} does not exist",
                    where=f"{self.path / 'model.yaml'}: shared_features",
                    expected=f"a file {shared}",
                    fix="create it, or take it out of shared_features",
                )
            files[f"features/{module}.py"] = read_bytes(shared)
        return dict(sorted(files.items()))


def _determines_scores(relative: Path) -> bool:
    hidden = any(part.startswith(".") for part in relative.parts)
    left_out = relative.suffix in {".ipynb", ".md", ".pyc"} or relative.name.endswith("~")
    return not (hidden or left_out or {"tests", "__pycache__"} & set(relative.parts))


def find_models(models: Path) -> list[str]:
    """The names of the model folders under ``models``, sorted; the folder's name is the model's.

    A folder whose ``model.yaml`` is a link to nothing, or that this user may not look into, is one too:
    loading it says what is wrong.
    """
    try:
        return sorted(folder.name for folder in models.iterdir() if _declares(folder))
    except OSError:
        return []


def _declares(folder: Path) -> bool:
    try:
        os.lstat(folder / "model.yaml")
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # what can't be looked into is a model if it may be one: a disk's lost+found is none
        return is_name(folder.name)
    return True


def load_model(models: Path, name: str, *, shared: Path | None = None) -> ModelFolder:
    """Read and validate the model folder ``models/name``.

    Parameters
    ----------
    models : Path
        The folder of model folders.
    name : str
        The model.
    shared : Path, optional
        Shared feature code; default is ``features`` beside ``models``.

    Raises
    ------
    UnknownModelError
        No such folder; the error lists those there are.
    SpecError
        A file is missing or wrong.
    """
    folder = models / name
    if not _declares(folder):
        known = find_models(models)
        close = difflib.get_close_matches(name, known, n=1)
        raise UnknownModelError(
            f"there is no model {name!r}",
            where=str(models),
            expected=f"one of: {', '.join(known) or '(no model folder at all)'}",
            fix=f"did you mean {close[0]!r}?" if close else "create the folder, or check RESCORE_MODELS",
        )
    try:
        spec = read_spec(folder / "model.yaml")
    except RescoreError:
        raise
    except Exception as error:
        # A stranger's values reach parsers of YAML, crons, dates and zones, which raise whatever they like
        # (OverflowError, RecursionError, …). Whatever it is, it is this file's, and no other model's.
        raise SpecError(
            f"model.yaml can't be read: {type(error).__name__}: {error}",
            where=str(folder / "model.yaml"),
            expected="the keys that the guide 'Add a model' describes",
            fix="correct the value that the message names",
        ) from error
    if spec.name != name:
        raise SpecError(
            f"model.yaml says name: {spec.name}, but its folder is {name}",
            where=str(folder / "model.yaml"),
            expected="the same name",
            fix="rename one of them",
        )
    for needed in ("extract.sql", "labels.sql", "pipeline.py", "expectations.py"):
        if not os.path.lexists(folder / needed):
            raise SpecError(
                f"{needed} is missing",
                where=str(folder),
                expected="model.yaml, extract.sql, labels.sql, pipeline.py, expectations.py",
                fix=f"write {folder / needed}",
            )
        read_bytes(folder / needed)
    return ModelFolder(
        path=folder,
        spec=spec,
        extract_sql=read_text(folder / "extract.sql"),
        labels_sql=read_text(folder / "labels.sql"),
        shared_path=shared if shared is not None else models.parent / "features",
    )
