"""Adopting a model that was fitted elsewhere, as the platform calls it.

The file is never loaded in this process: a child interpreter does that, which reaches no process of ours
and no network, has no credentials and a home of its own, and is limited in time, memory and files. What
comes out is what a training leaves, so the same code packages it.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rescore.errors import EnvironmentMismatchError, ModelError, NotFoundError
from rescore.folder import ModelFolder
from rescore.model.allowed_types import refuse_unvouched
from rescore.model.boosters import NATIVE_FORMS, native_form
from rescore.model.code_tree import code_tree
from rescore.model.process import Child
from rescore.model.training import Fitted, child_answer, library_path, stage_folder, write_job
from rescore.progress import Progress
from rescore.sha256 import file_sha256
from rescore.shown_text import number_of

__all__ = ["SavedModel", "adopt", "find_saved"]

#: How an MLflow model may have been serialised, if not natively; both are read as pickles.
_SERIALISED = ("cloudpickle", "pickle")
#: The flavours that are read, in this order: the key of the file, its default, the key of the release.
_FLAVORS = {
    "sklearn": ("pickled_model", "model.pkl", "sklearn_version"),
    "lightgbm": ("data", "model.lgb", "lgb_version"),
    "xgboost": ("data", "model.xgb", "xgb_version"),
    "catboost": ("data", "model.cb", "catboost_version"),
}
#: What each of the child's two tasks may take, in seconds.
TIMEOUT = 600.0


@dataclass(frozen=True)
class SavedModel:
    """A file that holds a fitted model.

    Attributes
    ----------
    path : Path
        The pickle or joblib file, or one that a boosting library saved itself.
    form : str
        What it is, for the manifest.
    native : str or None
        Which of :data:`rescore.model.boosters.NATIVE_FORMS` it is in; None: it is a pickle.
    """

    path: Path
    form: str
    native: str | None = None


def find_saved(path: Path) -> SavedModel:
    """The model's file: ``path`` itself, or the one that an MLflow model folder names.

    Parameters
    ----------
    path : Path
        A pickle or joblib file, or one that LightGBM, XGBoost or CatBoost saved; or a folder with an
        ``MLmodel`` file of the flavour ``sklearn``, ``lightgbm``, ``xgboost`` or ``catboost``, or that file.

    Raises
    ------
    NotFoundError
        There is nothing.
    ModelError
        The folder is no MLflow model, has none of these flavours, or keeps it in a form that is not read.
    EnvironmentMismatchError
        It was fitted with another release of its library, and is a pickle.
    """
    path = path.absolute()
    if not path.exists():
        raise NotFoundError(
            "there is no such file",
            where=str(path),
            expected="a joblib or pickle file, a LightGBM, XGBoost or CatBoost model, or an MLflow folder",
            fix="name one",
        )
    declared = path / "MLmodel" if path.is_dir() else path
    if declared.name != "MLmodel":
        native = native_form(declared) if declared.is_file() else None
        return SavedModel(path, native or "pickle or joblib", native)
    if not declared.is_file():
        raise ModelError(
            f"{path.name} is no MLflow model",
            where=str(path),
            expected="a file called MLmodel in it",
            fix="name the model's file, or the folder that mlflow.sklearn.save_model wrote",
        )
    try:
        content = yaml.safe_load(declared.read_text(encoding="utf-8"))
        flavors = content["flavors"]
        name = next((one for one in _FLAVORS if isinstance(flavors.get(one), dict)), None)
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"MLmodel can't be read: {error}", where=str(declared), expected="YAML with flavors"
        ) from error
    if name is None:
        raise ModelError(
            "the MLflow model has no flavour that is read here",
            where=str(declared),
            expected=f"one of: {', '.join(_FLAVORS)}; it has: {', '.join(map(str, flavors))}",
            fix="save it with mlflow.sklearn.save_model",
        )
    flavor, (key, default, _) = flavors[name], _FLAVORS[name]
    inner = (declared.parent / str(flavor.get(key, default))).resolve()
    if not inner.is_relative_to(declared.parent.resolve()) or not inner.is_file():
        raise ModelError(
            f"the MLflow model has no file {flavor.get(key, default)}",
            where=str(declared),
            expected="the saved model, in the same folder",
            fix="download the whole folder",
        )
    native = native_form(inner)
    if native is None:
        _check_pickled(name, flavor, declared)
    form = native or flavor.get("serialization_format", "pickle")
    return SavedModel(inner, f"mlflow {name} ({form})", native)


def adopt(
    saved: SavedModel,
    folder: ModelFolder,
    snapshot: Callable[[], Sequence[Path]],
    *,
    build_dir: Path,
    progress: Progress | None = None,
    timeout: float = TIMEOUT,
) -> Fitted:
    """Convert a fitted model and prove that it predicts the same bits as its file did.

    Parameters
    ----------
    saved : SavedModel
        See :func:`find_saved`.
    folder : ModelFolder
        Declares the features in the order in which it was fitted, the target and ``TRUSTED_TYPES``.
    snapshot : callable
        Gives the Parquet file of a training snapshot and, if some rows of its intervals have no label, the
        file of those; called when the file has been found to hold a fitted model of these features. The
        labelled rows give levels, golden rows and metrics, all of them the reference.
    build_dir : Path
        A folder for the results; emptied first.
    progress : callable, optional
        Receives one line per step.
    timeout : float
        Seconds that each of the two steps may take.

    Returns
    -------
    Fitted
        As a training leaves it; ``final["adopted"]`` says that it was none.

    Raises
    ------
    ModelError
        The file holds no fitted model of these features and this target, or took too long.
    RefusedTypeError
        It names a type outside the allow-list.
    EnvironmentMismatchError
        It was fitted with another scikit-learn.
    NotDeterministicError
        What was converted predicts other bits, or a row's score depends on its neighbours.
    """
    code = code_tree(folder)
    with _start_child(saved, folder, build_dir, 2 * timeout) as child:
        messages = child.messages()
        with _Limit(child, timeout, saved):
            child_answer(messages, "tasks")
            child.send("inspect")
            child_answer(messages, "done")
        if progress is not None:
            progress(
                f"{saved.path.name} holds a fitted model of {number_of(len(folder.spec.features), 'feature')}"
            )
        rows = json.dumps([str(path.absolute()) for path in snapshot()])
        with _Limit(child, timeout, saved):
            child.send(f"convert:{rows}")
            child_answer(messages, "done")
            child.send("end")
            for _ in messages:
                pass
    fitted = Fitted(build_dir)
    if fitted.final.get("adopted", {}).get("reproducible") is not False:  # the child may be the file's by now
        raise ModelError(
            f"{saved.path.name} changed what is said of it",
            where=str(saved.path),
            expected="a model that is recorded as adopted",
            fix="do not adopt it: it ran code",
        )
    artifact = (fitted.results / "model.skops").read_bytes()
    refuse_unvouched(artifact, fitted.final["artifact"]["types"], model=folder.name, code=code)
    (build_dir / "fitted" / "complete").touch()
    if progress is not None:
        same = fitted.final["adopted"]["same_bits_on_rows"]
        progress(f"converted: {number_of(same, 'row')} score the same bits as with {saved.path.name}")
    return fitted


def _start_child(saved: SavedModel, folder: ModelFolder, build_dir: Path, seconds: float) -> Child:
    """Start the interpreter that loads the file; it may use so many seconds of processor time."""
    stage_folder(folder, build_dir)
    home = build_dir / "home"
    home.mkdir()
    # A copy, so that what is digested is what is loaded.
    copied = home / saved.path.name
    shutil.copyfile(saved.path, copied)
    adopted = {
        "path": str(copied),
        "file": saved.path.name,
        "sha256": file_sha256(copied),
        "format": saved.form,
        "native": saved.native,
        "seconds": seconds,
    }
    job = write_job(None, folder, build_dir, "fitted")
    job.write_text(json.dumps({**json.loads(job.read_text(encoding="utf-8")), "adopted": adopted}))
    arguments = ["-m", "rescore.model.child.worker", str(job.absolute())]
    path = [(build_dir / "tree").absolute(), *library_path()]
    return Child(arguments, folder=home, path=path, home=home.absolute())


def _check_pickled(name: str, flavor: dict[str, Any], declared: Path) -> None:
    """Refuse a pickle that is none, or of another release: only native files hold across releases."""
    form = flavor.get("serialization_format", "pickle")
    pickled = name in {"sklearn", "lightgbm"}
    if not pickled or form not in _SERIALISED:
        raise ModelError(
            f"the MLflow model is serialised as {form if pickled else 'a form that is not read'}",
            where=str(declared),
            expected=f"one of: {', '.join(_SERIALISED)}; or the library's own: {', '.join(NATIVE_FORMS)}",
            fix=f"save it again with mlflow.{name}.save_model(…, serialization_format='cloudpickle')",
        )
    from importlib.metadata import PackageNotFoundError, version

    library = "scikit-learn" if name == "sklearn" else name
    made = str(flavor.get(_FLAVORS[name][2], ""))
    try:
        here = version(library)
    except PackageNotFoundError:
        return  # the child says which extra installs it
    if made and made != here:
        raise EnvironmentMismatchError(
            f"the MLflow model was fitted with {library} {made}",
            where=str(declared),
            expected=f"{library} {here}, which is installed here",
            fix="adopt it where its own release is installed, or fit it with this one",
        )


class _Limit:
    """Ends the child after some time and says that this was why."""

    def __init__(self, child: Child, seconds: float, saved: SavedModel) -> None:
        self._seconds, self._saved, self._child = seconds, saved, child
        self._late = False
        self._timer = threading.Timer(seconds, self._end)

    def _end(self) -> None:
        self._late = True
        self._child.kill()

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        self._timer.cancel()
        if error is not None and self._late:
            raise ModelError(
                f"{self._saved.path.name} took longer than {self._seconds:g} s",
                where=str(self._saved.path),
                expected="a model that loads and predicts within that time",
                fix="look at what it does; or allow more: --timeout",
            ) from error
