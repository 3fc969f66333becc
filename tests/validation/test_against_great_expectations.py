"""A suite says of an interval what Great Expectations says of ``table.to_pandas()``: every kind, every type.

Great Expectations is driven here as a stranger would, on the whole frame and by nothing of ours. Where we
answer otherwise on purpose stands in ``DEVIATIONS``, and in ``docs/guides/add-a-model.md``.
"""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import great_expectations.expectations as gxe
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from great_expectations.core.batch import Batch
from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
from great_expectations.expectations.row_conditions import Column
from great_expectations.validator.validator import Validator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rescore.validation import gx_engine, run
from rescore.validation.declared import Declared, declare
from rescore.validation.declared_suite import DeclaredSuite
from rescore.validation.gx_engine import Evaluation, ephemeral_context
from rescore.validation.wording import recorded
from tests.validation.test_arrow_engine import EDGES, NAMES, ROW, table_of

COLUMNS = [*NAMES, "codes", "short"]
#: Of these, int64 is the type whatever their width, beside a NULL too (test_nulls).
WHOLE = ["whole", "small", "codes", "short"]
W = {"severity": "warning"}
LISTED = ("all_values_are_missing", "any_value_is_missing", "never")
PAIRED = ("both_values_are_missing", "either_value_is_missing", "neither")
Said = tuple[bool, bool, Any, Any]


def _whole_beside_null(table: pa.Table, one: Declared) -> bool:
    kinds = [table.schema.field(name).type for name in one.reads]
    return any(
        pa.types.is_integer(kind) and table.column(name).null_count
        for name, kind in zip(one.reads, kinds, strict=True)
    )


#: What we answer otherwise: where, and what is answered there instead, from what Great Expectations says of
#: the frame whose whole numbers stay whole.
DEVIATIONS: dict[str, tuple[Callable[[pa.Table, Declared], bool], Callable[[Said], Said]]] = {
    # pandas makes floats of whole numbers beside a NULL: 5 would be "5.0", and 2**53 + 1 another number.
    "whole numbers beside a NULL stay whole": (_whole_beside_null, lambda whole: whole),
    # There is no row to judge; `schedule.empty` says whether such an interval may be published.
    "an interval without rows meets what is about a column": (
        lambda table, one: not table.num_rows and bool(one.about),
        lambda whole: (True, False, (), None),
    ),
}


def tables(rows: list[tuple[Any, ...]]) -> pa.Table:
    """Also whole numbers of other widths, one with NULLs."""
    table = table_of(rows)
    codes = pc.if_else(table.column("truth"), table.column("small"), pa.scalar(None, pa.int32()))
    return table.append_column("codes", codes).append_column("short", table.column("small").cast(pa.int16()))


def plain(frame: pd.DataFrame, expectations: Sequence[Any]) -> list[Said]:
    """What Great Expectations says of a frame."""
    with ephemeral_context() as context, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        batch: Any = Batch(data=frame)  # type: ignore[arg-type]
        validator = Validator(execution_engine=PandasExecutionEngine(), data_context=context, batches=[batch])

        def ask(number: int) -> Said:
            copy = expectations[number].copy(update={"meta": {}, "id": None})
            try:
                [found] = validator.graph_validate(
                    configurations=validator.process_expectations_for_validation([copy.configuration], None),
                    runtime_configuration={
                        "result_format": {"result_format": "COMPLETE"},
                        "catch_exceptions": True,
                    },
                )
            except Exception:
                return False, True, (), None
            info = found.exception_info or {}
            raised = info["raised_exception"] if "raised_exception" in info else bool(info)
            if raised:
                return False, True, (), None
            detail = found.result or {}
            positions = tuple(sorted(detail.get("unexpected_index_list") or ()))
            return bool(found.success), False, positions, recorded(detail.get("observed_value"))

        return [ask(number) for number in range(len(expectations))]


class _Reader:
    """A suite that is no file."""

    def __init__(self, expectations: Sequence[Any]) -> None:
        self._expectations = expectations

    def declared(self) -> list[Declared]:
        return [declare(one) for one in self._expectations]

    def ask(self, rows: Any, asked: Sequence[tuple[int, Declared]]) -> list[Evaluation]:
        return gx_engine.evaluate(
            rows, [one.question(self._expectations[number], rows.column_names) for number, one in asked]
        )


class _Nobody:
    names = ()

    def see(self, leaf: pa.RecordBatch, start: int) -> None:
        pass


def ours(table: pa.Table, expectations: Sequence[Any]) -> tuple[list[Declared], list[Said]]:
    suite = DeclaredSuite(_Reader(expectations))  # type: ignore[arg-type]
    found = run._evaluate(table, suite, (), _Nobody())  # type: ignore[arg-type]
    said = []
    for number in range(len(expectations)):
        one = found[number]
        positions = () if one.positions is None else tuple(one.positions.tolist())
        error = one.error is not None
        said.append((one.success, error, positions, None if error else recorded(one.observed)))
    return suite.declared, said


def compare(table: pa.Table, expectations: Sequence[Any]) -> set[str]:
    """Compare both; which deviations there were."""
    declared, found = ours(table, expectations)
    told = plain(table.to_pandas(), expectations)
    other = [number for number, said in enumerate(told) if said != found[number]]
    whole = plain(table.to_pandas(integer_object_nulls=True), [expectations[number] for number in other])
    seen, differs = set(), []
    for number, as_whole in zip(other, whole, strict=True):
        one = declared[number]
        for name, (applies, answer) in DEVIATIONS.items():
            if applies(table, one) and answer(as_whole) == found[number]:
                seen.add(name)
                break
        else:
            differs.append(
                (one.kind, one.parameters, "ours", found[number], "theirs", told[number], as_whole)
            )
    assert not differs, "\n".join(map(str, differs))
    return seen


@functools.cache
def asked() -> list[Any]:
    return [
        *itertools.chain.from_iterable(map(asked_of_column, COLUMNS)),
        *asked_of_several(),
        *asked_of_table(),
    ]


def asked_of_column(column: str) -> Iterator[Any]:
    of: dict[str, Any] = {"column": column, **W}
    yield gxe.ExpectColumnToExist(**of)
    if column not in WHOLE:
        for type_ in ("int64", "int32", "float64", "bool", "str", "object"):
            yield gxe.ExpectColumnValuesToBeOfType(type_=type_, **of)
            yield gxe.ExpectColumnTypeToBe(type_=type_, **of)
        yield gxe.ExpectColumnValuesToBeInTypeList(type_list=["int64", "str"], **of)
    for often in ({}, {"mostly": 0.5}):
        yield gxe.ExpectColumnValuesToBeNull(**of, **often)
        yield gxe.ExpectColumnValuesToNotBeNull(**of, **often)
        yield gxe.ExpectColumnValuesToBeUnique(**of, **often)
        yield gxe.ExpectColumnValuesToBeBetween(min_value=0, max_value=2, **of, **often)
    yield gxe.ExpectColumnValuesToBeBetween(min_value=9, max_value=1, **of)
    yield gxe.ExpectColumnValuesToBeBetween(max_value=2**53 + 1, **of)
    yield gxe.ExpectColumnValuesToBeBetween(min_value="1970-01-01", strict_min=True, **of)
    yield gxe.ExpectColumnValuesToBeIncreasing(**of)
    yield gxe.ExpectColumnValuesToBeIncreasing(strictly=True, **of)
    yield gxe.ExpectColumnValuesToBeDecreasing(**of)
    yield gxe.ExpectColumnValueZScoresToBeLessThan(threshold=1, double_sided=True, **of)
    for values in ([0, 1.5], [1, "a"], ["a", "x\0"], [None, 1], [2**53 + 1], [True, "70"], ["1970-01-01"]):
        yield gxe.ExpectColumnValuesToBeInSet(value_set=values, **of)
        yield gxe.ExpectColumnValuesToNotBeInSet(value_set=values, **of)
        yield gxe.ExpectColumnDistinctValuesToBeInSet(value_set=values, **of)
    yield gxe.ExpectColumnDistinctValuesToContainSet(value_set=[1, "a"], **of)
    yield gxe.ExpectColumnDistinctValuesToEqualSet(value_set=[1, 2], **of)
    yield gxe.ExpectColumnMostCommonValueToBeInSet(value_set=[1, "a"], ties_okay=True, **of)
    for pattern in ("^a", r"\.0$", "\0", "[", r"^-?\d$", "(?i)B|é"):
        yield gxe.ExpectColumnValuesToMatchRegex(regex=pattern, **of)
        yield gxe.ExpectColumnValuesToNotMatchRegex(regex=pattern, **of)
    yield gxe.ExpectColumnValuesToMatchRegexList(regex_list=["^a", "1"], match_on="any", **of)
    yield gxe.ExpectColumnValuesToNotMatchRegexList(regex_list=["^a", "1"], **of)
    yield gxe.ExpectColumnValueLengthsToEqual(value=1, **of)
    yield gxe.ExpectColumnValueLengthsToBeBetween(min_value=1, max_value=2, **of)
    yield gxe.ExpectColumnValuesToMatchStrftimeFormat(strftime_format="%Y-%m-%d", **of)
    yield gxe.ExpectColumnValuesToBeDateutilParseable(**of)
    yield gxe.ExpectColumnValuesToBeJsonParseable(**of)
    yield gxe.ExpectColumnValuesToMatchJsonSchema(json_schema={"type": "integer"}, **of)
    for kind in (
        gxe.ExpectColumnMaxToBeBetween,
        gxe.ExpectColumnMeanToBeBetween,
        gxe.ExpectColumnMedianToBeBetween,
        gxe.ExpectColumnMinToBeBetween,
        gxe.ExpectColumnProportionOfNonNullValuesToBeBetween,
        gxe.ExpectColumnProportionOfUniqueValuesToBeBetween,
        gxe.ExpectColumnStdevToBeBetween,
        gxe.ExpectColumnSumToBeBetween,
        gxe.ExpectColumnUniqueValueCountToBeBetween,
    ):
        yield kind(min_value=0.5, max_value=2, strict_max=True, **of)
    ranges = {"quantiles": [0.1, 0.5], "value_ranges": [[0, 2], [None, 9]]}
    yield gxe.ExpectColumnQuantileValuesToBeBetween(quantile_ranges=ranges, **of)
    yield gxe.ExpectColumnValuesToNotBeOutliers(method="iqr", multiplier=1.5, **of)
    for condition in (
        {"row_condition": "small > 0", "condition_parser": "pandas"},
        {"row_condition": Column("small") > 0},
    ):
        yield gxe.ExpectColumnValuesToNotBeInSet(value_set=[1, "a", True], **condition, **of)
        yield gxe.ExpectColumnStdevToBeBetween(max_value=2, **condition, **of)


def asked_of_several() -> Iterator[Any]:
    pairs = (("real", "clean"), ("whole", "small"), ("codes", "short"), ("text", "text"), ("truth", "small"))
    for ignored, (left, right) in itertools.product(PAIRED, pairs):
        pair: dict[str, Any] = {"column_A": left, "column_B": right, "ignore_row_if": ignored, **W}
        yield gxe.ExpectColumnPairValuesToBeEqual(**pair)
        yield gxe.ExpectColumnPairValuesAToBeGreaterThanB(or_equal=True, **pair)
        yield gxe.ExpectColumnPairValuesToBeInSet(value_pairs_set=[(1, 1), ("a", "a"), (True, 1)], **pair)
    for ignored, names in itertools.product(
        LISTED, (["whole", "small"], ["text", "truth"], ["codes", "real"])
    ):
        listed: dict[str, Any] = {"column_list": names, "ignore_row_if": ignored, **W}
        yield gxe.ExpectCompoundColumnsToBeUnique(**listed)
        yield gxe.ExpectSelectColumnValuesToBeUniqueWithinRecord(**listed)
        yield gxe.ExpectMulticolumnSumToEqual(sum_total=2, **listed)


def asked_of_table() -> Iterator[Any]:
    for value in (0, 2, len(COLUMNS)):
        yield gxe.ExpectTableColumnCountToBeBetween(max_value=value, **W)
        yield gxe.ExpectTableColumnCountToEqual(value=value, **W)
        for condition in (
            {},
            {"row_condition": "small > 0", "condition_parser": "pandas"},
            {"row_condition": Column("codes") > 0},
        ):
            yield gxe.ExpectTableRowCountToBeBetween(min_value=value, **condition, **W)
            yield gxe.ExpectTableRowCountToEqual(value=value, **condition, **W)
    yield gxe.ExpectTableColumnsToMatchOrderedList(column_list=COLUMNS, **W)
    yield gxe.ExpectTableColumnsToMatchSet(column_set=["whole"], exact_match=False, **W)


#: Text that a zero character must not be taken for, a run of truth values that falls.
ODD = [
    *EDGES,
    (5, 0.1, "x\ufffd", True, 2, 0.5, 1, 3),
    (6, 0.2, "a\ufffdb", True, 1, 0.25, 2, 4),
    (None, 0.3, "x", False, 1, 0.125, 3, 5),
]


def test_what_once_differed() -> None:
    textual: dict[str, Any] = {"row_condition": "small > 0", "condition_parser": "pandas", **W}
    table = tables(ODD)
    questions = [
        gxe.ExpectTableRowCountToBeBetween(min_value=3, **textual),
        gxe.ExpectTableRowCountToEqual(value=3, row_condition=Column("codes") > 0, **W),
        gxe.ExpectColumnValuesToNotMatchRegex(column="text", regex="\0", **W),
        gxe.ExpectColumnValuesToNotBeInSet(column="text", value_set=["x\0"], **W),
        gxe.ExpectColumnValuesToBeIncreasing(column="truth", **W),
        gxe.ExpectColumnValuesToBeDecreasing(column="truth", **W),
        gxe.ExpectColumnValuesToBeOfType(column="truth", type_="int64", **W),
        *(
            kind(column=column, type_=type_, **W)
            for kind in (gxe.ExpectColumnTypeToBe, gxe.ExpectColumnValuesToBeOfType)
            for column, type_ in (
                *(("short", "int16"), ("short", "float64"), ("truth", "bool"), ("truth", "object")),
            )
        ),
    ]
    assert not compare(table, questions)
    none = tables([(None, None, None, None, 1, 2.0, None, None)] * 3)
    assert not compare(
        none, [gxe.ExpectColumnValuesToBeBetween(column="whole", min_value=9, max_value=1, **W)]
    )


def test_a_deviation_is_rounded_as_pandas_rounds_it() -> None:
    """Sums of floats: the last bit depends on where in the column its NULLs are."""
    numbers = np.random.default_rng(3).integers(-(2**40), 2**40, 20_000)
    table = pa.table({"whole": pa.array(numbers, mask=numbers % 50 == 0)})
    narrow = gxe.ExpectColumnStdevToBeBetween(column="whole", max_value=0, **W)
    mean = gxe.ExpectColumnMeanToBeBetween(column="whole", max_value=0, **W)
    condition = gxe.ExpectColumnStdevToBeBetween(
        column="whole", max_value=0, row_condition=Column("whole") > -(2**41), **W
    )
    assert not compare(table, [narrow, mean, condition])


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ROW, max_size=12), st.integers(0, 70))
def test_some_questions_of_any_rows(rows: list[tuple[Any, ...]], first: int) -> None:
    compare(tables(rows), asked()[first::71])
