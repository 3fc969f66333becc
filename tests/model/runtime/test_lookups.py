"""Encoders as look-ups give the bits of the encoders, and step aside where they would not."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
    TargetEncoder,
)

from rescore.model.runtime.lookups import with_lookups

LEVELS = {"city": ["Aix", "Bor", "Cal"], "kind": ["only one"], "plan": [f"plan {i}" for i in range(40)]}
COLUMNS = list(LEVELS)
UNKNOWN = {"handle_unknown": "use_encoded_value", "unknown_value": -1}
ENCODERS = {
    "one-hot": lambda: OneHotEncoder(handle_unknown="ignore"),
    "one-hot, dense": lambda: OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    "one-hot, float32": lambda: OneHotEncoder(handle_unknown="ignore", dtype=np.float32),
    "one-hot, one left out": lambda: OneHotEncoder(drop="first", handle_unknown="ignore"),
    "one-hot, rare levels together": lambda: OneHotEncoder(
        min_frequency=20, handle_unknown="infrequent_if_exist", sparse_output=False
    ),
    "ordinal": lambda: OrdinalEncoder(**UNKNOWN),
    "ordinal, missing ones apart": lambda: OrdinalEncoder(encoded_missing_value=-2, **UNKNOWN),
    "by target": lambda: TargetEncoder(cv=KFold(5)),
    "imputed, then one-hot": lambda: make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    ),
    "constant, then ordinal": lambda: make_pipeline(
        SimpleImputer(strategy="constant", fill_value="none"), OrdinalEncoder(**UNKNOWN)
    ),
}


def frame(rows: int, seed: int, missing: float = 0.1) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    columns: dict[str, Any] = {"amount": random.normal(size=rows)}
    for name, levels in LEVELS.items():
        codes = random.integers(0, len(levels), rows)
        codes[random.random(rows) < missing] = -1
        columns[name] = pd.Categorical.from_codes(codes, categories=pd.Index(levels, dtype=object))
    return pd.DataFrame(columns)


def transformed(encoder: Any, *, missing: float = 0.1) -> tuple[ColumnTransformer, Any]:
    fitted = make_column_transformer((StandardScaler(), ["amount"]), (encoder, COLUMNS))
    rows = frame(400, 1, missing)
    fitted.fit(rows, np.arange(400) % 2)
    return fitted, with_lookups(fitted)


def same_bits(one: Any, other: Any) -> bool:
    if sparse.issparse(one):
        pairs = [(getattr(one, part), getattr(other, part)) for part in ("data", "indices", "indptr")]
    else:
        assert one.flags.c_contiguous == other.flags.c_contiguous
        pairs = [(one, other)]
    return type(one) is type(other) and all(
        a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs
    )


def asked(looked_up: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows the encoder itself is asked for, call by call."""
    encoder = looked_up.transformers_[1][1]._encoder
    kind, rows = type(encoder), []
    plain = kind.transform

    def counted(self: Any, given: Any) -> Any:
        if self is encoder:
            rows.append(len(given))
        return plain(self, given)

    monkeypatch.setattr(kind, "transform", counted)
    return rows


@pytest.mark.parametrize("name", list(ENCODERS))
def test_an_encoder_is_asked_for_its_levels_and_gives_the_bits_of_every_row(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, looked_up = transformed(ENCODERS[name]())
    rows = frame(5_000, 2)
    expected, backwards = plain.transform(rows), plain.transform(rows[::-1])
    counts = asked(looked_up, monkeypatch)
    assert same_bits(looked_up.transform(rows), expected)
    assert max(counts) <= sum(len(levels) + 1 for levels in LEVELS.values())
    counts.clear()
    assert same_bits(looked_up.transform(rows[::-1]), backwards)
    assert not counts
    assert plain.transformers_[1][1] is not looked_up.transformers_[1][1]


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_whatever_the_levels_the_bits_are_the_encoders(data: st.DataObject) -> None:
    text = st.text(max_size=4)
    levels = data.draw(st.lists(st.lists(text, min_size=1, max_size=9, unique=True), min_size=1, max_size=4))
    rows = data.draw(st.integers(2, 60))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))

    def drawn() -> pd.DataFrame:
        return pd.DataFrame(
            {
                f"c{number}": pd.Categorical.from_codes(
                    random.integers(-1, len(known), rows), categories=pd.Index(known, dtype=object)
                )
                for number, known in enumerate(levels)
            }
        )

    encoder = ENCODERS[data.draw(st.sampled_from(sorted(ENCODERS)))]()
    fitted = make_column_transformer((encoder, [f"c{number}" for number in range(len(levels))]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a column that holds nothing
        try:
            fitted.fit(drawn(), random.permutation(np.arange(rows) % 2))
        except ValueError:
            return  # nothing that could be fitted
        live = drawn()
        try:
            expected = fitted.transform(live)
        except ValueError:
            with pytest.raises(ValueError, match=""):
                with_lookups(fitted).transform(live)
        else:
            assert same_bits(with_lookups(fitted).transform(live), expected)


def test_a_missing_value_that_the_encoder_refuses_is_refused_in_its_words() -> None:
    plain, looked_up = transformed(OneHotEncoder(), missing=0.0)
    assert same_bits(looked_up.transform(frame(500, 3, 0.0)), plain.transform(frame(500, 3, 0.0)))
    with pytest.raises(ValueError, match="unknown categories") as expected:
        plain.transform(frame(500, 3))
    with pytest.raises(ValueError, match="unknown categories") as got:
        looked_up.transform(frame(500, 3))
    assert str(got.value) == str(expected.value)


def test_other_levels_than_those_asked_for_go_to_the_encoder() -> None:
    plain, looked_up = transformed(OneHotEncoder(handle_unknown="ignore"))
    looked_up.transform(frame(10, 4))
    other = frame(100, 4)
    other["city"] = other["city"].cat.rename_categories({"Aix": "Zug"})
    assert same_bits(looked_up.transform(other), plain.transform(other))
    other["city"] = other["city"].astype(object)
    assert same_bits(looked_up.transform(other), plain.transform(other))


class Crossed(TransformerMixin, BaseEstimator):
    def fit(self, rows: Any, labels: Any = None) -> Crossed:
        return self

    def transform(self, rows: Any) -> Any:
        return (rows["city"].cat.codes * rows["plan"].cat.codes).to_numpy()[:, None]


def test_steps_that_look_at_more_than_one_value_are_left_alone() -> None:
    for step in (Crossed(), make_pipeline(OrdinalEncoder(**UNKNOWN), PolynomialFeatures())):
        fitted = make_column_transformer((step, ["city", "plan"])).fit(frame(300, 5, 0.0))
        looked_up = with_lookups(fitted)
        assert looked_up.transformers_[0][1] is fitted.transformers_[0][1]
    text = make_column_transformer((CountVectorizer(), "city")).fit(frame(300, 5, 0.0))
    assert same_bits(with_lookups(text).transform(frame(9, 6, 0.0)), text.transform(frame(9, 6, 0.0)))


def test_the_answers_for_many_levels_are_not_kept() -> None:
    levels = pd.Index([f"level {i}" for i in range(3_000)], dtype=object)
    rows = pd.DataFrame({"plan": pd.Categorical.from_codes(np.arange(3_000), categories=levels)})
    fitted = make_column_transformer((OneHotEncoder(sparse_output=False), ["plan"])).fit(rows)
    looked_up = with_lookups(fitted)
    assert same_bits(looked_up.transform(rows), fitted.transform(rows))
    assert looked_up.transformers_[0][1]._answers is None


def test_an_estimator_is_not_changed_and_its_inner_parts_are_reached() -> None:
    rows, labels = frame(600, 7), np.arange(600) % 2
    logistic = make_pipeline(
        make_column_transformer((StandardScaler(), ["amount"]), (ENCODERS["one-hot"](), COLUMNS)),
        LogisticRegression(),
    ).fit(rows, labels)
    boosted = HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(rows, labels)
    calibrated = CalibratedClassifierCV(clone(logistic), cv=2).fit(rows, labels)
    nested = make_pipeline(
        make_column_transformer(
            (StandardScaler(), ["amount"]),
            (make_column_transformer((ENCODERS["one-hot"](), COLUMNS)), COLUMNS),
        ),
        LogisticRegression(),
    ).fit(rows, labels)
    for fitted in (logistic, boosted, calibrated, nested):
        looked_up = with_lookups(fitted)
        assert looked_up is not fitted
        assert type(looked_up) is type(fitted)
        expected = fitted.predict_proba(frame(2_000, 8))
        assert looked_up.predict_proba(frame(2_000, 8)).tobytes() == expected.tobytes()
    assert type(logistic[0].transformers_[1][1]) is OneHotEncoder
    logged = TransformedTargetRegressor(
        make_pipeline(clone(logistic[0]), Ridge()), func=np.log1p, inverse_func=np.expm1
    )
    logged.fit(rows, labels + 1.0)
    assert with_lookups(logged).predict(frame(99, 9)).tobytes() == logged.predict(frame(99, 9)).tobytes()
    numbers = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows[["amount"]], labels)
    assert with_lookups(numbers) is numbers
