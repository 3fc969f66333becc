"""A NULL changes nothing about the rows beside it: every expectation, on every type, with and without."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from rescore.validation import Validation, validate
from tests.validation.conftest import MakeModel, weather

MOMENT = datetime(2024, 1, 1, 6, tzinfo=UTC)
#: Type, values (each twice or more somewhere), and as Python text: one value, a low and a high one.
COLUMNS = {
    "int16": (pa.int16(), [10115, 7, 20095, 7, 512], "7", "512"),
    "int32": (pa.int32(), [10115, 7, 20095, 7, -512], "7", "20095"),
    "int64": (pa.int64(), [2**53 + 1, 2**53, 2**62, 7, 7], f"{2**53 + 1}", f"{2**53 + 1}"),
    "float": (pa.float64(), [1.5, 2.0, 2.0, 1e300, -0.25], "2.0", "2.0"),
    "bool": (pa.bool_(), [True, False, True, True, False], "True", "True"),
    "text": (pa.string(), ["10115", "7", "", "7", "2024-01-01"], "'7'", "'7'"),
    "date": (
        pa.date32(),
        [date(2024, 1, day) for day in (1, 5, 5, 9, 2)],
        "date(2024, 1, 5)",
        "date(2024, 1, 5)",
    ),
    "timestamp": (
        pa.timestamp("us", tz="UTC"),
        [MOMENT.replace(day=day) for day in (1, 5, 5, 9, 2)],
        "datetime(2024, 1, 5, 6, tzinfo=UTC)",
        "datetime(2024, 1, 5, 6, tzinfo=UTC)",
    ),
}
SUITE = """
from datetime import UTC, date, datetime
import great_expectations as gx
import great_expectations.expectations as gxe
from great_expectations.expectations.row_conditions import Column

def suite():
    v, high = {value}, {high}
    of = dict(column="gusts", severity="warning")
    two = dict(column_A="gusts", column_B="wind_speed", severity="warning")
    listed = dict(column_list=["gusts", "sky"], severity="warning", ignore_row_if="any_value_is_missing")
    return gx.ExpectationSuite(name="s", expectations=[
        gxe.ExpectColumnValuesToMatchRegex(regex="^[0-9]{{5}}$", **of),
        gxe.ExpectColumnValuesToMatchRegex(regex=".", **of),
        gxe.ExpectColumnValuesToNotMatchRegex(regex="0", **of),
        gxe.ExpectColumnValuesToMatchRegexList(regex_list=["^7$", "^1"], **of),
        gxe.ExpectColumnValuesToNotMatchRegexList(regex_list=["^7$", "^True"], **of),
        gxe.ExpectColumnValueLengthsToEqual(value=5, **of),
        gxe.ExpectColumnValueLengthsToBeBetween(min_value=1, max_value=30, **of),
        gxe.ExpectColumnValuesToBeOfType(type_="int64", **of),
        gxe.ExpectColumnValuesToBeOfType(type_="float64", **of),
        gxe.ExpectColumnValuesToBeOfType(type_="bool", **of),
        gxe.ExpectColumnValuesToBeOfType(type_="str", **of),
        gxe.ExpectColumnValuesToBeInTypeList(type_list=["int64", "float64"], **of),
        gxe.ExpectColumnTypeToBe(column="gusts", type_="int64", severity="warning"),
        gxe.ExpectColumnValuesToBeInSet(value_set=[v, high], **of),
        gxe.ExpectColumnValuesToNotBeInSet(value_set=[v], **of),
        gxe.ExpectColumnValuesToBeBetween(min_value=v, max_value=high, **of),
        gxe.ExpectColumnValuesToBeBetween(min_value=v, strict_min=True, mostly=0.3, **of),
        gxe.ExpectColumnValuesToBeUnique(**of),
        gxe.ExpectColumnValuesToBeUnique(mostly=0.4, **of),
        gxe.ExpectColumnValuesToBeIncreasing(**of),
        gxe.ExpectColumnValuesToBeDecreasing(strictly=True, **of),
        gxe.ExpectColumnValuesToMatchStrftimeFormat(strftime_format="%Y-%m-%d", **of),
        gxe.ExpectColumnValuesToBeDateutilParseable(**of),
        gxe.ExpectColumnValuesToBeJsonParseable(**of),
        gxe.ExpectColumnValueZScoresToBeLessThan(threshold=1, double_sided=True, **of),
        gxe.ExpectColumnMinToBeBetween(min_value=v, **of),
        gxe.ExpectColumnMaxToBeBetween(max_value=v, **of),
        gxe.ExpectColumnMeanToBeBetween(min_value=0, max_value=1, **of),
        gxe.ExpectColumnMedianToBeBetween(min_value=0, max_value=1, **of),
        gxe.ExpectColumnSumToBeBetween(min_value=0, max_value=3, **of),
        gxe.ExpectColumnUniqueValueCountToBeBetween(max_value=3, **of),
        gxe.ExpectColumnProportionOfUniqueValuesToBeBetween(min_value=0.5, **of),
        gxe.ExpectColumnDistinctValuesToBeInSet(value_set=[v, high], **of),
        gxe.ExpectColumnDistinctValuesToContainSet(value_set=[v], **of),
        gxe.ExpectColumnDistinctValuesToEqualSet(value_set=[v], **of),
        gxe.ExpectColumnMostCommonValueToBeInSet(value_set=[v], **of),
        gxe.ExpectColumnQuantileValuesToBeBetween(
            quantile_ranges={{"quantiles": [0.5], "value_ranges": [[v, high]]}}, **of),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(ignore_row_if="either_value_is_missing", **two),
        gxe.ExpectColumnPairValuesToBeEqual(ignore_row_if="either_value_is_missing", **two),
        gxe.ExpectColumnPairValuesToBeInSet(
            ignore_row_if="either_value_is_missing", value_pairs_set=[(v, 10.0), (v, 11.0)], **two),
        gxe.ExpectCompoundColumnsToBeUnique(**listed),
        gxe.ExpectSelectColumnValuesToBeUniqueWithinRecord(**listed),
        gxe.ExpectMulticolumnSumToEqual(
            column_list=["gusts", "wind_speed"], sum_total=17.0, severity="warning",
            ignore_row_if="any_value_is_missing"),
        gxe.ExpectColumnValuesToBeInSet(value_set=[v], row_condition=Column("sky") == "clear", **of),
        gxe.ExpectColumnValuesToBeUnique(row_condition=Column("gusts").is_not_null(), **of),
    ])
"""


def _judged(make_model: MakeModel, name: str, values: list[Any], rows: list[int]) -> Validation:
    kind, _, value, high = COLUMNS[name]
    folder = make_model(file=SUITE.format(value=value, high=high), fraction=1)
    table = weather(len(values), gusts=pa.array(values, kind))
    number = table.column_names.index("sky")
    table = table.set_column(number, "sky", pa.array(["clear" if row % 3 else "fog" for row in rows]))
    speeds = pa.array([10.0 + row % 3 for row in rows])
    return validate(table.set_column(table.column_names.index("wind_speed"), "wind_speed", speeds), folder)


@pytest.mark.slow
# pandas makes objects of booleans beside a NULL: True - False is another thing there.
@pytest.mark.parametrize("name", [name for name in COLUMNS if name != "bool"])
def test_a_null_changes_nothing_about_other_rows(make_model: MakeModel, name: str) -> None:
    values = COLUMNS[name][1]
    at = [1, 2, 4, 6, 7]  # where they stand among NULLs
    with_nulls = [None] * 9
    for position, value in zip(at, values, strict=True):
        with_nulls[position] = value
    without = _judged(make_model, name, values, at)
    beside = _judged(make_model, name, with_nulls, list(range(9)))
    expected = [one for one in without.results if one.origin == "model"]
    got = [one for one in beside.results if one.origin == "model"]
    for one, other in zip(expected, got, strict=True):
        assert (one.type, one.success, one.unexpected_count, one.observed, one.error is None) == (
            other.type, other.success, other.unexpected_count, other.observed, other.error is None,
        ), other.message  # fmt: skip
    assert {at[position]: why for position, why in without.quarantined.items()} == beside.quarantined
    assert 0 < sum(one.success for one in expected) < len(expected)


def test_integer_codes_beside_a_null_are_codes(make_model: MakeModel) -> None:
    folder = make_model(
        """
        gxe.ExpectColumnValuesToMatchRegex(column="gusts", regex="^[0-9]{5}$", severity="warning"),
        gxe.ExpectColumnValueLengthsToEqual(column="gusts", value=5, severity="warning"),
        gxe.ExpectColumnValuesToNotMatchRegex(column="gusts", regex=r"\\.0$", severity="critical"),
        gxe.ExpectColumnValuesToBeOfType(column="gusts", type_="int64", severity="critical"),
        gxe.ExpectColumnValuesToBeInTypeList(column="gusts", type_list=["int32"], severity="critical"),
        gxe.ExpectColumnTypeToBe(column="gusts", type_="int64", severity="critical"),
        """,
        fraction=1,
    )
    judged = validate(weather(4, gusts=[10115, None, 20095, 512]), folder)
    assert list(judged.quarantined) == [3]
    assert not judged.failed("critical")
    assert validate(weather(2, gusts=[None, None]), folder).success
    folder = make_model(
        'gxe.ExpectColumnValuesToBeOfType(column="gusts", type_="float64", severity="critical")', fraction=1
    )
    assert validate(weather(3, gusts=[5, None, 7]), folder).failed("critical")
