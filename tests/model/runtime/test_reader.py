"""Our reader of skops files builds what skops builds, refuses more, and imports less."""

from __future__ import annotations

import collections
import functools
import io
import operator
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from skops.io import dumps, loads

from rescore.model.artifact import canonical, serialise
from rescore.model.environment import start_environment
from rescore.model.runtime import reader
from rescore.model.runtime.artifact import load_artifact
from rescore.model.runtime.errors import ScoreError
from rescore.model.wheel_format import write_zip

INCLUDE = Path(__file__).parents[3] / "include"


class Everything:
    """Attributes of every kind of node that the reader builds itself."""

    def __init__(self) -> None:
        self.shared = self.again = np.arange(3.0)
        self.objects = np.array([["a", None], [1, 2.5]], dtype=object)
        self.ragged = np.empty(2, dtype=object)
        self.ragged[:] = [np.zeros(2), "b"]
        self.scalar, self.kind, self.type = np.float64(0.1), np.dtype("f4"), np.int32
        self.mapping = {"a": (1, 2), 3: {4, 5}, 0.5: [b"bytes", slice(1, None, 2)]}
        self.sparse = sparse.csr_matrix(np.eye(3))
        self.function = functools.partial(np.clip, a_min=0)
        self.random = np.random.RandomState(7)
        self.generator = np.random.default_rng(3)
        self.buffer, self.lists = bytearray(b"ab"), collections.defaultdict(list, {"a": [1]})

    def __sklearn_tags__(self) -> None: ...


class WithOperator(Everything):
    """Holds a kind of node that is left to skops."""

    def __init__(self) -> None:
        super().__init__()
        self.second = operator.itemgetter(1)


FITTED: dict[str, Any] = {
    "linear": make_pipeline(FunctionTransformer(np.log1p), StandardScaler(), LogisticRegression()),
    "forest": RandomForestClassifier(3, random_state=1),
    "gradient": GradientBoostingClassifier(n_estimators=3, random_state=1),
    "histogram": HistGradientBoostingClassifier(max_iter=3, early_stopping=True, random_state=1),
    "stochastic": SGDClassifier(loss="modified_huber", random_state=1),
    "neural": MLPClassifier((3,), max_iter=3, early_stopping=True, random_state=1),
    "searched": GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2),
}


def fitted(name: str, seed: int) -> Any:
    random = np.random.default_rng(seed)
    matrix = np.abs(random.normal(size=(200, 3)))
    return FITTED[name].fit(matrix, (matrix[:, 0] > 0.5).astype(int))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", FITTED)
def test_it_builds_what_was_written(name: str, seed: int) -> None:
    content, types = serialise(fitted(name, seed), model="m")
    assert (
        canonical(dumps(reader.read(content, set(types))))
        == content
        == canonical(dumps(loads(content, types)))
    )


@pytest.mark.parametrize(
    "estimator",
    [
        TfidfVectorizer(stop_words=["the"]).fit(["the red fox", "a dog"]),
        CountVectorizer().fit(["the red fox", "a dog"]),
        IsotonicRegression().fit([1.0, 2.0, 3.0], [0.0, 2.0, 1.0]),
        FunctionTransformer(kw_args={True: 1, False: 2}),
        FunctionTransformer(kw_args={1: {False: "a"}, 0.5: {True: "b"}}),
        Everything(),
    ],
)
def test_it_builds_every_kind_of_value(estimator: Any) -> None:
    content, types = serialise(estimator, model=__name__)
    assert canonical(dumps(reader.read(content, set(types)))) == content


def test_what_it_does_not_know_is_left_to_skops() -> None:
    content, types = serialise(WithOperator(), model=__name__, declared=["operator.itemgetter"])
    with pytest.raises(reader.UnknownNode, match="OperatorFuncNode"):
        reader.read(content, set(types))
    assert load_artifact(content, types).second("ab") == "b"


@pytest.mark.parametrize("name", ["sklearn.linear_model._logistic.LogisticRegression", "builtins.dict"])
def test_each_name_that_the_manifest_does_not_list_is_refused(name: str, seed: int) -> None:
    """Skops trusts every estimator of scikit-learn; a package trusts what its training wrote."""
    content, types = serialise(fitted("linear", seed), model="m")
    with pytest.raises(ScoreError, match=f"it names {name}, which its manifest does not list"):
        load_artifact(content, [one for one in types if one != name])


def with_schema(content: bytes, **changed: str) -> bytes:
    """The file, with texts of its schema replaced."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for old, new in changed.items():
        members["schema.json"] = members["schema.json"].replace(old.encode(), new.encode())
    return write_zip(members)


def test_nothing_is_imported_before_every_name_was_looked_at(seed: int) -> None:
    content, types = serialise(fitted("linear", seed), model="m")
    with pytest.raises(ScoreError, match=r"it names not_there\.Pipeline, which its manifest"):
        load_artifact(with_schema(content, **{"sklearn.pipeline": "not_there"}), types)


def test_a_generator_calls_nothing_but_a_bit_generator() -> None:
    content, types = serialise(Everything(), model=__name__)
    with pytest.raises(ScoreError, match="set_bit_generator is no bit generator"):
        load_artifact(with_schema(content, PCG64="set_bit_generator"), types)


def run(code: str) -> list[str]:
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(
        command, env=start_environment([INCLUDE]), capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.slow
def test_a_statistic_is_loaded_when_it_is_called_and_not_before() -> None:
    said = run(
        "import sys; from rescore.model.runtime.imports import import_estimators\n"
        "import_estimators(['sklearn.isotonic.Isotonic', 'sklearn.preprocessing._data.Robust'])\n"
        "print('scipy.stats' in sys.modules)\n"
        "from sklearn.isotonic import check_increasing\n"
        "print(check_increasing([1, 2, 3, 4], [1, 3, 2, 4]))\n"
        "from sklearn.preprocessing import QuantileTransformer\n"
        "import numpy as np, scipy.stats\n"
        "data = np.arange(20.0).reshape(-1, 1)\n"
        "normal = QuantileTransformer(n_quantiles=20, output_distribution='normal').fit_transform(data)\n"
        "print(normal[5, 0] == scipy.stats.norm.ppf(5 / 19), scipy.stats.rankdata.__module__)"
    )
    assert said == ["False", "True", "True", "scipy.stats._stats_py"]


@pytest.mark.slow
def test_a_distribution_or_class_that_came_late_gives_what_the_real_one_gives() -> None:
    fit = (
        "from sklearn.covariance import MinCovDet\n"
        "from sklearn.metrics import auc\n"
        "from sklearn.preprocessing import SplineTransformer\n"
        "import numpy as np, hashlib\n"
        "rows = np.random.default_rng(7).normal(size=(60, 2))\n"
        "splines = SplineTransformer(extrapolation='periodic').fit_transform(rows)\n"
        "sparse = SplineTransformer(sparse_output=True).fit_transform(rows).toarray()\n"
        "robust = MinCovDet(random_state=7).fit(rows).covariance_\n"
        "area = auc(np.sort(rows[:, 0]), rows[:, 1])\n"
        "content = b''.join(one.tobytes() for one in (splines, sparse, robust)) + area.hex().encode()\n"
        "print(hashlib.sha256(content).hexdigest())"
    )
    plain = run(fit)
    late = run(
        "import sys; from rescore.model.runtime.imports import import_estimators\n"
        "import_estimators(['sklearn.covariance._robust_covariance.MinCovDet', 'sklearn.no.Such',"
        " 'sklearn.metrics._ranking.auc', 'sklearn.preprocessing._polynomial.SplineTransformer'])\n"
        "print(any(f'scipy.{name}' in sys.modules for name in ('stats', 'interpolate', 'integrate')))\n" + fit
    )
    assert late == ["False", *plain]


@pytest.mark.slow
def test_what_needs_a_module_at_once_gets_the_real_one() -> None:
    said = run(
        "import sys; from rescore.model.runtime import imports\n"
        "stand_ins = {name: imports._StandIn(name) for name in imports._USED_LATER}\n"
        "sys.modules.update(stand_ins)\n"
        "from scipy.stats import norm\n"
        "import scipy.stats, scipy.interpolate\n"
        "print(norm is scipy.stats.norm, scipy.interpolate.BSpline is stand_ins['scipy.interpolate'].BSpline)"
    )
    assert said == ["True", "True"]
