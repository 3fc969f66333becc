"""A package holds no person's words: texts of rows are found however they are written, names among words."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from rescore.model.artifact import serialise
from rescore.model.child.kept_rows import find_kept_rows
from rescore.model.child.seen_rows import SeenRows
from tests.model.child.test_kept_rows import NUMBERS, ROWS, Keeps, people

#: How an attribute may hold texts of rows.
TEXTS_HELD: dict[str, Any] = {
    "in lower case": lambda texts: [text.lower() for text in texts],
    "in lines": "\n".join,
    "behind something": lambda texts: [f"He said: {text}!" for text in texts],
    "as JSON": json.dumps,
    "as bytes": lambda texts: "\n".join(texts).encode(),
    "packed": lambda texts: gzip.compress(json.dumps(texts).encode()),
    "packed, in base 64": lambda texts: base64.b64encode(zlib.compress(" ".join(texts).encode())).decode(),
    "in base 64": lambda texts: base64.b64encode("\n".join(texts).encode()).decode(),
}


@pytest.mark.parametrize("way", TEXTS_HELD)
def test_whole_texts_are_found_however_they_are_written(way: str, seed: int) -> None:
    frame, risk, _ = people(seed)
    names = np.array(["Zoë", "Bo", "Cy", "Di"])[np.arange(ROWS) % 4]
    texts = [f"{name} had flu for {row % 30} days of {row % 17}" for row, name in enumerate(names)]
    frame["said"] = pd.Series(texts, dtype=object)
    features = make_column_transformer((HashingVectorizer(n_features=16), "said"))
    estimator = make_pipeline(features, LogisticRegression()).fit(frame, risk)
    estimator[0].said_ = TEXTS_HELD[way](texts[40:45])
    content, _ = serialise(estimator, model="tests")
    (found,) = find_kept_rows(estimator, content, SeenRows.of(estimator, frame, risk))
    assert found.why == "it holds whole texts of rows"


def test_a_text_that_is_a_part_of_many_is_no_row(seed: int) -> None:
    frame, risk, _ = people(seed)
    many = "the room was good and the people kind"
    frame["said"] = pd.Series([*[many] * (ROWS - 1), "The room was good"], dtype=object)
    features = make_column_transformer((HashingVectorizer(n_features=16), "said"))
    estimator = make_pipeline(features, LogisticRegression()).fit(frame, risk)
    estimator[0].said_ = [many, "the room was good"]
    content, _ = serialise(estimator, model="tests")
    assert find_kept_rows(estimator, content, SeenRows.of(estimator, frame, risk)) == []


def test_a_text_that_is_a_level_is_no_row(seed: int) -> None:
    frame, risk, _ = people(seed)
    frame["city"] = frame["city"].cat.rename_categories({"LON": "The City of London"})
    frame.loc[7, "said"] = "the city of London"
    features = make_column_transformer(
        (OneHotEncoder(), ["city"]), (HashingVectorizer(n_features=16), "said")
    )
    estimator = make_pipeline(features, LogisticRegression()).fit(frame, risk)
    content, _ = serialise(estimator, model="tests")
    assert find_kept_rows(estimator, content, SeenRows.of(estimator, frame, risk)) == []


@pytest.mark.parametrize("packed", [bytes, gzip.compress, zlib.compress], ids=["plain", "gzip", "zlib"])
@pytest.mark.parametrize("form", ["to_csv", "to_json"])
def test_rows_are_found_in_texts_that_are_held_as_bytes(packed: Any, form: str, seed: int) -> None:
    frame, risk, _ = people(seed)
    estimator = make_pipeline(Keeps("one row"), LogisticRegression()).fit(frame[NUMBERS], risk)
    estimator[0].memory_ = packed(getattr(frame[NUMBERS][37:97], form)().encode())
    content, _ = serialise(estimator, model="tests", declared=("pandas.",))
    (found,) = find_kept_rows(estimator, content, SeenRows.of(estimator, frame[NUMBERS], risk))
    assert found.place == "Keeps.memory_"


def test_words_that_a_fit_puts_into_a_parameter_are_no_authors(seed: int) -> None:
    frame, risk, _ = people(seed)
    names = [f"zsur{row}q" for row in range(ROWS)]
    frame["said"] = pd.Series([f"Ann {name} pays" for name in names], dtype=object)
    words = make_column_transformer((CountVectorizer(min_df=5), "said"))
    made = make_pipeline(words, LogisticRegression())
    fitted = clone(made).fit(frame, risk)
    fitted[0].named_transformers_["countvectorizer"].set_params(stop_words=names[:400])
    content, _ = serialise(fitted, model="tests")
    seen = SeenRows.of(fitted, frame, risk)
    assert find_kept_rows(fitted, content, seen, made=fitted) == []
    (found,) = find_kept_rows(fitted, content, seen, made=made)
    assert found.place == "CountVectorizer.stop_words"


@pytest.mark.parametrize("made", ["{}", "{}000000000000"], ids=["short", "long"])
def test_names_are_found_among_many_words_that_are_parts_of_others(made: str, seed: int) -> None:
    frame, risk, _ = people(seed)
    numbers = [made.format(100 + row % 300) for row in range(ROWS)]
    every = f" {'x'.join(numbers[:300])}"  # one word
    frame["said"] = pd.Series(
        [f"zsur{row}q at {number}" + every * (row < 5) for row, number in enumerate(numbers)], dtype=object
    )
    words = make_column_transformer((CountVectorizer(min_df=5), "said"))
    estimator = make_pipeline(words, LogisticRegression()).fit(frame, risk)
    for names in (0, 250):
        estimator[0].said_ = [*numbers[:300], *[f"zsur{row}q" for row in range(names)]]
        content, _ = serialise(estimator, model="tests")
        found = find_kept_rows(estimator, content, SeenRows.of(estimator, frame, risk))
        assert [one.why[:30] for one in found] == ["it holds more than 20 words th"] * bool(names)
