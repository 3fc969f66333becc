"""Hyperparameters reach build() as YAML has them, and the manifest tells them apart."""

from __future__ import annotations

import datetime
import json
import math
from pathlib import Path
from typing import Any

import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from rescore.model.manifest_writer import strict_json
from rescore.model.training import write_job
from rescore.model.yaml_numbers import numbers_as_text
from tests.model.parcels import write_folder

GIVEN = """
class_weight: {0: 1, 1: 5}
since: 2024-01-01
at: 2024-01-01 12:30:00
deep: {levels: [{1: a}, {true: b}], none: null, most: .inf}
text: "0"
"""


def written(home: Path, hyperparameters: dict[str, Any]) -> Any:
    folder = write_folder(home, training={"hyperparameters": hyperparameters})
    job = write_job(None, folder, home / "build", "fitted")
    return yaml.safe_load(json.loads(job.read_text())["hyperparameters"])


def test_they_keep_their_types_on_the_way_to_build(tmp_path: Path) -> None:
    declared = yaml.safe_load(GIVEN)
    found = written(tmp_path, declared)
    assert found == declared
    assert found["class_weight"] == {0: 1, 1: 5}
    assert found["since"] == datetime.date(2024, 1, 1)
    assert [type(key) for key in found["deep"]["levels"][1]] == [bool]


def test_the_manifest_tells_apart_what_json_would_not() -> None:
    declared = yaml.safe_load(GIVEN)
    found = strict_json(declared)
    assert found["class_weight"] == {"!map": [[0, 1], [1, 5]]}
    assert found["since"] == {"!date": "2024-01-01"}
    assert found["at"] == {"!datetime": "2024-01-01T12:30:00"}
    assert found["deep"]["most"] == {"!float": "inf"}
    assert found["text"] == "0"
    assert strict_json({"a": {1: 2}}) != strict_json({"a": {"1": 2}})
    assert strict_json({"C": 1.0, "names": ["x"]}) == {"C": 1.0, "names": ["x"]}
    assert json.dumps(strict_json({1: "a", 0: "b"})) == json.dumps(strict_json({0: "b", 1: "a"}))


@given(
    number=st.floats(allow_nan=False, allow_infinity=False),
    form=st.sampled_from(["{:e}", "{:.0e}", "{:E}", "{:.3e}"]),
)
def test_a_number_that_yaml_takes_for_a_text_is_told_as_yaml_takes_it(number: float, form: str) -> None:
    text = form.format(number).replace("e+", "e").replace("E+", "e")
    assume(math.isfinite(float(text)))  # rounded up beyond the largest
    read = yaml.safe_load(text)
    [*found] = numbers_as_text({"deep": [{"rate": read}]})
    if isinstance(read, float):
        assert found == []
    else:
        name, _, written = found[0].partition(f" is the text {text!r} to YAML: write ")
        assert name == "deep[0].rate"
        assert yaml.safe_load(written) == float(text)


def test_other_texts_are_texts() -> None:
    found = yaml.safe_load("{a: '1', b: log2, c: e5, d: 1.0e-3, e: 1e, f: 0x1e5, g: [adam, 12e], 3: x}")
    assert numbers_as_text(found) == []
