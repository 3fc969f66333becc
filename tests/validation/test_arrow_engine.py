"""What is answered on Arrow is what Great Expectations answers: verdict, positions and observed value."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import great_expectations.expectations as gxe
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rescore.validation import arrow_engine, gx_engine
from rescore.validation.declared import declare
from rescore.validation.gx_engine import Evaluation
from rescore.validation.wording import recorded

#: Answers by kind and verdict, over all examples.
answered: Counter[tuple[str, bool]] = Counter()

whole = st.one_of(st.none(), st.integers(-3, 3), st.sampled_from([2**40, 2**53, 2**53 + 1, -(2**62)]))
real = st.one_of(
    st.none(), st.sampled_from([0.0, -0.0, 1.0, 1.5, 2.0, -2.5, 1e300, math.nan, math.inf, -math.inf])
)
text = st.one_of(st.none(), st.sampled_from(["", "a", "ab", "abc", "7", "70", "é", "𝄞", "A\nB", "nan"]))
truth = st.sampled_from([True, False, None])
#: Microseconds since 1970; one that no int64 of nanoseconds holds among them.
moment = st.sampled_from([0, -1, 1_700_000_000_000_000, 64_000_000_000_000_000, None])
day = st.sampled_from([0, -1, 19_000, 2_000_000, None])
ROW = st.tuples(whole, real, text, truth, st.integers(-3, 3), st.floats(-4, 4), moment, day)
TYPES = [
    *(pa.int64(), pa.float64(), pa.string(), pa.bool_(), pa.int32(), pa.float64()),
    *(pa.timestamp("us", tz="UTC"), pa.date32()),
]
NAMES = ["whole", "real", "text", "truth", "small", "clean", "moment", "day"]


def table_of(rows: list[tuple[Any, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [()] * len(NAMES)
    return pa.table(
        {
            # NaN beside NULL, as Postgres gives both
            name: pa.array(list(column), kind, from_pandas=False)
            for name, column, kind in zip(NAMES, columns, TYPES, strict=True)
        }
    )


RANGES: list[dict[str, Any]] = [
    {"min_value": 0},
    {"max_value": 1.5},
    {"min_value": -1, "max_value": 2, "strict_min": True},
    {"min_value": 0.5, "max_value": 2**53, "strict_max": True},
    {"min_value": 1, "strict_min": True},
]
AGGREGATES = [
    gxe.ExpectColumnMaxToBeBetween,
    gxe.ExpectColumnMeanToBeBetween,
    gxe.ExpectColumnMedianToBeBetween,
    gxe.ExpectColumnMinToBeBetween,
    gxe.ExpectColumnStdevToBeBetween,
    gxe.ExpectColumnSumToBeBetween,
    gxe.ExpectColumnUniqueValueCountToBeBetween,
]


def asked(mostly: float) -> Iterator[Any]:
    """Every kind that Arrow answers, with many parameters, on every type of column."""
    for column in NAMES:
        yield from asked_of_column(column, mostly)
    yield from asked_of_pairs(mostly)
    yield from asked_of_table()


def asked_of_column(column: str, mostly: float) -> Iterator[Any]:
    often = {"mostly": mostly, "severity": "warning"}
    said = {"severity": "warning"}
    yield gxe.ExpectColumnValuesToBeNull(column=column, **often)
    yield gxe.ExpectColumnValuesToNotBeNull(column=column, **often)
    for values in ([0, 1, 2], [1.5, 0.0], ["a", "7"], [True], [], ["a", None], [2**53 + 1]):
        yield gxe.ExpectColumnValuesToBeInSet(column=column, value_set=values, **often)
        yield gxe.ExpectColumnValuesToNotBeInSet(column=column, value_set=values, **often)
    for bounds in RANGES:
        yield gxe.ExpectColumnValuesToBeBetween(column=column, **bounds, **often)
    for pattern in ("^a", "[0-9]+$", "(a)b", "é|^$", "(?i)B", "a.*c", "(?<=a)b", "["):
        yield gxe.ExpectColumnValuesToMatchRegex(column=column, regex=pattern, **often)
        yield gxe.ExpectColumnValuesToNotMatchRegex(column=column, regex=pattern, **often)
    yield gxe.ExpectColumnValueLengthsToEqual(column=column, value=1, **often)
    yield gxe.ExpectColumnValueLengthsToBeBetween(column=column, min_value=1, max_value=2, **often)
    yield gxe.ExpectColumnValueLengthsToBeBetween(column=column, min_value=1, strict_min=True, **often)
    yield gxe.ExpectColumnToExist(column=column, **said)
    if column in {"whole", "real", "clean", "text"}:
        for kind, bounds in itertools.product(AGGREGATES, RANGES):
            yield kind(column=column, **bounds, **said)
        for share in (0.5, 1.0):
            yield gxe.ExpectColumnProportionOfUniqueValuesToBeBetween(column=column, min_value=share, **said)


def asked_of_pairs(mostly: float) -> Iterator[Any]:
    often = {"mostly": mostly, "severity": "warning"}
    for ignored in ("both_values_are_missing", "either_value_is_missing", "neither"):
        for left, right in (("real", "clean"), ("whole", "small"), ("small", "clean"), ("text", "text")):
            pair = {"column_A": left, "column_B": right, "ignore_row_if": ignored, **often}
            yield gxe.ExpectColumnPairValuesToBeEqual(**pair)
            for or_equal in (True, False):
                yield gxe.ExpectColumnPairValuesAToBeGreaterThanB(or_equal=or_equal, **pair)


def asked_of_table() -> Iterator[Any]:
    said = {"severity": "warning"}
    yield gxe.ExpectColumnToExist(column="other", **said)
    for value in (0, 3, len(NAMES)):
        yield gxe.ExpectTableRowCountToEqual(value=value, **said)
        yield gxe.ExpectTableRowCountToBeBetween(min_value=value, **said)
        yield gxe.ExpectTableColumnCountToEqual(value=value, **said)
    yield gxe.ExpectTableColumnsToMatchOrderedList(column_list=NAMES, **said)
    yield gxe.ExpectTableColumnsToMatchOrderedList(column_list=NAMES[::-1], **said)


def seen(one: Evaluation) -> Any:
    positions = None if one.positions is None else one.positions.tolist()
    observed = recorded(one.observed)
    bits = observed.hex() if isinstance(observed, float) else observed
    return one.success, positions, type(observed).__name__, bits, one.error


def compare(table: pa.Table, mostly: float, some: slice = slice(None)) -> None:
    expectations = list(asked(mostly))[some]
    declared = [declare(one) for one in expectations]
    plain = [number for number, one in enumerate(declared) if one.plain]
    questions = [(declared[number].kind, declared[number].parameters) for number in plain]
    answers = dict(zip(plain, arrow_engine.evaluate(table, questions), strict=True))
    found = [answers.get(number) for number in range(len(declared))]
    certain = [number for number, one in enumerate(found) if one is not None]
    told = gx_engine.evaluate(
        table, [declared[number].question(expectations[number], table.column_names) for number in certain]
    )
    for number, theirs in zip(certain, told, strict=True):
        ours = found[number]
        assert ours is not None
        assert seen(ours) == seen(theirs), (declared[number].kind, declared[number].parameters)
        answered[declared[number].kind, ours.success] += 1


EDGES = [
    (None, None, None, None, 0, 0.0, None, None),
    (2**53 + 1, math.nan, "", True, 1, -0.0, 0, 0),
    (2**53, math.inf, "nan", False, 1, 1.0, 64_000_000_000_000_000, 2_000_000),
    (1, -0.0, "é", None, 3, 3.0, None, -1),
    (1, 1.5, "A\nB", True, -3, 1.5, 1_700_000_000_000_000, None),
]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ROW, min_size=1, max_size=12), st.sampled_from([1.0, 0.5, 0.9]), st.integers(0, 9))
def test_arrow_answers_as_great_expectations_does(
    rows: list[tuple[Any, ...]], mostly: float, first: int
) -> None:
    compare(table_of(rows), mostly, slice(first, None, 10))


@pytest.mark.slow
def test_every_kind_passes_and_fails_as_great_expectations_says() -> None:
    compare(table_of(EDGES), 1.0)
    compare(table_of([(0, 0.0, "a", True, 0, 0.0, 0, 0)] * 3), 1.0)
    compare(table_of([(None, None, None, None, 1, 2.0, None, None)] * 2), 0.5, slice(0, None, 4))
    missing = {(kind, success) for kind in arrow_engine.KINDS for success in (True, False)} - set(answered)
    assert not missing
    assert {kind for kind, _ in answered} == arrow_engine.KINDS


@pytest.mark.parametrize("column", ["moment", "day"])
def test_whether_a_moment_is_there_needs_no_great_expectations(column: str) -> None:
    asked = [("expect_column_values_to_not_be_null", {"column": column})]
    [found] = arrow_engine.evaluate(table_of(EDGES), asked)
    assert found is not None and found.positions is not None
    missing = [row for row, values in enumerate(EDGES) if values[NAMES.index(column)] is None]
    assert missing and found.positions.tolist() == missing


def test_rows_of_several_leaves_keep_their_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(7)
    monkeypatch.setattr("rescore.digest.LEAF_ROWS", 64)
    rows = 300
    chunks = [
        pa.table(
            {
                "whole": pa.array(random.integers(-3, 4, size), pa.int64(), mask=random.random(size) < 0.1),
                "real": pa.array(random.normal(size=size)),
                "text": pa.array(random.choice(["a", "ab", "7"], size)),
                "truth": pa.array(random.random(size) < 0.5),
                "small": pa.array(random.integers(-3, 4, size), pa.int32()),
                "clean": pa.array(random.normal(size=size)),
                "moment": pa.array(np.arange(size), TYPES[6], mask=random.random(size) < 0.1),
                "day": pa.array(np.arange(size, dtype=np.int32), TYPES[7]),
            }
        )
        for size in (100, 1, rows - 101)
    ]
    compare(pa.concat_tables(chunks), 0.9, slice(0, None, 5))
