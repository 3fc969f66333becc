"""A row's score is a function of the row: alone, in any chunk, in any subset, the same bits."""

from __future__ import annotations

import warnings

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, StackingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from rescore.model.runtime.artifact import force_one_job, walk
from rescore.model.runtime.environment import one_thread
from rescore.model.runtime.errors import ScoreError
from rescore.model.runtime.frames import Features
from rescore.model.runtime.package import ulps
from rescore.model.runtime.scoring import BLOCK_ROWS, Scorer, Target
from tests.model.parcels import MIXED, table

# One row more than a block, so that the last block is nearly all padding.
ROWS = BLOCK_ROWS + 1


def columns() -> object:
    return make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_include="category")),
    )


ESTIMATORS = {
    "logistic": lambda: make_pipeline(columns(), LogisticRegression(random_state=0)),
    "boosted": lambda: HistGradientBoostingClassifier(max_iter=20, random_state=0),
    "forest": lambda: make_pipeline(columns(), RandomForestClassifier(10, random_state=0, n_jobs=2)),
    "neural": lambda: make_pipeline(columns(), MLPClassifier((17, 5), max_iter=5, random_state=0)),
}


@pytest.fixture(scope="module")
def rows(seed: int) -> pa.Table:
    return table(ROWS, seed)


@pytest.fixture(scope="module", params=list(ESTIMATORS))
def scored(request: pytest.FixtureRequest, rows: pa.Table) -> tuple[Scorer, pa.Table, np.ndarray]:
    features = Features.learn(MIXED, rows)
    conformed = features.conform(rows)
    few = conformed.slice(0, 1_500)
    estimator = ESTIMATORS[request.param]()
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # five iterations need not converge
        estimator.fit(features.frame(few), rows["late"].to_numpy()[:1_500].astype(int))  # type: ignore[attr-defined]
    force_one_job(estimator)
    scorer = Scorer(estimator, features, Target("binary", ("false", "true")))
    return scorer, conformed, scorer.scores(conformed)["score"].to_numpy()


@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_any_subset_in_any_order_gives_the_bits_of_the_whole(
    scored: tuple[Scorer, pa.Table, np.ndarray], data: st.DataObject
) -> None:
    scorer, conformed, whole = scored
    count = data.draw(st.sampled_from([1, 2, 63, 64, 65, 1_000, BLOCK_ROWS]), label="rows")
    picked = np.random.default_rng(data.draw(st.integers(0, 2**32), label="seed")).choice(
        ROWS, count, replace=False
    )
    part = scorer.scores(conformed.take(pa.array(picked)))["score"].to_numpy()
    assert part.tobytes() == whole[picked].tobytes()


@settings(max_examples=3, deadline=None)
@given(start=st.integers(0, ROWS - 1), count=st.integers(1, 2_000))
def test_any_chunk_gives_the_bits_of_the_whole(
    scored: tuple[Scorer, pa.Table, np.ndarray], start: int, count: int
) -> None:
    scorer, conformed, whole = scored
    part = scorer.scores(conformed.slice(start, count))["score"].to_numpy()
    assert part.tobytes() == whole[start : start + count].tobytes()


def test_one_job_reaches_every_part(rows: pa.Table) -> None:
    features = Features.learn(MIXED, rows)
    forest = RandomForestClassifier(3, random_state=0, n_jobs=2)
    stack = StackingClassifier(
        [("f", forest)], LogisticRegression(random_state=0), cv=2, n_jobs=2, stack_method="predict_proba"
    )
    pipeline = make_pipeline(columns(), stack)
    few = features.conform(rows).slice(0, 300)
    pipeline.fit(features.frame(few), rows["late"].to_numpy()[:300].astype(int))
    force_one_job(pipeline)
    jobs = {path: part.n_jobs for path, part in walk(pipeline) if "n_jobs" in vars(part)}
    assert set(jobs.values()) <= {1, None}
    assert any(path.endswith("estimators_[0]") for path in jobs)


def test_a_score_that_is_no_number_is_an_error(rows: pa.Table) -> None:
    class Broken:
        def predict(self, frame: object) -> np.ndarray:
            return np.where(np.arange(BLOCK_ROWS) == 5, np.nan, 1.0)

    features = Features.learn(MIXED, rows)
    with pytest.raises(ScoreError, match="no finite number for 1 of 10 rows") as caught:
        Scorer(Broken(), features, Target("regression")).scores(features.conform(rows).slice(0, 10))
    assert caught.value.data["positions"] == [5]


def test_a_failing_pipeline_is_an_error_that_says_why(rows: pa.Table) -> None:
    features = Features.learn(MIXED, rows)
    strict = make_pipeline(FunctionTransformer(validate=True))  # refuses strings
    with pytest.raises(ScoreError, match="pipeline failed"):
        Scorer(strict, features, Target("binary", ("a", "b"))).scores(features.conform(rows).slice(0, 10))


def test_two_numbers_for_each_row_are_refused_by_name(rows: pa.Table) -> None:
    class Two:
        def predict(self, frame: object) -> np.ndarray:
            return np.zeros((BLOCK_ROWS, 2))

    features = Features.learn(MIXED, rows)
    with pytest.raises(ScoreError, match="gives 2 numbers for each row"):
        Scorer(Two(), features, Target("regression")).raw(features.conform(rows))


def test_labels() -> None:
    class Fixed:
        classes_ = (0, 1, 2)

        def predict_proba(self, frame: object) -> np.ndarray:
            return np.tile([[0.2, 0.5, 0.3]], (BLOCK_ROWS, 1))

        def predict(self, frame: object) -> np.ndarray:
            return self.predict_proba(frame).argmax(axis=1)

    features = Features({"x": "numeric"})
    two = features.conform(pa.table({"x": [1.0, 2.0]}))
    many = Scorer(Fixed(), features, Target("multiclass", ("a", "b", "c"))).scores(two)
    assert many.to_pylist() == [{"score": 0.5, "label": "b"}] * 2
    Fixed.classes_ = (0, 1)  # type: ignore[assignment]
    Fixed.predict_proba = lambda self, frame: np.tile([[0.5, 0.5]], (BLOCK_ROWS, 1))  # type: ignore[method-assign]
    binary = Scorer(Fixed(), features, Target("binary", ("no", "yes"))).scores(two)
    assert binary.to_pylist() == [{"score": 0.5, "label": "no"}] * 2


def test_threads_are_held_to_one_and_it_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    from threadpoolctl import threadpool_info

    from rescore.model.runtime import environment
    from rescore.model.runtime.errors import ThreadsError

    with one_thread():
        assert {info["num_threads"] for info in threadpool_info()} == {1}
    stubborn = [{"internal_api": "openblas", "num_threads": 8}]
    monkeypatch.setattr("threadpoolctl.threadpool_info", lambda: stubborn)
    with pytest.raises(ThreadsError, match="openblas 8"), environment.one_thread():
        pass


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [(1.0, 1.0, 0), (1.0, np.nextafter(1.0, 2), 1), (0.0, -0.0, 1), (-1.0, np.nextafter(-1.0, 0), 1)],
)
def test_ulps(one: float, other: float, distance: int) -> None:
    assert ulps(np.array([one]), np.array([other])).tolist() == [distance]
