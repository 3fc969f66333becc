"""Loading a pickle or a joblib file whose author is unknown; inside the child interpreter only.

A pickle is a program: it names functions and calls them. Each name in it is checked before it is
resolved. Allowed are undotted names among these: those listed of scikit-learn, numpy and scipy
(:mod:`rescore.model.library_types`) and of the boosters; the few types of Python that containers need; a
class or function that the model folder's own code defines; and those that the folder declares. A dotted name
(``os.system`` of ``sklearn``) is refused, whatever it leads to. That narrows what a file can do and is no
sandbox: the child it is loaded in has no credentials, a home and limits of its own.
"""

from __future__ import annotations

import importlib
import pickle
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import joblib
import numpy as np
from joblib import numpy_pickle
from sklearn.exceptions import InconsistentVersionWarning

from rescore.errors import EnvironmentMismatchError, ModelError, RefusedTypeError, RescoreError
from rescore.model.boosters import BOOSTER_TYPES
from rescore.model.library_types import PYTHON_TYPES, harmless

__all__ = ["load_pickle", "own_names"]


def load_pickle(path: Path, *, model: str, declared: Sequence[str]) -> Any:
    """Load a pickle or a joblib file.

    Parameters
    ----------
    path : Path
        The file.
    model : str
        The model's name, whose own modules are allowed.
    declared : sequence of str
        Further types that the model folder allows (``TRUSTED_TYPES`` in pipeline.py).

    Raises
    ------
    RefusedTypeError
        It names something that is not allowed, or that can't be imported.
    EnvironmentMismatchError
        It was fitted with another scikit-learn.
    ModelError
        It is no pickle and no joblib file.
    """

    def permitted(module: str, name: str, find: Callable[[str, str], Any]) -> Any:
        full = f"{module}.{name}"
        by_name = (
            full in PYTHON_TYPES
            or full in BOOSTER_TYPES
            or full in declared
            or (module == "__main__" and name in own)
            or harmless(module, name)
        )
        if "." in name or not (by_name or _is_folder_code(module, model)):
            raise _undeclared(path, full, model)
        try:
            found = find(module, name)
        except (ImportError, AttributeError) as error:
            raise RefusedTypeError(
                f"the model needs {full}, which can't be imported here: {error}",
                where=path.name,
                expected="every class it is made of, installed or defined in the model folder",
                fix="install the package that has it, or the release it was fitted with",
                data={"type": full},
            ) from error
        if not (by_name or _defined_in(found, module)):
            raise _undeclared(path, full, model)
        return _safely_called(found, kinds)

    kinds: list[np.dtype[Any]] = []
    own = own_names(model)
    _expose(model, own)
    _guard(permitted, path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", InconsistentVersionWarning)
            loaded = joblib.load(path)
        for kind in kinds:
            _refuse_hidden_objects(kind)
        return loaded
    except RescoreError:
        raise
    except InconsistentVersionWarning as warning:
        raise EnvironmentMismatchError(
            f"{path.name} was fitted with scikit-learn {warning.original_sklearn_version}",
            where=f"its {warning.estimator_name}",
            expected=f"scikit-learn {warning.current_sklearn_version}, which is installed here",
            fix="adopt it where its own release is installed, or fit it with this one",
        ) from None
    except Exception as error:
        raise ModelError(
            f"{path.name} can't be read as a model: " + f"{type(error).__name__}: {error}".rstrip(": "),
            expected="a file that joblib.dump or pickle.dump wrote, whole",
            fix="save the fitted estimator again with joblib.dump(estimator, FILE)",
        ) from error


class _ArrayType:
    """``numpy.ndarray`` as the functions take it that arrays are pickled by; no file has to call it.

    A call could give it bytes as the memory of an array of objects: they would be taken for addresses.
    """

    def __new__(cls, *_: Any, **__: Any) -> _ArrayType:
        raise _addresses("numpy.ndarray")


def _addresses(name: str) -> RefusedTypeError:
    return RefusedTypeError(
        f"the model calls {name}, by which bytes become addresses in memory",
        expected="arrays as numpy pickles them",
        fix="save the fitted estimator again with joblib.dump(estimator, FILE)",
        data={"types": [name]},
    )


#: What makes values of bytes.
_OF_BYTES = (np._core.numeric._frombuffer, np._core.multiarray.scalar, np.void)  # type: ignore[attr-defined]


def _holds_objects(kind: np.dtype[Any]) -> bool:
    """Whether values of this type hold objects, by its fields: what it says of itself came from the file."""
    if kind.subdtype is not None:
        return _holds_objects(kind.subdtype[0])
    if kind.fields is not None:
        return any(_holds_objects(field[0]) for field in kind.fields.values())
    return kind.kind == "O"


def _refuse_hidden_objects(kind: np.dtype[Any]) -> None:
    if _holds_objects(kind) and not kind.hasobject:
        raise _addresses("numpy.dtype")


def _safely_called(found: Any, kinds: list[np.dtype[Any]]) -> Any:
    """What a file may have in place of a name that it gives; types of arrays are noted in ``kinds``."""
    if found is np.ndarray:
        return _ArrayType
    if found is np.dtype:

        def noted(*arguments: Any) -> np.dtype[Any]:
            kinds.append(np.dtype(*arguments))
            return kinds[-1]

        return noted
    if any(found is one for one in _OF_BYTES):

        def made(*arguments: Any, **named: Any) -> Any:
            for one in (*arguments, *named.values()):
                if isinstance(one, np.dtype) and (_holds_objects(one) or one.hasobject):
                    raise _addresses(found.__name__)
            return found(*arguments, **named)

        return made
    if found not in (np._core.multiarray._reconstruct, np.ma.core._mareconstruct):  # type: ignore[attr-defined]
        return found

    def reconstruct(*arguments: Any) -> Any:
        return found(*(np.ndarray if one is _ArrayType else one for one in arguments))

    return reconstruct


def _is_folder_code(module: str, model: str) -> bool:
    """Whether the module comes from the model folder; the package also has our reader and our command."""
    parts = module.split(".")
    return parts[0] == model and len(parts) > 1 and not {"_runtime", "__main__"} & set(parts)


def _defined_in(found: Any, module: str) -> bool:
    """Whether a class or function was defined in this module, not only imported into it."""
    return isinstance(found, type | FunctionType) and found.__module__ == module


def own_names(model: str) -> dict[str, Any]:
    """The classes and functions that pipeline.py and its shared features define, by name."""
    importlib.import_module(f"{model}.pipeline")
    modules = [module for name, module in sorted(sys.modules.items()) if name.startswith(f"{model}.")]
    return {
        name: value
        for module in modules
        if isinstance(module, ModuleType) and _is_folder_code(module.__name__, model)
        for name, value in vars(module).items()
        if _defined_in(value, module.__name__)
    }


def _expose(model: str, own: dict[str, Any]) -> None:
    """Put the folder's classes into ``__main__``: a pickle made in a notebook looks for its classes there."""
    main = sys.modules["__main__"]
    for name, value in own.items():
        setattr(main, name, value)


def _guard(permitted: Callable[..., Any], path: Path) -> None:
    """Make every unpickler of joblib and numpy ask ``permitted`` first; this process only loads this file."""

    class Guarded(numpy_pickle.NumpyUnpickler):  # type: ignore[misc]
        def find_class(self, module: str, name: str) -> Any:
            return permitted(module, name, super().find_class)

    class Plain(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            return permitted(module, name, super().find_class)

    def load(file: Any, **options: Any) -> Any:
        return Plain(file, **options).load()

    def refuse(*_: Any, **__: Any) -> Any:
        raise ModelError(
            f"{path.name} was written by a joblib of before 2016, or has a second pickle inside",
            expected="a file that a current joblib wrote",
            fix="load it where it was made and save it again with joblib.dump",
        )

    numpy_pickle.NumpyUnpickler = Guarded
    numpy_pickle.load_compatibility = refuse
    pickle.load, pickle.loads = load, refuse  # numpy reads arrays of objects with the first


def _undeclared(path: Path, full: str, model: str) -> RefusedTypeError:
    module, _, name = full.rpartition(".")
    if module == "__main__":
        fix = (
            f"define {name} at the top level of the model folder's pipeline.py, as it was when it was fitted"
        )
    elif module.startswith("cloudpickle"):
        fix = (
            "cloudpickle wrote a class's code into it: define that class in pipeline.py and save the model "
            "from there"
        )
    elif module.startswith("scipy.stats."):
        fix = "a distribution runs a text as it is loaded: save the search's best_estimator_ instead"
    else:
        fix = "name it in TRUSTED_TYPES = (...) in pipeline.py if you trust it"
    return RefusedTypeError(
        f"the model names {full}, a type outside the allow-list",
        where=path.name,
        expected=f"types of scikit-learn, numpy, scipy, the model folder {model} and its TRUSTED_TYPES",
        fix=fix,
        data={"types": [full]},
    )
