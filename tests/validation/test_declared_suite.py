"""A suite is read by Great Expectations once for each text of its file, and means the same afterwards."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rescore.errors import SpecError
from rescore.folder import ModelFolder, load_model
from rescore.validation import Suites, validate
from rescore.validation.declared import Declared
from tests.validation.conftest import HEADER, MakeModel, replaced, weather

SUITE = """
    gxe.ExpectColumnValuesToBeBetween(column="wind_speed", min_value=0, max_value=150.5, severity="warning"),
    gxe.ExpectColumnValuesToBeInSet(
        column="sky", value_set=["clear", "cloudy"], mostly=0.5, severity="critical", notes="by eye"),
    gxe.ExpectColumnMeanToBeBetween(column="gusts", min_value=0, max_value=1, severity="info"),
    gxe.ExpectColumnPairValuesAToBeGreaterThanB(
        column_A="pressure", column_B="wind_speed", ignore_row_if="neither", severity="warning"),
    gxe.ExpectTableRowCountToBeBetween(min_value=1, severity="critical"),
"""


def declared(folder: ModelFolder, kept: Path) -> list[Declared]:
    with Suites(kept).of(folder) as suite:
        return suite.declared


VALIDATES = """
import json, sys
from pathlib import Path
from rescore.folder import load_model
from rescore.validation import Suites, validate
from tests.validation.conftest import replaced, weather

table = replaced(weather(), "wind_speed", {7: -3.0, 60: 1048.36})
report = validate(table, load_model(Path(sys.argv[1]), "weather"), suites=Suites(Path(sys.argv[2])))
loaded = [name for name in ("great_expectations", "pandas") if name in sys.modules]
print(json.dumps([report.report().to_dict(), list(report.quarantined), loaded], default=str))
"""


def test_a_suite_that_was_kept_judges_the_same_without_great_expectations(
    make_model: MakeModel, tmp_path: Path
) -> None:
    folder = make_model(SUITE, fraction=0.5)
    table = replaced(weather(), "wind_speed", {7: -3.0, 60: 1048.36})
    by_great_expectations = validate(table, folder)
    first = validate(table, folder, suites=Suites(tmp_path / "kept"))
    assert first.report() == by_great_expectations.report()
    [kept] = (tmp_path / "kept").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o400
    done = subprocess.run(
        [sys.executable, "-c", VALIDATES, str(folder.path.parent), str(kept.parent)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    report, quarantined, loaded = json.loads(done.stdout)
    assert report == json.loads(json.dumps(by_great_expectations.report().to_dict(), default=str))
    assert quarantined == [7, 60]
    assert "great_expectations" not in loaded


def test_another_text_or_another_column_is_another_suite(make_model: MakeModel, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    first = declared(make_model(SUITE), kept)
    second = declared(make_model(SUITE.replace("150.5", "150")), kept)
    assert [one.parameters.get("max_value") for one in (first[0], second[0])] == [150.5, 150]
    assert len(list(kept.iterdir())) == 2
    folder = make_model(SUITE)
    yaml = folder.path / "model.yaml"
    yaml.write_text(yaml.read_text().replace("name: gusts", "name: squalls"))
    with pytest.raises(SpecError, match="gusts"):
        declared(load_model(folder.path.parent, "weather"), kept)


def test_what_was_not_written_whole_is_read_anew(make_model: MakeModel, tmp_path: Path) -> None:
    folder = make_model(SUITE)
    first = declared(folder, tmp_path / "kept")
    [path] = (tmp_path / "kept").iterdir()
    for text in ("", '[{"kind"', '[{"kind": "expect_column_to_exist"}]'):
        path.chmod(0o600)
        path.write_text(text)
        assert declared(folder, tmp_path / "kept") == first


@pytest.mark.parametrize(
    ("imports", "before"),
    [
        pytest.param("import os", "os.getcwd()", id="another-module"),
        pytest.param("from datetime import datetime", "datetime.now()", id="the-time"),
        pytest.param("", "open('/dev/null').close()", id="a-file"),
    ],
)
def test_what_could_say_something_else_is_asked_each_time(
    imports: str, before: str, make_model: MakeModel, tmp_path: Path
) -> None:
    suite = '    return gx.ExpectationSuite(name="w", expectations=[])'
    file = f"{imports}\n{HEADER}\ndef suite():\n    {before}\n{suite}\n"
    declared(make_model(file=file), tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
