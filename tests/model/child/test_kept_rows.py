"""A package holds no person: whatever a fit keeps of its rows is found, and nothing else is."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from lightgbm import LGBMClassifier
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.cross_decomposition import PLSRegression
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    RandomTreesEmbedding,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectFromModel, SelectKBest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import (
    ElasticNetCV,
    HuberRegressor,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    Ridge,
    RidgeCV,
    SGDClassifier,
)
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from rescore.errors import RefusedTypeError
from rescore.model.artifact import serialise
from rescore.model.child import rare_values
from rescore.model.child.kept_rows import KeptRows, find_kept_rows, refuse_kept_rows
from rescore.model.child.lengths_of_rows import lengths_of_rows
from rescore.model.child.seen_rows import SeenRows
from rescore.model.child.written_numbers import unwrapped

ROWS = 600
NUMBERS = ["age", "income", "distance", "spend", "rooms"]


def people(seed: int) -> tuple[pd.DataFrame, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Rows with whole numbers, cents, a continuum, columns that grow together, categories and texts."""
    draw = np.random.default_rng(seed)
    income = np.round(draw.lognormal(10, 0.6, ROWS), 2)
    frame = pd.DataFrame(
        {
            "age": draw.integers(18, 90, ROWS).astype(float),
            "income": income,
            "distance": draw.integers(1, 3_000, ROWS).astype(float),
            "spend": income * 0.1 + draw.normal(0, 10, ROWS),
            "rooms": draw.integers(1, 7, ROWS).astype(float),
            "city": pd.Categorical(draw.choice(["AMS", "LON", "PAR", "ROM"], ROWS)),
            "said": pd.Series(
                [f"number {number} came at {draw.integers(24)} again" for number in range(ROWS)], dtype=object
            ),
        }
    )
    risk = draw.random(ROWS) < 1 / (1 + np.exp(-(frame.spend - 2_500) / 1_000))
    return frame, risk.astype(np.int64), income * 0.3 + draw.normal(0, 100, ROWS)


def kept(estimator: Any, frame: pd.DataFrame, truth: Any) -> list[KeptRows]:
    estimator.fit(frame, truth)
    content, _ = serialise(estimator, model="tests", declared=("pandas.", "sklearn."))
    return find_kept_rows(estimator, content, SeenRows.of(estimator, frame, np.asarray(truth)))


class Keeps(TransformerMixin, BaseEstimator):
    """A transformer that keeps some of what it is fitted to, in one of many ways."""

    def __init__(self, how: str = "all", name: str = "memory_") -> None:
        self.how, self.name = how, name

    def fit(self, frame: Any, truth: Any = None) -> Keeps:
        self.fitted_ = True
        rows = np.asarray(frame, dtype=float)
        some = rows[37:97]
        setattr(self, self.name, WAYS[self.how](rows, some, np.asarray(truth)))
        return self

    def transform(self, frame: Any) -> Any:
        return frame


class StopsEarly(TransformerMixin, BaseEstimator):
    """A transformer that keeps as many values as a tenth of 1,000 rows."""

    def __init__(self, validation_fraction: float = 0.1, early_stopping: bool = True) -> None:
        self.validation_fraction, self.early_stopping = validation_fraction, early_stopping

    def fit(self, frame: Any, truth: Any = None) -> StopsEarly:
        self.memory_ = np.full(100, 0.5)
        return self

    def transform(self, frame: Any) -> Any:
        return frame


class Slots:
    """State that no ``__dict__`` has."""

    __slots__ = ("inside",)

    def __init__(self, inside: Any = None) -> None:
        self.inside = inside


WAYS: dict[str, Any] = {
    "all rows": lambda rows, some, truth: rows,
    "a column": lambda rows, some, truth: rows[:, 1].copy(),
    "a subsample": lambda rows, some, truth: some,
    "a subsample, columns first": lambda rows, some, truth: some.T.copy(),
    "a subsample, flat": lambda rows, some, truth: some.ravel(),
    "a column of a subsample": lambda rows, some, truth: np.sort(some[:, 3]),
    "one row": lambda rows, some, truth: rows[11],
    "one row as a list": lambda rows, some, truth: rows[11].tolist(),
    "rows as nested lists": lambda rows, some, truth: {"deep": [("a", some.tolist())]},
    "a dict of rows": lambda rows, some, truth: {
        str(i): dict(enumerate(row)) for i, row in enumerate(some.tolist())
    },
    "a dict of columns": lambda rows, some, truth: {
        name: some[:, i].tolist() for i, name in enumerate(NUMBERS)
    },
    "values as keys": lambda rows, some, truth: dict.fromkeys(some[:, 3].tolist(), 1.0),
    "a set": lambda rows, some, truth: {float(one) for one in some[:, 1]},
    "a sparse matrix": lambda rows, some, truth: sp.csr_matrix(some),
    "objects": lambda rows, some, truth: np.array([list(row) for row in some.tolist()], dtype=object),
    "a list of arrays": lambda rows, some, truth: [row.copy() for row in some],
    "a masked array": lambda rows, some, truth: np.ma.masked_array(some, some > 50),
    "single precision": lambda rows, some, truth: some.astype(np.float32),
    "a structured array": lambda rows, some, truth: np.rec.fromarrays(some.T, names=",".join(NUMBERS)).view(
        np.ndarray
    ),
    "bytes": lambda rows, some, truth: b"head" + some.tobytes(),
    "JSON": lambda rows, some, truth: json.dumps(some.tolist()),
    "an estimator within": lambda rows, some, truth: [KNeighborsClassifier().fit(some, np.arange(60) % 2)],
    "the truth": lambda rows, some, truth: truth.astype(bool),
    "something of each row": lambda rows, some, truth: np.cumsum(rows[:, 0]) / 7,
    "one list for each row": lambda rows, some, truth: [[0.5] for _ in rows],
    "scalars of single precision": lambda rows, some, truth: [np.float32(one) for one in some[:, 1]],
    "a sparse matrix of single precision": lambda rows, some, truth: sp.csc_matrix(some.astype(np.float32)),
    "complex numbers": lambda rows, some, truth: some[:, 1] + 1j * some[:, 3],
    "the opposite": lambda rows, some, truth: -some,
    "standardised by itself": lambda rows, some, truth: ((rows - rows.mean(0)) / rows.std(0))[37:97],
    "from 0 to 1": lambda rows, some, truth: ((rows - rows.min(0)) / np.ptp(rows, axis=0))[37:97],
    "texts of numbers": lambda rows, some, truth: [repr(one) for one in some[:, 1].tolist()],
    "keys of numbers": lambda rows, some, truth: {f"{a!r}|{b!r}": 1 for a, b in some[:, [1, 3]].tolist()},
    "bytes of single precision": lambda rows, some, truth: some.astype(np.float32).tobytes(),
    "bytes of another order": lambda rows, some, truth: some.astype(">f8").tobytes(),
    "base 64 in lines, unpadded": lambda rows, some, truth: (
        base64.encodebytes(some.tobytes()).decode().replace("=", "")
    ),
    "base 64 of an address": lambda rows, some, truth: base64.urlsafe_b64encode(
        some[:, [1]].tobytes()
    ).decode(),
    "hexadecimal in groups": lambda rows, some, truth: some.tobytes().hex(" ", 8),
    "single precision beside whole texts": lambda rows, some, truth: [
        "a sentence about the model, as people write them",
        *some[:, 3].astype(np.float32),
    ],
    "hexadecimal": lambda rows, some, truth: some.tobytes().hex(),
    "packed, in base 64": lambda rows, some, truth: base64.b64encode(zlib.compress(some.tobytes())).decode(),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scaled", [False, True], ids=["as given", "after a step"])
def test_a_planted_leak_is_found_and_named(way: str, scaled: bool, seed: int) -> None:
    frame, risk, _ = people(seed)
    steps = [StandardScaler()] if scaled else []
    found = kept(make_pipeline(*steps, Keeps(way), LogisticRegression()), frame[NUMBERS], risk)
    assert found, way
    assert {one.owners[1] for one in found} == {"Keeps"}
    assert all(".memory_" in one.path for one in found)


FORMS: dict[str, tuple[str, Any]] = {
    "logarithms": ("spend", lambda column: np.log(np.abs(column))),
    "logarithms of one more": ("spend", lambda column: np.log1p(np.abs(column))),
    "less the mean": ("spend", lambda column: column - column.mean()),
    "standardised cents": ("income", lambda column: (column - column.mean()) / column.std()),
    "spans of time": ("distance", lambda column: column.astype("m8[s]")),
}


@pytest.mark.parametrize("name", FORMS)
def test_what_a_class_has_made_of_a_column_by_itself_is_found(name: str, seed: int) -> None:
    frame, risk, _ = people(seed)
    column, form = FORMS[name]
    estimator = make_pipeline(Keeps("one row"), LogisticRegression()).fit(frame[NUMBERS], risk)
    estimator[0].memory_ = form(frame[column].to_numpy())[37:97]
    content, _ = serialise(estimator, model="tests", declared=("pandas.",))
    (found,) = find_kept_rows(estimator, content, SeenRows.of(estimator, frame[NUMBERS], risk))
    assert found.why.endswith("values of one column's rows")


def test_a_grid_on_which_another_columns_forms_would_stand_too_is_no_row(seed: int) -> None:
    draw = np.random.default_rng(seed)
    rows = 60_000
    frame = pd.DataFrame(
        {
            "loan": draw.integers(1, 501, rows) * 100.0,
            "mile": np.floor(draw.exponential(40_000, rows)),
            "many": draw.integers(1, 3_000, rows).astype(float),
            "more": np.floor(draw.exponential(60_000, rows)),
        }
    )
    features = make_column_transformer(
        (OneHotEncoder(), ["loan"]),
        (StandardScaler(), ["mile"]),
        (make_pipeline(FunctionTransformer(np.log1p), QuantileTransformer(n_quantiles=1_000)), ["many"]),
        remainder="passthrough",
    )
    assert kept(make_pipeline(features, LogisticRegression()), frame, draw.integers(0, 2, rows)) == []


def test_words_that_the_author_wrote_or_that_are_levels_are_no_rows(seed: int) -> None:
    draw = np.random.default_rng(seed)
    names = [f"place{letter}{other}" for letter in "abcdefg" for other in "hijklmn"]
    said = ["good room and kind people in the house"] * 3_000
    for at, name in enumerate(names):
        said[at * 10] += f" near {name}"
    frame = pd.DataFrame(
        {"said": pd.Series(said, dtype=object), "city": pd.Categorical(draw.choice(names, 3_000))}
    )
    for words in (
        TfidfVectorizer(min_df=5, stop_words=[*names]),
        CountVectorizer(vocabulary=["good", "room", *names]),
    ):
        features = make_column_transformer((words, "said"), (OneHotEncoder(), ["city"]))
        truth = draw.integers(0, 2, 3_000)
        assert kept(make_pipeline(features, LogisticRegression()), frame, truth) == []


def test_prose_is_no_base_64_and_bytes_loosen_no_number_beside_them(seed: int) -> None:
    prose = "the mean of all of the rows that the fit saw and not one row of them"
    assert unwrapped(prose) == b""
    assert unwrapped("a_name_of_a_column_" * 5) != b""  # as a token may be
    frame, risk, _ = people(seed)
    estimator = make_pipeline(Keeps("one row"), LogisticRegression()).fit(frame[NUMBERS], risk)
    near = np.sort(frame["spend"].to_numpy())[37:97] * (1 + 5e-8)  # near as 32 bits are, and no row's
    for beside in (prose, b"\x00" * 64, np.float32(1.5)):
        estimator[0].memory_ = [beside, *near.tolist()]
        content, _ = serialise(estimator, model="tests")
        assert find_kept_rows(estimator, content, SeenRows.of(estimator, frame[NUMBERS], risk)) == []


def test_amounts_and_their_refunds_are_told_apart(seed: int) -> None:
    draw = np.random.default_rng(seed)
    prices = np.round(draw.choice(np.arange(1_000, 90_000), 60, replace=False) / 100, 2)
    amounts = np.concatenate([np.repeat(prices, 9), -prices])  # each was paid nine times and refunded once
    frame = pd.DataFrame({"amount": amounts, "age": draw.integers(18, 90, ROWS).astype(float)})
    truth = draw.integers(0, 2, ROWS)
    estimator = make_pipeline(Keeps("one row"), LogisticRegression()).fit(frame, truth)
    for held, rows in ((-prices, True), (prices, False)):
        estimator[0].memory_ = held
        content, _ = serialise(estimator, model="tests")
        assert bool(find_kept_rows(estimator, content, SeenRows.of(estimator, frame, truth))) == rows


def test_knots_that_are_given_are_no_quantiles(seed: int) -> None:
    frame, risk, _ = people(seed)
    knots = np.asarray([[20.0], [40.0], [60.0], [80.0]])
    splines = make_column_transformer((SplineTransformer(knots=knots), ["age"]))
    assert kept(make_pipeline(splines, LogisticRegression()), frame, risk) == []


def test_rows_are_found_in_a_frame_that_the_folder_trusts(seed: int) -> None:
    frame, risk, _ = people(seed)
    estimator = make_pipeline(Keeps("all rows"), LogisticRegression()).fit(frame[NUMBERS], risk)
    estimator[0].memory_ = frame[NUMBERS][40:90].reset_index(drop=True)
    with pytest.raises(RefusedTypeError):
        serialise(estimator, model="tests")


@pytest.mark.parametrize("unit", ["s", "us", "ns"])
def test_moments_are_found_in_any_unit(unit: str, seed: int) -> None:
    frame, risk, _ = people(seed)
    seconds = np.random.default_rng(seed).integers(1_300_000_000, 1_400_000_000, ROWS)
    frame["seen"] = pd.Series(seconds.astype("M8[s]")).dt.tz_localize("UTC").astype("datetime64[us, UTC]")
    estimator = make_pipeline(make_column_transformer(("passthrough", NUMBERS)), LogisticRegression())
    estimator.fit(frame, risk)
    estimator[0].seen_ = np.sort(seconds[100:150]).astype("M8[s]").astype(f"M8[{unit}]")
    content, _ = serialise(estimator, model="tests")
    (found,) = find_kept_rows(estimator, content, SeenRows.of(estimator, frame, risk))
    assert found.place == "ColumnTransformer.seen_"


def numbers(*steps: Any) -> Any:
    return make_pipeline(make_column_transformer((make_pipeline(*steps), NUMBERS)), LogisticRegression())


KEEPERS: dict[str, Any] = {
    "PLS": lambda: PLSRegression(2),
    "RidgeCV": lambda: make_pipeline(StandardScaler(), RidgeCV(store_cv_results=True)),
    "quantiles": lambda: make_pipeline(QuantileTransformer(n_quantiles=200), LinearRegression()),
    "quantiles of logs": lambda: make_pipeline(
        PowerTransformer(),
        QuantileTransformer(n_quantiles=50, subsample=300, random_state=0),
        LinearRegression(),
    ),
    "KNN": lambda: make_pipeline(StandardScaler(), KNeighborsClassifier()),
    "KNN in a tree": lambda: KNeighborsClassifier(algorithm="kd_tree"),
    "KNN imputer": lambda: make_pipeline(KNNImputer(), LinearRegression()),
    "SVC": lambda: make_pipeline(StandardScaler(), SVC()),
    "Gaussian process": lambda: make_pipeline(StandardScaler(), GaussianProcessRegressor()),
    "tree of single rows": lambda: DecisionTreeRegressor(random_state=0),
    "forest of single rows": lambda: RandomForestRegressor(10, random_state=0),
    "tree of logs": lambda: TransformedTargetRegressor(
        DecisionTreeRegressor(random_state=0), func=np.log1p, inverse_func=np.expm1, check_inverse=False
    ),
    "deep boosting": lambda: GradientBoostingRegressor(n_estimators=3, max_depth=None, random_state=0),
    "deep histogram boosting": lambda: HistGradientBoostingRegressor(
        max_iter=2, max_leaf_nodes=None, min_samples_leaf=1, random_state=0
    ),
    "kernel ridge": lambda: make_pipeline(StandardScaler(), KernelRidge()),
    "close bins": lambda: make_pipeline(
        KBinsDiscretizer(100, quantile_method="linear", subsample=None), LinearRegression()
    ),
    "close knots": lambda: make_pipeline(SplineTransformer(n_knots=100, knots="quantile"), Ridge()),
    "Nystroem": lambda: make_pipeline(
        StandardScaler(), Nystroem(n_components=20, random_state=0), LinearRegression()
    ),
}


@pytest.mark.parametrize("name", KEEPERS)
def test_estimators_that_keep_rows_are_found(name: str, seed: int) -> None:
    frame, risk, cost = people(seed)
    found = kept(KEEPERS[name](), frame[NUMBERS], cost if name in REGRESSES else risk)
    assert found
    assert len({one.path for one in found}) == len(found) < 6


def test_isotonic_thresholds_are_values_of_rows(seed: int) -> None:
    frame, _, cost = people(seed)
    assert kept(make_pipeline(IsotonicRegression()), frame[["income"]], cost)


CLEAN: dict[str, Any] = {
    "tree": lambda: DecisionTreeClassifier(random_state=0),
    "regression tree": lambda: DecisionTreeRegressor(random_state=0, min_samples_leaf=5),
    "boosted regression": lambda: GradientBoostingRegressor(n_estimators=20, random_state=0),
    "embedding": lambda: make_pipeline(RandomTreesEmbedding(5, random_state=0), LogisticRegression()),
    "forest": lambda: RandomForestClassifier(20, random_state=0, oob_score=True),
    "balanced forest": lambda: RandomForestClassifier(10, random_state=0, class_weight="balanced"),
    "bagged balanced forest": lambda: BaggingClassifier(
        ExtraTreesClassifier(3, random_state=0, class_weight={0: 1, 1: 2}), n_estimators=2, random_state=0
    ),
    "extra trees": lambda: ExtraTreesClassifier(10, random_state=0),
    "regression forest": lambda: RandomForestRegressor(
        10, random_state=0, max_samples=0.5, min_samples_leaf=5
    ),
    "boosting": lambda: GradientBoostingClassifier(
        n_estimators=20, subsample=0.5, random_state=0, n_iter_no_change=3
    ),
    "histogram boosting": lambda: HistGradientBoostingClassifier(
        max_iter=20, random_state=0, early_stopping=True
    ),
    "histogram regression": lambda: HistGradientBoostingRegressor(max_iter=10, random_state=0),
    "AdaBoost": lambda: AdaBoostClassifier(n_estimators=5, random_state=0),
    "bagging": lambda: BaggingClassifier(n_estimators=3, random_state=0),
    "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    "logistic CV": lambda: make_pipeline(
        StandardScaler(), LogisticRegressionCV(cv=3, l1_ratios=(0.0,), use_legacy_attributes=False)
    ),
    "linear": LinearRegression,
    "ridge": Ridge,
    "elastic net": lambda: make_pipeline(RobustScaler(), ElasticNetCV(cv=3)),
    "Huber": lambda: make_pipeline(StandardScaler(), HuberRegressor(max_iter=1_000)),
    "SGD": lambda: make_pipeline(MaxAbsScaler(), SGDClassifier(random_state=0)),
    "linear SVC": lambda: make_pipeline(MinMaxScaler(), LinearSVC(random_state=0)),
    "naive Bayes": GaussianNB,
    "network": lambda: make_pipeline(
        StandardScaler(), MLPClassifier((5,), random_state=0, max_iter=5, early_stopping=True)
    ),
    "RidgeCV without rows": lambda: make_pipeline(StandardScaler(), RidgeCV()),
    "stacking": lambda: StackingClassifier(
        [
            ("a", DecisionTreeClassifier(random_state=0)),
            ("b", make_pipeline(StandardScaler(), LogisticRegression())),
        ],
        cv=3,
    ),
    "voting": lambda: VotingClassifier([("a", DecisionTreeClassifier(random_state=0)), ("b", GaussianNB())]),
    "calibrated": lambda: CalibratedClassifierCV(
        make_pipeline(StandardScaler(), LogisticRegression()), method="isotonic", cv=3
    ),
    "search": lambda: GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": [0.1, 1.0]}, cv=3
    ),
    "target transformed": lambda: TransformedTargetRegressor(
        LinearRegression(), func=np.log1p, inverse_func=np.expm1, check_inverse=False
    ),
    "PCA": lambda: make_pipeline(StandardScaler(), PCA(2), LogisticRegression()),
    "SVD": lambda: make_pipeline(StandardScaler(), TruncatedSVD(2, random_state=0), LogisticRegression()),
    "k-means": lambda: make_pipeline(
        StandardScaler(), KMeans(4, random_state=0, n_init=1), LogisticRegression()
    ),
    "splines": lambda: numbers(SplineTransformer(knots="quantile"), SelectKBest(k=5)),
    "bins": lambda: numbers(KBinsDiscretizer(8, quantile_method="averaged_inverted_cdf")),
    "power": lambda: numbers(SimpleImputer(), PowerTransformer(), PolynomialFeatures(2)),
    "random kernel": lambda: numbers(StandardScaler(), RBFSampler(random_state=0)),
    "few quantiles": lambda: numbers(QuantileTransformer(n_quantiles=10)),
    "chosen": lambda: make_pipeline(
        SelectFromModel(DecisionTreeClassifier(random_state=0)), LogisticRegression(max_iter=2_000)
    ),
    "union": lambda: make_pipeline(
        FeatureUnion([("a", MinMaxScaler()), ("b", PCA(1))]), LogisticRegression()
    ),
}


#: What of both is fitted to a number.
REGRESSES = set(KEEPERS) - {"KNN", "KNN in a tree", "SVC"} | {
    "regression tree",
    "regression forest",
    "boosted regression",
    "histogram regression",
    "linear",
    "ridge",
    "elastic net",
    "Huber",
    "RidgeCV without rows",
    "target transformed",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CLEAN)
def test_what_people_use_raises_no_alarm(name: str, seed: int) -> None:
    frame, risk, cost = people(seed)
    assert kept(CLEAN[name](), frame[NUMBERS], cost if name in REGRESSES else risk) == []


def test_categories_and_words_are_no_rows(seed: int) -> None:
    frame, risk, _ = people(seed)
    estimator = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), ["city"]),
            (make_pipeline(OrdinalEncoder(), StandardScaler()), ["city"]),
            (TargetEncoder(random_state=0), ["city"]),
            (TfidfVectorizer(min_df=5), "said"),
            (MinMaxScaler(), NUMBERS),
        ),
        LogisticRegression(max_iter=2_000),
    )
    assert kept(estimator, frame, risk) == []


@pytest.mark.parametrize("keeps", ["one-hot", "words", "pairs of words"])
def test_names_are_found_that_few_rows_have(keeps: str, seed: int) -> None:
    frame, risk, _ = people(seed)
    frame["name"] = pd.Series(
        [f"{first} Sur{row}" for row, first in enumerate(["Ann", "Bo"] * 300)], dtype=object
    )
    made = {
        "one-hot": (OneHotEncoder(handle_unknown="ignore"), ["name"]),
        "words": (TfidfVectorizer(), "name"),
        "pairs of words": (TfidfVectorizer(ngram_range=(2, 2)), "name"),
    }
    (found,) = kept(make_pipeline(make_column_transformer(made[keeps]), LogisticRegression()), frame, risk)
    assert found.why.startswith("it holds more than 20 words that fewer than 5 rows have")


def test_groups_of_letters_that_many_texts_have_are_no_words(seed: int) -> None:
    frame, risk, _ = people(seed)
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), min_df=5)
    # Each is a word of one row, and a part of a word of many.
    frame["said"] = [
        f"{text} {chr(97 + row % 26) * 2 if row < 26 else ''}"
        for row, text in enumerate(f"{chr(97 + row % 26) * 3}" for row in range(ROWS))
    ]
    assert (
        kept(make_pipeline(make_column_transformer((letters, "said")), LogisticRegression()), frame, risk)
        == []
    )


@pytest.mark.parametrize("encoder", ["one-hot", "target", "histograms", "LightGBM"])
def test_categories_of_several_words_are_no_rows(encoder: str, seed: int) -> None:
    """They are levels, which every manifest lists."""
    frame, risk, _ = people(seed)
    halls = {"AMS": "Amsterdam City Hall West", "LON": "the City of London", "ROM": "Roma, via del Corso"}
    frame["city"] = frame["city"].cat.rename_categories({**halls, "PAR": "Paris, deuxième, near Opéra"})
    made = {
        "one-hot": lambda: make_pipeline(OneHotEncoder(), LogisticRegression()),
        "target": lambda: make_pipeline(TargetEncoder(), LogisticRegression()),
        "histograms": lambda: HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype"),
        "LightGBM": lambda: LGBMClassifier(n_estimators=5, verbosity=-1, n_jobs=1),
    }
    assert kept(made[encoder](), frame[["city"]], risk) == []


def test_a_sentence_that_many_rows_have_is_no_row(seed: int) -> None:
    frame, risk, _ = people(seed)
    frame["said"] = np.where(np.arange(ROWS) < ROWS - 4, "no answer was given", "my own four words")
    estimator = make_pipeline(make_column_transformer((TfidfVectorizer(), "said")), LogisticRegression())
    estimator.fit(frame, risk)
    for text, found in (("no answer was given", 0), ("my own four words", 1)):
        estimator[0].said_ = [text]
        content, _ = serialise(estimator, model="tests")
        assert len(find_kept_rows(estimator, content, SeenRows.of(estimator, frame, risk))) == found


def test_whole_texts_are_found(seed: int) -> None:
    frame, risk, _ = people(seed)
    estimator = make_pipeline(make_column_transformer((TfidfVectorizer(), "said")), LogisticRegression())
    estimator.fit(frame, risk)
    estimator[0].said_ = {"first": [frame["said"][3]]}
    content, _ = serialise(estimator, model="tests")
    (found,) = find_kept_rows(estimator, content, SeenRows.of(estimator, frame, risk))
    assert found.why == "it holds whole texts of rows"


def test_what_keeps_rows_is_allowed_by_name_alone(seed: int) -> None:
    frame, risk, _ = people(seed)
    found = kept(make_pipeline(StandardScaler(), KNeighborsClassifier()), frame[NUMBERS], risk)
    with pytest.raises(RefusedTypeError, match=r"KNeighborsClassifier\.\w+ keeps rows") as caught:
        refuse_kept_rows(found, ("KNeighborsRegressor", "KNeighborsClassifier._y"))
    assert "KNeighborsClassifier._fit_X" in " ".join(caught.value.examples)
    refuse_kept_rows(found, ("KNeighborsClassifier",))
    refuse_kept_rows(found, [one.place for one in found])
    with pytest.raises(RefusedTypeError, match="STORES_TRAINING_ROWS is True"):
        refuse_kept_rows(found, True)


def test_as_many_columns_as_rows_are_no_rows() -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(40, 40))).rename(columns=str)
    assert kept(make_pipeline(StandardScaler(), Ridge()), frame, frame["0"] + draw.normal(size=40)) == []


@pytest.mark.parametrize("rows", [995, 1_000, 1_005])
def test_a_width_is_no_part_of_the_rows_that_nobody_set_aside(rows: int, seed: int) -> None:
    """A tenth of 1,000 rows is 100, as wide as a network is by default; it sets rows aside only when told."""
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(draw.normal(size=(rows, 3)), columns=["a", "b", "c"])
    risk = (frame["a"] > 0).astype(np.int64)
    for stops in (False, True):
        network = MLPClassifier(random_state=0, max_iter=2, early_stopping=stops)
        assert kept(make_pipeline(StandardScaler(), network), frame, risk) == []
    for stops in (False, True):
        keeper = StopsEarly(early_stopping=stops)
        assert bool(kept(make_pipeline(keeper, LogisticRegression(max_iter=70)), frame, risk)) is stops


def test_rounds_that_were_run_are_no_rows_set_aside(seed: int) -> None:
    """A score of each round is kept, and one of before the first."""
    frame, risk, cost = people(seed)
    few = frame[NUMBERS][:360]
    stopped = HistGradientBoostingRegressor(
        max_iter=35, early_stopping=True, n_iter_no_change=35, max_leaf_nodes=3, random_state=0
    )
    assert kept(stopped, few, cost[:360]) == []
    assert len(stopped.train_score_) == 36  # a tenth of the rows
    waited = GradientBoostingClassifier(n_estimators=60, n_iter_no_change=40, max_depth=1, random_state=0)
    waited.fit(few, risk[:360])
    assert waited.n_estimators_ not in lengths_of_rows(waited, 10 * waited.n_estimators_)
    assert lengths_of_rows(waited, 2_000).keys() >= {200, 1_800}


@pytest.mark.parametrize("bins", [10, 20])
def test_edges_of_all_columns_are_no_rows_of_one(bins: int) -> None:
    """Columns that stand on one grid have each other's edges, too."""
    frame, risk = load_breast_cancer(return_X_y=True, as_frame=True)
    edges = KBinsDiscretizer(bins, quantile_method="averaged_inverted_cdf")
    assert kept(make_pipeline(edges, LogisticRegression(max_iter=20)), frame, risk.to_numpy()) == []


@pytest.mark.parametrize("step", [MinMaxScaler(), RobustScaler(), SimpleImputer(strategy="median")])
@pytest.mark.parametrize("table", ["percentages", "digits"])
def test_statistics_of_many_columns_of_whole_numbers_are_no_row(table: str, step: Any, seed: int) -> None:
    """Each row has some of so many values: one is rare in this column, another in that one."""
    if table == "digits":
        frame, truth = load_digits(return_X_y=True, as_frame=True)
    else:
        draw = np.random.default_rng(seed)
        values = draw.normal(draw.uniform(20, 80, 80), 12, (1_500, 80)).clip(0, 100).round()
        frame = pd.DataFrame(values, columns=[f"share_{number}" for number in range(80)])
        truth = pd.Series(draw.integers(2, size=len(frame)))
    assert kept(make_pipeline(clone(step), LogisticRegression(max_iter=5)), frame, truth.to_numpy()) == []


def test_values_of_a_column_are_found_though_they_are_held_apart(seed: int) -> None:
    frame, risk, _ = people(seed)
    estimator = make_pipeline(Keeps("one row"), LogisticRegression()).fit(frame[NUMBERS], risk)
    some = frame["income"].to_numpy()[37:97]
    for apart in (
        some.reshape(-1, 1),
        some.reshape(4, 15),
        [{"is": one, "of": 0.3} for one in some.tolist()],
    ):
        estimator[0].memory_ = apart
        content, _ = serialise(estimator, model="tests")
        (found,) = find_kept_rows(estimator, content, SeenRows.of(estimator, frame[NUMBERS], risk))
        assert found.why.endswith("values of one column's rows")


def test_a_grid_from_0_to_1_is_no_row() -> None:
    frame, risk = load_wine(return_X_y=True, as_frame=True)
    quantiles = make_pipeline(QuantileTransformer(n_quantiles=10), LogisticRegression(max_iter=20))
    assert kept(quantiles, frame, risk.to_numpy()) == []


def test_an_encoder_by_the_target_is_told_what_to_do(seed: int) -> None:
    draw = np.random.default_rng(seed)
    shares = 1 / np.arange(1, 121)
    frame = pd.DataFrame(
        {
            "street": draw.choice([f"S{number}" for number in range(120)], 1_500, p=shares / shares.sum()),
            "size": draw.normal(size=1_500),
        }
    ).astype({"street": "category"})
    cost = draw.lognormal(5, 1, 1_500)
    merged = OrdinalEncoder(min_frequency=5, handle_unknown="use_encoded_value", unknown_value=-1)

    def encoded(*steps: Any) -> Any:
        return make_pipeline(make_column_transformer((make_pipeline(*steps), ["street"])), Ridge())

    (found,) = kept(encoded(TargetEncoder(target_type="continuous")), frame, cost)
    assert "OrdinalEncoder(min_frequency=5" in found.why
    assert kept(encoded(merged, TargetEncoder(target_type="continuous")), frame, cost) == []
    few, whole = frame[:200], np.rint(cost[:200] * 100)
    whole[:5] = 100  # as many as TargetEncoder's folds
    for found in kept(encoded(merged, TargetEncoder()), few, whole):
        assert 'target_type="continuous"' in found.why
    assert found.place.startswith("TargetEncoder.")
    assert kept(encoded(merged, TargetEncoder(target_type="continuous")), few, whole) == []


def test_values_that_no_column_has_are_dropped_for_all_columns_at_once(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of wide tables each column would else be asked for each of a square of values."""
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(draw.normal(size=(300, 60)), columns=[f"c{number}" for number in range(60)])
    risk = (frame["c0"] > 0).astype(np.int64)
    asked = []
    rare = rare_values.RareValues.rare
    monkeypatch.setattr(
        rare_values.RareValues,
        "rare",
        lambda self, values, coarse: asked.append(values.size) or rare(self, values, coarse),
    )
    assert kept(make_pipeline(StandardScaler(), PCA(), LogisticRegression()), frame, risk) == []
    assert sum(asked) < 60 * 60  # 60 x 60 components, 180 columns: 648,000 one by one
    asked.clear()
    assert kept(make_pipeline(Keeps("all rows"), LogisticRegression()), frame, risk)
    assert max(asked) >= 60 * 60
