"""A model's ``expectations.py`` runs in an interpreter of its own, and says the same there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rescore.errors import ModelError, SpecError
from rescore.folder import ModelFolder
from rescore.model import Child
from rescore.validation import Apart, Suites, validate, validate_each
from tests.validation.conftest import HEADER, MakeModel, frozen, replaced, weather

#: What only Great Expectations answers: a class of the model's own, a condition, a moment, a set of rows.
FILE = f"""
import json, os
from datetime import UTC, datetime
from great_expectations.expectations.row_conditions import Column
{HEADER}

class Gale(gxe.ExpectColumnMaxToBeBetween):
    def _validate(self, metrics, runtime_configuration=None, execution_engine=None):
        with open({{seen!r}}, "a") as file:
            file.write(json.dumps([os.getpid(), dict(os.environ)]) + "\\n")
        return super()._validate(metrics, runtime_configuration, execution_engine)


def suite():
    print('::rescore {{{{"answer": []}}}}', flush=True)
    with open({{seen!r}}, "a") as file:
        file.write(json.dumps([os.getpid(), dict(os.environ)]) + "\\n")
    return gx.ExpectationSuite(name="w", expectations=[
        Gale(column="wind_speed", max_value=100, severity="info"),
        gxe.ExpectColumnValuesToBeBetween(column="wind_speed", min_value=0, max_value=150, severity="warning",
                                          row_condition=Column("sky") == "clear"),
        gxe.ExpectColumnValuesToBeBetween(column="measured_at", min_value=datetime(2013, 1, 1, tzinfo=UTC),
                                          severity="critical"),
        gxe.ExpectColumnValuesToBeUnique(column="reading", severity="info"),
        gxe.ExpectColumnMeanToBeBetween(column="pressure", min_value=0, max_value=1, severity="info"),
        gxe.ExpectTableColumnCountToBeBetween(min_value=1, max_value=3, severity="info"),
    ])
"""


@pytest.fixture
def apart(tmp_path: Path) -> Suites:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Suites(tmp_path / "kept", Apart(Child, scratch))


def test_it_judges_the_same_and_sees_no_secret_of_the_parent(
    make_model: MakeModel, apart: Suites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESCORE_DATABASE_URL", "postgresql://worker:marked-secret@db/x")
    seen = tmp_path / "seen"
    folder = make_model(file=FILE.format(seen=str(seen)), fraction=0.5)
    tables = [replaced(weather(), "wind_speed", {7: -3.0, 60: 1048.36}), weather()]
    here = validate_each(tables, folder)
    seen.unlink()
    there = validate_each(tables, folder, suites=apart)
    assert [one.report() for one in there] == [one.report() for one in here]
    assert [one.quarantined for one in there] == [one.quarantined for one in here] != [{}, {}]
    looks = [json.loads(line) for line in seen.read_text().splitlines()]
    assert len(looks) >= 3, "the file ran, and its class was asked about both tables"
    for pid, environ in looks:
        assert pid != os.getpid()
        assert "marked-secret" not in str(environ) and not [name for name in environ if "RESCORE" in name]
    assert validate(frozen(tmp_path / "x.parquet", tables[0], 30), folder, suites=apart) == there[0]
    assert not list((tmp_path / "scratch").iterdir())


WRONG = (
    "def suite(:\n",
    HEADER + "def suite():\n    return 1 / 0\n",
    HEADER + "import sys\ndef suite():\n    sys.exit(5)\n",
    HEADER + "suite = None\n",
    HEADER + "def suite():\n    return gx.ExpectationSuite(name='w', expectations=["
    "gxe.ExpectColumnValuesToBeUnique(column='nowhere', severity='info')])\n",
)


@pytest.mark.parametrize("file", WRONG, ids=["syntax", "raises", "exits", "no-function", "no-column"])
def test_a_file_that_is_wrong_is_refused_in_the_same_words(
    file: str, make_model: MakeModel, apart: Suites
) -> None:
    folder = make_model(file=file)
    assert refusal(folder, apart) == refusal(folder, Suites())


def refusal(folder: ModelFolder, suites: Suites) -> dict[str, object]:
    with pytest.raises(SpecError) as caught:
        validate(weather(), folder, suites=suites)
    return caught.value.to_dict()


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("os._exit(5)", "exit code 5"),
        ("os._exit(0)", "without an answer"),
        ("os.kill(os.getpid(), 9)", "signal 9"),
    ],
)
def test_a_file_that_ends_its_process_ends_that_one_alone(
    end: str, said: str, make_model: MakeModel, apart: Suites
) -> None:
    folder = make_model(file=f"import os, sys\ndef suite():\n    {end}\n")
    with pytest.raises(ModelError, match=said):
        validate(weather(), folder, suites=apart)


FALSE = f"""
{HEADER}
import numpy
kept = numpy.save
numpy.save = lambda file, found, **options: kept(file, {{made}}, **options)


def suite():
    return gx.ExpectationSuite(name="w", expectations=[
        gxe.ExpectColumnValuesToBeUnique(column="sky", severity="info"),
    ])
"""


@pytest.mark.parametrize(
    "made",
    ["found + 1000", "found - 1000", "found[::-1].copy()", "found * 0", "found[:-1]", "found.repeat(2)"],
)
def test_rows_that_there_are_not_are_no_answer(made: str, make_model: MakeModel, apart: Suites) -> None:
    with pytest.raises(ModelError, match=r"expectations\.py|failing rows"):
        validate(weather(), make_model(file=FALSE.format(made=made)), suites=apart)
