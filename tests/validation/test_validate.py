"""What a suite finds, and what becomes of the rows: real Great Expectations on real tables."""

from __future__ import annotations

import json
import math

import pyarrow as pa
import pytest

from rescore.errors import ValidationError
from rescore.validation import (
    ExpectationResult,
    Validation,
    ValidationReport,
    gate,
    validate,
)
from tests.validation.conftest import HEADER, WIND, MakeModel, replaced, weather


def model_results(report: Validation) -> list[ExpectationResult]:
    return [result for result in report.results if result.origin == "model"]


def test_clean_rows_pass_and_are_all_scored(make_model: MakeModel) -> None:
    folder = make_model(WIND.format("critical"))
    report = validate(weather(), folder)
    gate(report, folder.spec)
    assert report.success and report.scored == report.rows == 100
    assert not report.failed()
    assert "100 rows: 100 to score, 0 quarantined, 0 rejected" in report.summary()
    [wind] = model_results(report)
    assert wind.message == "wind_speed: none of 100 rows outside [0, 150]"
    assert wind.parameters == {"column": "wind_speed", "min_value": 0, "max_value": 150}


def test_a_critical_failure_blocks_and_says_what_it_saw(make_model: MakeModel) -> None:
    folder = make_model(WIND.format("critical"))
    report = validate(replaced(weather(), "wind_speed", {3: 1048.36}), folder)
    assert not report.success
    assert not report.quarantined
    [wind] = model_results(report)
    assert wind.message == "wind_speed: 1 of 100 rows (1.0 %) outside [0, 150]; e.g. 1048.36"
    assert (wind.unexpected_count, wind.unexpected_fraction) == (1, 0.01)
    with pytest.raises(ValidationError) as caught:
        gate(report, folder.spec)
    assert "1048.36" in str(caught.value)
    assert caught.value.data == report.report().to_dict()


def test_a_warning_quarantines_the_very_rows_with_all_their_reasons(make_model: MakeModel) -> None:
    folder = make_model(
        f"{WIND.format('warning')}, gxe.ExpectColumnValuesToBeInSet("
        'column="sky", value_set=["clear", "cloudy"], severity="warning")'
    )
    table = replaced(weather(), "wind_speed", {7: -3.0, 60: 1048.36})
    table = replaced(table, "sky", {60: "green", 61: None})
    report = validate(table, folder)
    gate(report, folder.spec)
    assert report.success
    assert report.quarantined == {
        7: "wind_speed outside [0, 150]",
        60: "wind_speed outside [0, 150]; sky not in {clear, cloudy}",
    }
    assert report.scored == 98
    excluded = report.excluded(table, folder.spec.source.key)
    assert excluded.to_pylist()[1] == {
        "station": "EWR",
        "reading": 60,
        "kind": "quarantined",
        "reason": "wind_speed outside [0, 150]; sky not in {clear, cloudy}",
    }
    assert excluded.schema.field("reading").type == pa.int64()


def test_a_whole_number_that_no_float_holds_rejects_its_row(make_model: MakeModel) -> None:
    folder = make_model(WIND.format("critical"))
    name = "wind_speed"
    values = pa.array([-(2**53) - 1, 2**53, None, *[7] * 97], pa.int64())
    table = weather().set_column(weather().column_names.index(name), name, values)
    report = validate(table, make_model(WIND.format("info")))
    assert report.rejected == {0: "wind_speed is too large to be exact (beyond 2**53)"}
    assert report.scored == 99
    assert not any("exact" in result.message for result in validate(weather(), folder).results)


def test_info_is_recorded_and_does_nothing(make_model: MakeModel) -> None:
    folder = make_model(WIND.format("info"))
    report = validate(replaced(weather(), "wind_speed", {3: 1048.36}), folder)
    gate(report, folder.spec)
    assert report.success and report.scored == 100
    assert [result.severity for result in report.failed()] == ["info"]
    assert "(failed: 1 info)" in report.summary()


def test_more_rows_than_declared_stop_the_run(make_model: MakeModel) -> None:
    folder = make_model(WIND.format("warning"), fraction=0.05)
    five = dict.fromkeys(range(5), -1.0)
    report = validate(replaced(weather(), "wind_speed", five), folder)
    gate(report, folder.spec)
    assert report.success
    report = validate(replaced(weather(), "wind_speed", {**five, 5: -1.0}), folder)
    assert not report.failed("critical")  # it is the count that stops it
    assert not report.success  # or a retry would take the run for one that may go on
    with pytest.raises(ValidationError, match="6 of 100 rows") as caught:
        gate(report, folder.spec)
    assert "6 rows: wind_speed outside [0, 150]" in str(caught.value)
    assert "at most 5.0 %" in str(caught.value)


def test_rejected_rows_count_as_set_aside(make_model: MakeModel) -> None:
    folder = make_model(fraction=0.05)
    table = replaced(weather(), "pressure", dict.fromkeys(range(6)))
    with pytest.raises(ValidationError, match="6 of 100 rows"):
        gate(validate(table, folder), folder.spec)


def test_what_the_model_cannot_score_is_rejected_not_quarantined(make_model: MakeModel) -> None:
    folder = make_model(WIND.format("warning"), fraction=0.5)
    table = replaced(weather(), "wind_speed", {0: math.inf, 1: -math.inf, 2: math.nan, 3: None, 4: 200.0})
    table = replaced(table, "pressure", {1: None, 5: math.nan})
    report = validate(table, folder)
    assert report.rejected == {
        0: "wind_speed is infinite",
        1: "pressure is required and missing; wind_speed is infinite",
        5: "pressure is required and missing",
    }
    assert report.quarantined == {4: "wind_speed outside [0, 150]"}
    assert report.scored == 96
    nan = [result for result in report.results if result.type == "expect_column_values_to_not_be_nan"]
    assert [(result.column, result.severity, result.unexpected_count) for result in nan] == [
        ("wind_speed", "info", 1),
        ("pressure", "info", 1),
    ]


def test_mostly_tolerates_what_it_says_and_no_more(make_model: MakeModel) -> None:
    tolerant = WIND.format("warning").replace("severity", "mostly=0.98, severity")
    folder = make_model(tolerant, fraction=0.5)
    two = {0: -1.0, 1: -1.0}
    met = validate(replaced(weather(), "wind_speed", two), folder)
    assert not met.quarantined
    assert model_results(met)[0].unexpected_count == 2
    failed = validate(replaced(weather(), "wind_speed", {**two, 2: -1.0}), folder)
    assert sorted(failed.quarantined) == [0, 1, 2]
    assert "at least 98.0 % of the rows" in model_results(failed)[0].message


def test_positions_are_those_of_the_table_behind_a_row_condition(make_model: MakeModel) -> None:
    folder = make_model(
        file=HEADER
        + """
from great_expectations.expectations.row_conditions import Column

def suite():
    return gx.ExpectationSuite(name="w", expectations=[
        gxe.ExpectColumnValuesToBeBetween(
            column="wind_speed", max_value=50, row_condition=Column("sky") == "clear", severity="warning"),
    ])
"""
    )
    table = replaced(weather(), "wind_speed", {10: 60.0, 20: 60.0, 30: None})
    table = replaced(table, "sky", {5: "cloudy", 10: "cloudy"})
    assert validate(table, folder).quarantined == {20: "wind_speed above 50 (where sky == clear)"}


def test_several_columns_and_the_whole_table(make_model: MakeModel) -> None:
    folder = make_model(
        """
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="pressure", column_B="wind_speed", severity="warning"),
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["station", "observer"], severity="warning"),
        gxe.ExpectTableRowCountToBeBetween(min_value=500, severity="info"),
        gxe.ExpectTableColumnsToMatchSet(column_set=["station"], exact_match=False, severity="critical"),
        gxe.ExpectColumnMeanToBeBetween(column="wind_speed", min_value=0, max_value=5, severity="warning"),
        """
    )
    table = replaced(weather(), "pressure", {4: 1.0})
    table = replaced(table, "observer", {8: "person 9"})
    report = validate(table, folder)
    assert report.quarantined == {
        4: "pressure, wind_speed with pressure not above wind_speed",
        8: "station, observer not unique together",
        9: "station, observer not unique together",
    }
    _, unique, count, columns, mean = model_results(report)
    assert "person" not in unique.message  # a subject's values are no examples
    assert count.message == "number of rows is 100, expected at least 500"
    assert columns.success
    assert not mean.success and mean.severity == "warning"  # no row is to blame, so none is set aside
    assert mean.message == "wind_speed: mean is 12.95, expected within [0, 5]"


def test_examples_never_show_free_text(make_model: MakeModel) -> None:
    folder = make_model('gxe.ExpectColumnValuesToMatchRegex(column="remark", regex="^c", severity="info")')
    [remark] = model_results(validate(replaced(weather(), "remark", {0: "Ann was here"}), folder))
    assert remark.message == "remark: 1 of 100 rows (1.0 %) not like /^c/"


QUOTING = f"""
{HEADER}


class Quoting(gxe.ExpectColumnMaxToBeBetween):
    def _validate(self, metrics, **options):
        raise ValueError(f"what is this: {{metrics}}")


def suite():
    return gx.ExpectationSuite(name="w", expectations=[{{asked}}])
"""


@pytest.mark.parametrize(
    "expectation",
    [
        'gxe.ExpectColumnMostCommonValueToBeInSet(column="observer", value_set=["nobody"], severity="info")',
        'Quoting(column="reading", max_value=1, severity="info")',
        'gxe.ExpectColumnMaxToBeBetween(column="reading", max_value=1, severity="info")',
        'gxe.ExpectColumnQuantileValuesToBeBetween(column="reading", quantile_ranges='
        '{"quantiles": [1.0], "value_ranges": [[0, 1]]}, severity="info")',
    ],
)
def test_a_report_holds_no_value_of_a_column_that_may_name_a_person(
    make_model: MakeModel, expectation: str
) -> None:
    named = replaced(weather(), "observer", dict.fromkeys(range(100), "Ann Example"))
    named = replaced(named, "reading", {7: 70_123_457})
    report = validate(named, make_model(file=QUOTING.replace("{asked}", expectation)))
    [asked] = model_results(report)
    assert not asked.success
    stored = json.dumps(report.report().to_dict())
    assert not [value for value in ("Ann", "70123457", "70,123,457") if value in stored]


@pytest.mark.parametrize(
    ("expectation", "says"),
    [
        ('gxe.ExpectColumnMeanToBeBetween(column="sky", min_value=0, severity="info")', "sky"),
        ('gxe.ExpectColumnValuesToBeBetween(column="sky", min_value=0, severity="warning")', "sky"),
        (
            'gxe.UnexpectedRowsExpectation(unexpected_rows_query="SELECT 1", severity="info")',
            "could not be evaluated",
        ),
    ],
)
def test_what_cannot_be_evaluated_blocks(make_model: MakeModel, expectation: str, says: str) -> None:
    folder = make_model(f"{expectation}, {WIND.format('warning')}")
    report = validate(replaced(weather(), "wind_speed", {9: -1.0}), folder)
    broken, wind = model_results(report)
    assert (broken.success, broken.severity) == (False, "critical")
    assert broken.error and "could not be evaluated" in broken.message and says in broken.message
    assert report.quarantined == {9: "wind_speed outside [0, 150]"}  # the others are still told
    assert not wind.error
    with pytest.raises(ValidationError, match="1 critical expectation failed"):
        gate(report, folder.spec)


def test_an_empty_table_fails_unless_the_model_publishes_it(make_model: MakeModel) -> None:
    suite = (
        f"{WIND.format('critical')}, gxe.ExpectColumnMeanToBeBetween("
        'column="wind_speed", min_value=0, severity="critical"),'
        'gxe.ExpectTableColumnCountToEqual(value=10, severity="critical")'
    )
    refused = make_model(suite)
    report = validate(weather(0), refused)
    assert [result.message for result in report.failed()] == ["no row at all"]
    with pytest.raises(ValidationError):
        gate(report, refused.spec)
    allowed = make_model(suite, empty="publish")
    report = validate(weather(0), allowed)
    gate(report, allowed.spec)
    assert (report.rows, report.scored, report.set_aside_fraction) == (0, 0, 0.0)


def test_columns_that_differ_are_named_and_nothing_passes_for_their_absence(make_model: MakeModel) -> None:
    folder = make_model(WIND.format("info"))
    report = validate(
        weather().drop_columns(["wind_speed"]).append_column("wind", pa.array([0] * 100)), folder
    )
    assert not report.success
    assert report.results[0].message == (
        "columns differ from model.yaml: missing wind_speed; not declared wind"
    )
    [wind] = model_results(report)
    assert wind.severity == "critical" and "the table has no column wind_speed" in wind.message


@pytest.mark.parametrize(
    ("column", "changes", "message"),
    [
        ("reading", {5: None}, "reading: 1 of 100 rows (1.0 %) missing"),
        ("measured_at", {5: None}, "measured_at: 1 of 100 rows (1.0 %) missing"),
        ("reading", {5: 4}, "station, reading: 1 of 100 rows (1.0 %) with the key of another row"),
        ("station", {99: "AAA"}, ""),  # out of order, yet unique
    ],
)
def test_keys_and_times_are_recorded_again(
    make_model: MakeModel, column: str, changes: dict[int, object], message: str
) -> None:
    report = validate(replaced(weather(), column, changes), make_model())
    assert [result.message for result in report.failed("critical")] == ([message] if message else [])


@pytest.mark.parametrize(
    "keys",
    [
        pa.array([True, False]),
        pa.array(["2013-01-02", "2013-01-01"]),
        pa.array([2, 1], pa.timestamp("us", tz="UTC")),
        pa.array([2, 1], pa.date32()),
    ],
)
def test_every_kind_of_key_can_be_compared(make_model: MakeModel, keys: pa.Array) -> None:
    folder = make_model()
    assert validate(weather(2, station=keys), folder).success
    again = weather(2, station=keys.take(pa.array([0, 0])), reading=[7, 7])
    assert not validate(again, folder).success


def test_whole_numbers_with_nulls_stay_exact(make_model: MakeModel) -> None:
    big = 2**53
    folder = make_model(
        f'gxe.ExpectColumnValuesToBeInSet(column="gusts", value_set=[{big}], severity="warning")', fraction=1
    )
    table = weather(3, gusts=pa.array([big, big + 1, None], pa.int64()))
    report = validate(table, folder)
    [gusts] = model_results(report)
    assert gusts.unexpected_count == 1
    assert report.excluded_positions == [1]


def test_times_and_truth_values_can_be_expected(make_model: MakeModel) -> None:
    folder = make_model(
        file=HEADER
        + """
from datetime import UTC, datetime
from itertools import pairwise

def suite():
    return gx.ExpectationSuite(name="w", expectations=[
        gxe.ExpectColumnValuesToBeBetween(
            column="measured_at", min_value=datetime(2013, 4, 1, 8, 0, 2, tzinfo=UTC), severity="warning"),
        gxe.ExpectColumnValuesToBeInSet(column="foggy", value_set=[False], severity="warning"),
    ])
"""
    )
    table = replaced(weather(), "foggy", {50: True, 51: None})
    report = validate(table, folder)
    assert sorted(report.quarantined) == [0, 1, 50]
    assert report.quarantined[0] == "measured_at below 2013-04-01T08:00:02+00:00"


def test_a_report_is_json_and_the_same_each_time(make_model: MakeModel) -> None:
    folder = make_model(
        f"""
        {WIND.format("warning")},
        gxe.ExpectColumnStdevToBeBetween(column="wind_speed", max_value=1, severity="info"),
        gxe.ExpectColumnQuantileValuesToBeBetween(column="wind_speed", severity="info", quantile_ranges=
            {{"quantiles": [0.5], "value_ranges": [[0, 1]]}}),
        gxe.ExpectColumnDistinctValuesToBeInSet(column="sky", value_set=["a", "b", "c"], severity="info"),
        gxe.ExpectColumnMostCommonValueToBeInSet(column="sky", value_set=["b"], severity="info"),
        gxe.ExpectColumnMaxToBeBetween(column="gusts", max_value=1, severity="info"),
        """
    )
    table = replaced(weather(), "wind_speed", {9: -1.0, 4: 1048.36})
    table = replaced(table, "gusts", {0: None})
    first, second = validate(table, folder), validate(table, folder)
    text = json.dumps(first.report().to_dict(), allow_nan=False)
    assert text == json.dumps(second.report().to_dict(), allow_nan=False)
    assert [result.type for result in model_results(first)] == [
        "expect_column_values_to_be_between",
        "expect_column_stdev_to_be_between",
        "expect_column_quantile_values_to_be_between",
        "expect_column_distinct_values_to_be_in_set",
        "expect_column_most_common_value_to_be_in_set",
        "expect_column_max_to_be_between",
    ]
    assert list(first.quarantined) == [4, 9]
    assert first.report().to_dict()["reasons"]["quarantined"] == {"wind_speed outside [0, 150]": 2}


def test_a_stored_report_is_read_back_whole(make_model: MakeModel) -> None:
    folder = make_model(WIND.format("warning"))
    stored = validate(replaced(weather(), "wind_speed", {3: -1.0}), folder).report().to_dict()
    assert (stored["format"], stored["rows"], stored["quarantined"]) == (1, 100, 1)
    later = {**stored, "asked_by": "a later release", "results": [{**stored["results"][0], "seconds": 2}]}
    read = ValidationReport.from_dict(later)
    assert read.to_dict() == later
    assert read.reasons.most_first() == ["1 row: wind_speed outside [0, 150]"]
