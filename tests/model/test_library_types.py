"""What a stranger's model may name of numpy, scipy and scikit-learn."""

from __future__ import annotations

import inspect
import sys
import warnings
from importlib import import_module

import numpy as np
import scipy.special
import scipy.stats  # noqa: F401
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import all_estimators

from rescore.model.library_types import classes, harmless

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    ESTIMATORS = [found for _, found in all_estimators()]  # imports nearly all of scikit-learn

#: The last part of modules whose listed classes hold data of fitted estimators.
DATA = """
    _ball_tree _birch _bisect_k_means _bsplines _bunch _column_transformer _dist_metrics _gpc _interpolate
    _iterative _kd_tree _loss _metadata_requests _scorer _sgd_fast _split _stochastic_optimizers _tree
    binning calibration kernels link loss predictor
""".split()  # noqa: SIM905
#: Functions and classes that make a call, look attributes up, or reach files, of what these modules hold.
DANGEROUS = set(
    """
    DataSource MockDataFrame PyFuncDistance64 PytestTester Repository _get_feature_importances
    apply_along_axis check_scoring clone delayed fromfile frompyfunc fromregex genfromtxt get_scorer
    getattr import_module load load_npz loadtxt make_scorer memmap norm_gen pairwise_distances
    rv_continuous_frozen rv_discrete rv_frozen save savetxt savez test vectorize
    """.split()  # noqa: SIM905
)


def test_every_estimator_of_scikit_learn_is_allowed_in_its_own_module():
    assert [one for one in ESTIMATORS if not harmless(one.__module__, one.__name__)] == []


def test_an_allowed_class_is_an_estimator_or_holds_data():
    """None runs, deletes or compiles something when it is made, given a state, or freed."""
    for module, name in classes():
        found = getattr(import_module(module), name)
        assert isinstance(found, type), (module, name)
        assert not hasattr(found, "__del__"), (module, name)
        assert not {"exec", "eval", "rmtree", "system"} & called(found, "__setstate__"), (module, name)
        if module in ("numpy", "numpy.ma", "numpy.ma.core"):
            assert issubclass(found, np.generic | np.ndarray | np.dtype | bool), (module, name)
        elif module.startswith("scipy.sparse."):
            assert sparse.issparse(found((1, 1))), (module, name)
        elif not module.startswith("numpy.random."):
            assert issubclass(found, BaseEstimator) or module.rpartition(".")[2] in DATA, (module, name)


def called(found: type, method: str) -> set[str]:
    code = getattr(getattr(found, method, None), "__code__", None)
    return set(code.co_names) if code else set()


def test_no_module_is_allowed_for_where_it_stands():
    """Of all that the libraries' loaded modules hold, nothing passes but data, estimators and arithmetic."""
    allowed, passed = set(classes()), set()
    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] in ("numpy", "scipy", "sklearn"):
            passed |= {(module_name, name) for name in list(vars(module)) if harmless(module_name, name)}
    assert len(passed) > 300
    assert DANGEROUS & {name for _, name in passed} == set()
    for module_name, name in passed - allowed:
        found = getattr(sys.modules[module_name], name)
        assert isinstance(found, np.ufunc) or not isinstance(found, type), (module_name, name)
        assert isinstance(found, np.ufunc) or inspect.isroutine(found) or module_name == "numpy", name


def test_names_that_only_look_like_data_are_refused():
    """A distribution's ``__setstate__`` compiles a text of the state; what tests a library runs pytest."""
    for module, name in (
        ("scipy.stats._continuous_distns", "norm_gen"),
        ("scipy.stats._distn_infrastructure", "rv_continuous_frozen"),
        ("scipy.special", "test"),
        ("sklearn", "os.system"),
        ("numpy", "abs.__reduce__"),
    ):
        assert not harmless(module, name), (module, name)
    assert harmless("scipy.special._special_ufuncs", "expit")
