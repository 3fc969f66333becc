"""Loading a pickle or a joblib file whose author is unknown; inside the child interpreter only.

A pickle is a program: it names functions and calls them. Whatever it names is looked at before it is
handed over, and has to be one name in one module: a class that scikit-learn, numpy or scipy define there,
or one of the few functions that their own objects are pickled by (:data:`_FUNCTIONS`); the few of Python's
that containers are made of; the model folder's own; and those that the folder declares. A dotted name
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

__all__ = ["load_pickle", "own_names"]

_ROOTS = ("numpy", "scipy", "sklearn")
#: Parts of those that read files, fetch data or run text.
_NEVER_IN = frozenset({"_npyio_impl", "ctypeslib", "datasets", "distutils", "f2py", "io", "npyio", "testing"})
_NEVER = frozenset({"DataSource", "memmap"})
#: The functions that objects of numpy, scipy and scikit-learn are pickled by, and those that estimators
#: are given as parameters. Any other function is refused, since a pickle may call what it names.
_FUNCTIONS = frozenset(
    {
        *(
            f"numpy.{name}"
            for name in ("amax", "amin", "max", "mean", "median", "min", "nanmean", "std", "sum")
        ),
        *(
            f"{module}.{name}"
            for module in ("numpy._core", "numpy.core")
            for name in ("multiarray._reconstruct", "multiarray.scalar", "numeric._frombuffer")
        ),
        "numpy.random._pickle.__bit_generator_ctor",
        "numpy.random._pickle.__generator_ctor",
        "numpy.random._pickle.__randomstate_ctor",
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        "sklearn.cluster._kmeans._kmeans_single_lloyd",
        "sklearn.metrics._dist_metrics.newObj",
        "sklearn.neighbors._ball_tree.newObj",
        "sklearn.neighbors._kd_tree.newObj",
    }
)
#: Modules of which every public function is arithmetic on its arguments.
_ARITHMETIC = ("scipy.special.", "sklearn.feature_selection._", "sklearn.metrics._")
_OTHERS = frozenset(
    {
        *(
            f"{module}.{name}"
            for module in ("builtins", "__builtin__")
            for name in [
                "bool",
                "bytearray",
                "bytes",
                "complex",
                "dict",
                "float",
                "frozenset",
                "int",
                "list",
                "object",
                "range",
                "set",
                "slice",
                "str",
                "tuple",
            ]
        ),
        "_codecs.encode",
        "collections.Counter",
        "collections.OrderedDict",
        "collections.defaultdict",
        "collections.deque",
        "copy_reg._reconstructor",
        "copyreg._reconstructor",
        "datetime.date",
        "datetime.datetime",
        "datetime.timedelta",
        "datetime.timezone",
        "functools.partial",
        "joblib.numpy_pickle.NumpyArrayWrapper",
    }
)


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
            full in _OTHERS
            or full in BOOSTER_TYPES
            or full in declared
            or (module == "__main__" and name in own)
        )
        if "." in name or not (by_name or _looked_at(module, name, model)):
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
        if not (by_name or _of_its_module(found, full, model)):
            raise _undeclared(path, full, model)
        return found

    own = own_names(model)
    _expose(model, own)
    _guard(permitted, path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", InconsistentVersionWarning)
            return joblib.load(path)
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


def _looked_at(module: str, name: str, model: str) -> bool:
    """Whether a module may be imported to look at what has this name there."""
    parts = module.split(".")
    return parts[0] == model or (parts[0] in _ROOTS and not _NEVER_IN & set(parts) and name not in _NEVER)


def _of_its_module(found: Any, full: str, model: str) -> bool:
    """Whether it is what it is called: a class or function of these libraries or of the model's own.

    A module may hold others' names (``os`` in ``sklearn``, ``system`` in a ``pipeline`` that imports it).
    """
    home = str(getattr(found, "__module__", "")).split(".")[0]
    if full.partition(".")[0] == model:
        return home == model and isinstance(found, type | FunctionType)
    if isinstance(found, type):
        return home in _ROOTS
    name = full.rpartition(".")[2]
    return (
        full in _FUNCTIONS
        or isinstance(found, np.ufunc)
        or name.startswith("__pyx_unpickle_")
        or (full.startswith(_ARITHMETIC) and home in _ROOTS and callable(found))
    )


def own_names(model: str) -> dict[str, Any]:
    """The classes and functions that pipeline.py and its shared features define, by name."""
    importlib.import_module(f"{model}.pipeline")
    modules = [module for name, module in sorted(sys.modules.items()) if name.startswith(f"{model}.")]
    return {
        name: value
        for module in modules
        if isinstance(module, ModuleType) and "._runtime" not in module.__name__
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__
    }


def _expose(model: str, own: dict[str, Any]) -> None:
    """A notebook's classes are pickled as ``__main__``'s: they are found if the folder defines them."""
    main = sys.modules["__main__"]
    for name, value in own.items():
        setattr(main, name, value)


def _guard(permitted: Callable[..., Any], path: Path) -> None:
    """Have every way that joblib and numpy unpickle ask first; this process does nothing else."""

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
            f"{path.name} is in a form of before 2016, or holds another pickle",
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
        fix = "it holds a class by value: define that class in pipeline.py and save the model from there"
    else:
        fix = "name it in TRUSTED_TYPES = (...) in pipeline.py if you trust it"
    return RefusedTypeError(
        f"the model names {full}, a type outside the allow-list",
        where=path.name,
        expected=f"types of scikit-learn, numpy, scipy, the model folder {model} and its TRUSTED_TYPES",
        fix=fix,
        data={"types": [full]},
    )
