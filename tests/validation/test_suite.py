"""Reading expectations.py: refusals name the file and the fix, and nothing is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from rescore.errors import SpecError
from rescore.validation import load_suite, validate
from rescore.validation.gx_engine import ephemeral_context
from tests.validation.conftest import HEADER, MakeModel, weather


def refusal(make_model: MakeModel, expectations: str = "", *, file: str | None = None) -> SpecError:
    with pytest.raises(SpecError) as caught:
        load_suite(make_model(expectations, file=file))
    assert "expectations.py" in str(caught.value.where)
    assert caught.value.fix
    return caught.value


def test_a_severity_left_out_is_refused_by_name(make_model: MakeModel) -> None:
    error = refusal(
        make_model,
        'gxe.ExpectColumnToExist(column="sky", severity="info"),'
        'gxe.ExpectColumnValuesToNotBeNull(column="gusts")',
    )
    assert error.what == "expectation 2, ExpectColumnValuesToNotBeNull of gusts, states no severity"
    assert "critical" in str(error.expected)


def test_a_severity_that_a_dict_may_have_left_out_is_refused(make_model: MakeModel) -> None:
    entry = '{{"type": "expect_column_values_to_not_be_null", "kwargs": {{"column": "sky"}}{}}}'
    assert "states no severity" in refusal(make_model, entry.format("")).what
    folder = make_model(entry.format(', "severity": "warning"'))
    assert load_suite(folder).expectations[0].severity.value == "warning"


def test_a_severity_in_an_own_class_is_explicit(make_model: MakeModel) -> None:
    folder = make_model(
        file=HEADER
        + """
from great_expectations.expectations.metadata_types import FailureSeverity

class ExpectPlausibleWind(gxe.ExpectColumnValuesToBeBetween):
    column: str = "wind_speed"
    max_value: float = 150
    severity: FailureSeverity = FailureSeverity.CRITICAL
    description: str = "more than a hurricane"

def suite():
    return gx.ExpectationSuite(name="w", expectations=[ExpectPlausibleWind()])
"""
    )
    for _ in range(2):  # read twice: its class is made twice
        [wind] = [result for result in validate(weather(), folder).results if result.origin == "model"]
        assert wind.success
        assert wind.message == "wind_speed: none of 100 rows above 150 — more than a hurricane"


@pytest.mark.parametrize(
    "expectation",
    [
        'gxe.ExpectColumnValuesToNotBeNull(column="wind", severity="info")',
        'gxe.ExpectColumnPairValuesToBeEqual(column_A="sky", column_B="wind", severity="info")',
        'gxe.ExpectCompoundColumnsToBeUnique(column_list=["sky", "wind"], severity="info")',
        'gxe.ExpectColumnToExist(column="sky", row_condition=Column("wind") == 1, severity="info")',
    ],
)
def test_an_unknown_column_is_refused(make_model: MakeModel, expectation: str) -> None:
    if "row_condition" in expectation:
        expectation = expectation.replace("ToExist", "ValuesToNotBeNull")
    condition = "from great_expectations.expectations.row_conditions import Column\n"
    suite = f'def suite():\n    return gx.ExpectationSuite(name="w", expectations=[{expectation}])\n'
    error = refusal(make_model, file=HEADER + condition + suite)
    assert error.what.endswith("names a column that the model does not have: wind")
    assert "wind_speed" in str(error.expected)


@pytest.mark.parametrize(
    ("file", "what", "line"),
    [
        ("def suite(:\n", "SyntaxError", 1),
        ("\nimport no_such_module\n", "no_such_module", 2),
        ("def suite():\n    return 1 / 0\n", "ZeroDivisionError", 2),
        (HEADER + "suite = None\n", "no function suite", None),
        ("def suite():\n    return []\n", "gave list, not an ExpectationSuite", None),
        (
            HEADER + "def suite():\n    return gx.ExpectationSuite(name='w', expectations=["
            "gxe.ExpectColumnValuesToBeBetween(column='sky', minimum=1, severity='info')])\n",
            "ValidationError",
            5,
        ),
    ],
)
def test_a_file_that_is_wrong_is_refused(
    make_model: MakeModel, file: str, what: str, line: int | None
) -> None:
    error = refusal(make_model, file=file)
    assert what in error.what
    if line:
        assert str(error.where).endswith(f"expectations.py, line {line}")


def test_an_expectation_that_is_silently_left_out_is_refused(make_model: MakeModel) -> None:
    error = refusal(make_model, '{"type": "expect_column_values_to_be_between", "kwargs": []}')
    assert "left it out" in error.what


@pytest.mark.parametrize(
    ("parameter", "says"),
    [
        ('strict_min={"$PARAMETER": "x"}', "takes strict_min from a suite parameter"),
        ('max_value={"$PARAMETER": "now()"}', "takes max_value from a suite parameter"),
        (r'description="\ud800"', "holds half of a surrogate pair in description"),
        (r'row_condition=Column("sky") == "\udfff"', "holds half of a surrogate pair in row_condition"),
    ],
)
def test_a_value_that_nobody_can_know_or_store_is_refused(
    make_model: MakeModel, parameter: str, says: str
) -> None:
    wind = f'gxe.ExpectColumnValuesToBeBetween(column="gusts", min_value=0, severity="info", {parameter})'
    condition = "from great_expectations.expectations.row_conditions import Column\n"
    suite = f'def suite():\n    return gx.ExpectationSuite(name="w", expectations=[{wind}])\n'
    error = refusal(make_model, file=HEADER + condition + suite)
    assert error.what == f"expectation 1, ExpectColumnValuesToBeBetween of gusts, {says}"
    str(error).encode()


def test_a_pair_whose_rule_is_a_suite_parameter_is_refused(make_model: MakeModel) -> None:
    error = refusal(
        make_model,
        'gxe.ExpectColumnPairValuesToBeEqual(column_A="gusts", column_B="pressure", severity="info", '
        'ignore_row_if={"$PARAMETER": "x"})',
    )
    assert "takes ignore_row_if from a suite parameter" in error.what


def test_nothing_is_left_behind(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TMPDIR", str(work))
    monkeypatch.chdir(work)
    folder = make_model('gxe.ExpectColumnValuesToNotBeNull(column="sky", severity="info")')
    files = sorted(tmp_path.rglob("*"))
    modules, path, showwarning = set(sys.modules), list(sys.path), warnings.showwarning
    environ = dict(os.environ)
    validate(weather(), folder)
    assert sorted(tmp_path.rglob("*")) == files
    assert not [name for name in set(sys.modules) - modules if "expectations" in name.split(".")[0]]
    assert (sys.path, warnings.showwarning, dict(os.environ)) == (path, showwarning, environ)
    assert capfd.readouterr() == ("", "")  # no progress bar


def test_a_context_that_someone_set_is_put_back() -> None:
    from great_expectations.data_context.data_context.context_factory import project_manager

    with ephemeral_context() as theirs:
        with ephemeral_context() as ours:
            assert project_manager.get_current_project() is ours
        assert project_manager.get_current_project() is theirs
        assert ours.progress_bars["globally"] is False
        assert ours.config.analytics_enabled is False


def test_importing_the_package_does_not_import_great_expectations() -> None:
    code = (
        "import sys, rescore.validation; "
        "print(sorted(name for name in ('great_expectations', 'pandas') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
