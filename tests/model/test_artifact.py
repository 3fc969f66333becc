"""The artifact's bytes depend on the pipeline alone, and hold nothing that a package must not."""

from __future__ import annotations

import functools
import io
import re
import zipfile
from typing import Any

import numpy as np
import pytest
from scipy import sparse, stats
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier, StackingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    HalvingRandomSearchCV,
    KFold,
    RandomizedSearchCV,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from rescore.errors import RefusedTypeError, UnseededEstimatorError
from rescore.model.artifact import canonical, differing, serialise
from rescore.model.child.pipeline_refusals import refuse_nameless, refuse_unseeded
from rescore.model.runtime.artifact import load_artifact
from rescore.model.wheel_format import write_zip


@pytest.fixture(scope="module")
def data(seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    matrix = random.normal(size=(200, 3))
    return matrix, (matrix[:, 0] + random.normal(size=200) > 0).astype(int)


def forest(data: tuple[np.ndarray, np.ndarray], seed: int = 1) -> Any:
    search = GridSearchCV(RandomForestClassifier(3, random_state=seed), {"max_depth": [2, 3]}, cv=2)
    return make_pipeline(StandardScaler(), search).fit(*data)


class Odd:
    """Holds what skops writes otherwise each time."""

    def __init__(self, numbers: tuple[int, ...] = (0, 8)) -> None:
        self.numbers = set(numbers)  # 0 and 8 share a slot: the first one in comes out first
        shared = np.arange(3.0)
        self.names = {"b", "a", "c", "ä"}
        self.content = b"some bytes"
        self.one = self.other = shared
        self.sparse = sparse.csr_matrix(np.eye(3))

    def __sklearn_tags__(self) -> None: ...


def test_two_fits_give_the_same_bytes_where_skops_does_not(data: tuple[np.ndarray, np.ndarray]) -> None:
    from skops.io import dumps

    one, other = forest(data), forest(data)
    assert dumps(one) != dumps(other)
    first, types = serialise(one, model="m")
    second, _ = serialise(other, model="m")
    assert first == second
    assert "sklearn.tree._tree.Tree" in types


def test_what_is_loaded_predicts_the_same_bits(data: tuple[np.ndarray, np.ndarray]) -> None:
    fitted = forest(data)
    content, types = serialise(fitted, model="m")
    loaded = load_artifact(content, types)
    assert loaded.predict_proba(data[0]).tobytes() == fitted.predict_proba(data[0]).tobytes()


def test_sets_bytes_shared_and_sparse_arrays_survive() -> None:
    content, types = serialise(Odd(), model=__name__)
    assert list(Odd().numbers) != list(Odd((8, 0)).numbers)
    assert content == serialise(Odd((8, 0)), model=__name__)[0]
    loaded = load_artifact(content, types)
    assert loaded.names == {"b", "a", "c", "ä"}
    assert loaded.content == b"some bytes"
    assert loaded.one is loaded.other
    assert (loaded.sparse.toarray() == np.eye(3)).all()
    members = zipfile.ZipFile(io.BytesIO(content)).infolist()
    assert {member.date_time for member in members} == {(1980, 1, 1, 0, 0, 0)}
    assert [member.filename for member in members][:2] == ["000001.bin", "000002.npy"]


def drawn(distribution: Any) -> Any:
    tree = DecisionTreeClassifier(random_state=1)
    drawing = {"max_depth": distribution, "ccp_alpha": stats.loguniform(1e-4, 1e-2)}
    return RandomizedSearchCV(tree, drawing, n_iter=3, random_state=1, cv=3)


def halving() -> Any:
    tree = DecisionTreeClassifier(random_state=1)
    return HalvingRandomSearchCV(tree, [{"max_depth": stats.randint(1, 6)}], random_state=1, cv=3)


def stacked(splitter: Any) -> Any:
    parts = [("line", LogisticRegression()), ("tree", DecisionTreeClassifier(max_depth=2, random_state=1))]
    return StackingClassifier(parts, LogisticRegression(), cv=splitter)


@pytest.mark.parametrize(
    "estimator",
    [
        drawn(stats.randint(1, 6)),
        drawn(stats.rv_discrete(values=([1, 2, 4], [0.2, 0.3, 0.5]))),
        halving(),
        stacked(KFold(3)),
        stacked(StratifiedKFold(3)),
        GridSearchCV(make_pipeline(stacked(KFold(2))), {"stackingclassifier__passthrough": [True]}, cv=2),
        CalibratedClassifierCV(stacked(KFold(2)), cv=TimeSeriesSplit(2)),
        GridSearchCV(stacked(2), {"cv": [KFold(2), KFold(3, shuffle=True, random_state=1)]}, cv=2),
        GridSearchCV(
            LogisticRegression(), {"C": [1, 2]}, cv=RepeatedKFold(n_splits=2, n_repeats=2, random_state=1)
        ),
        GridSearchCV(LogisticRegression(), {"C": [1]}, cv=2, scoring={"f": make_scorer(f1_score)}, refit="f"),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_sound_searches_and_ensembles_give_the_same_bytes(estimator: Any, data: tuple[Any, Any]) -> None:
    one, other = clone(estimator).fit(*data), clone(estimator).fit(*data)
    first, types = serialise(one, model="m")
    np.random.random()  # from the global generator, which distributions share
    second, _ = serialise(other, model="m")
    assert differing(first, second) == []
    loaded = load_artifact(first, types)
    assert loaded.predict_proba(data[0]).tobytes() == one.predict_proba(data[0]).tobytes()
    assert serialise(loaded, model="m")[0] == first


def test_a_distribution_is_loaded_whole() -> None:
    for distribution in (stats.poisson(3.5, loc=1), stats.norm(1, 2)):
        content, types = serialise(Held(distribution), model=__name__)
        loaded = load_artifact(content, types).value
        points = np.arange(9.0)
        assert loaded.cdf(points).tobytes() == distribution.cdf(points).tobytes()
        assert loaded.entropy() == distribution.entropy()
        assert loaded.rvs(5, random_state=1).tolist() == distribution.rvs(5, random_state=1).tolist()


def test_what_refers_to_itself_is_refused_in_words() -> None:
    circle = Held(None)
    circle.value = circle
    with pytest.raises(RefusedTypeError, match="an object that refers to itself"):
        serialise(circle, model=__name__)


class Held:
    def __init__(self, value: Any) -> None:
        self.value = value


def test_padding_in_records_is_zeroed() -> None:
    padded = np.dtype({"names": ["a", "b"], "formats": ["u1", "f8"], "offsets": [0, 8], "itemsize": 16})
    files = []
    for garbage in (0, 255):
        raw = np.full(32, garbage, np.uint8).view(padded)
        raw["a"], raw["b"] = 1, 2.0
        buffer = io.BytesIO()
        np.save(buffer, raw)
        schema = b'{"__loader__":"NdArrayNode","__class__":"ndarray","__module__":"numpy","file":"7.npy"}'
        files.append(canonical(write_zip({"7.npy": buffer.getvalue(), "schema.json": schema})))
    assert files[0] == files[1]


def test_a_difference_is_named_by_its_place(data: tuple[np.ndarray, np.ndarray]) -> None:
    one, _ = serialise(make_pipeline(StandardScaler(), LogisticRegression()).fit(*data), model="m")
    other, _ = serialise(make_pipeline(StandardScaler(), LogisticRegression(C=2)).fit(*data), model="m")
    assert differing(one, one) == []
    found = differing(one, other)
    assert found[0] == ".steps[1][1].C (step 'logisticregression'): 1.0 and 2"
    assert found[1].startswith(
        ".steps[1][1].coef_ (step 'logisticregression'): 3 of 3 elements, the first is 0: "
    )
    trees = [serialise(forest(data, seed), model="m")[0] for seed in (1, 2)]
    assert "random_state (step 'gridsearchcv'): 1 and 2" in differing(*trees)[0]


def test_a_type_outside_the_allow_list_is_refused_by_name_and_place(data: tuple[np.ndarray, Any]) -> None:
    foreign = make_pipeline(StandardScaler(), LogisticRegression()).fit(*data)
    foreign.steps[0][1].note_ = Odd()
    with pytest.raises(RefusedTypeError, match=r"test_artifact\.Odd") as caught:
        serialise(foreign, model="m")
    assert ".steps[0][1].note_ (step 'standardscaler')" in str(caught.value)
    assert serialise(foreign, model="m", declared=[f"{__name__}.Odd"])


Seeded = LogisticRegression(random_state=1)
Stacked = StackingClassifier([("one", Seeded)], Seeded, cv=2)


def named(frame: Any) -> Any:
    return frame


@pytest.mark.parametrize(
    ("estimator", "parameter"),
    [
        (RandomForestClassifier(), "random_state"),
        (make_pipeline(StandardScaler(), RandomForestClassifier()), "randomforestclassifier__random_state"),
        (
            GridSearchCV(LogisticRegression(random_state=1), {}, cv=KFold(3, shuffle=True)),
            "cv__random_state",
        ),
        (GridSearchCV(LogisticRegression(random_state=1), {}, cv=ShuffleSplit(3)), "cv__random_state"),
        (
            GridSearchCV(Stacked, {"cv": [KFold(3), KFold(3, shuffle=True)]}, cv=2),
            "param_grid['cv'][1]__random_state",
        ),
        (
            GridSearchCV(Seeded, [{"e": [StackingClassifier([], Seeded, cv=KFold(3, shuffle=True))]}], cv=2),
            "param_grid[0]['e'][0]__cv__random_state",
        ),
    ],
)
def test_chance_without_a_seed_is_refused_by_the_parameters_name(estimator: Any, parameter: str) -> None:
    with pytest.raises(UnseededEstimatorError, match=re.escape(parameter)) as caught:
        refuse_unseeded(estimator)
    assert caught.value.data["parameters"] == [parameter]


def test_what_does_not_draw_needs_no_seed() -> None:
    refuse_unseeded(GridSearchCV(LogisticRegression(random_state=1), {}, cv=KFold(3)))
    refuse_unseeded(make_pipeline(FunctionTransformer(named), RandomForestClassifier(random_state=0)))


@pytest.mark.parametrize(
    "function", [lambda frame: frame, functools.partial(lambda frame: frame), {"f": lambda frame: frame}]
)
def test_nameless_functions_are_refused(function: Any) -> None:
    step = FunctionTransformer(named, kw_args=function) if isinstance(function, dict) else function
    step = step if isinstance(step, FunctionTransformer) else FunctionTransformer(step)
    with pytest.raises(RefusedTypeError, match=r"functiontransformer__\w+.* is a lambda"):
        refuse_nameless(make_pipeline(step, LogisticRegression()))
    refuse_nameless(make_pipeline(FunctionTransformer(named), LogisticRegression()))
