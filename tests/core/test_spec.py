"""model.yaml: what is refused, and that each refusal names the file, the key and the fix."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rescore.declared_values import duration_text
from rescore.errors import SpecError, UnknownModelError
from rescore.folder import ModelFolder, find_models, load_model
from rescore.spec import DriftSpec, ModelSpec, ScheduleSpec

MINIMAL = """
name: parcels
version: "1.0"
owner: logistics
source:
  connection: warehouse
  key: [depot, parcel]
  event_time: sent_at
  subject: [customer]
  known_by: {column: recorded_at}
features:
  - {name: weight, kind: numeric}
  - {name: depot, kind: categorical}
target: {name: late, kind: binary}
output: {unit: probability, meaning: chance to arrive late}
schedule: {cron: "0 4 * * *", timezone: America/New_York, start: 2024-01-01}
training: {intervals: 60, seed: 1}
"""

Write = Callable[..., ModelFolder]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write the folder with ``changes`` (dotted key to value, None deletes) and load it."""

    def put(changes: dict[str, Any] | None = None, text: str | None = None) -> ModelFolder:
        declared = yaml.safe_load(MINIMAL)
        for dotted, value in (changes or {}).items():
            *parents, last = dotted.split(".")
            place = declared
            for parent in parents:
                place = place.setdefault(parent, {})
            place.pop(last, None) if value is None else place.__setitem__(last, value)
        folder = tmp_path / "models" / "parcels"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.yaml").write_text(text if text is not None else yaml.safe_dump(declared))
        for name in ("extract.sql", "labels.sql", "pipeline.py", "expectations.py"):
            (folder / name).write_text(f"-- {name}")
        return load_model(tmp_path / "models", "parcels")

    return put


def test_few_keys_are_required(write: Write) -> None:
    folder = write()
    spec = folder.spec
    assert (folder.name, folder.extract_sql, folder.labels_sql) == (
        "parcels",
        "-- extract.sql",
        "-- labels.sql",
    )
    assert spec.input_columns == ["depot", "parcel", "sent_at", "customer", "weight"]
    assert spec.feature_names == ["weight", "depot"]
    assert spec.target.positive is True
    assert spec.schedule.empty == "error"
    assert spec.retention.frozen_inputs == timedelta(days=400)
    assert spec.source.known_by.reproducible_from_source


def test_a_date_without_a_zone_is_read_in_the_schedules_zone(write: Write) -> None:
    schedule = write({"schedule.end": "2025-01-01T00:00:00Z"}).spec.schedule.schedule()
    assert schedule.start is not None
    assert schedule.start.astimezone(UTC) == datetime(2024, 1, 1, 5, tzinfo=UTC)
    assert schedule.end == datetime(2025, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("7d", 604_800), ("2w", 1_209_600)],
)
def test_durations_have_units(write: Write, written: str, meant: int) -> None:
    spec = write({"source.statement_timeout": written}).spec
    assert spec.source.statement_timeout == timedelta(seconds=meant)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"owner": None}, "owner: missing"),
        ({"ownr": "x"}, "ownr: unknown key"),
        ({"name": "Parcels"}, "name: expected lower-case letters"),
        ({"version": "1"}, "version:"),
        ({"source.key": []}, "source.key:"),
        ({"source.key": ["depot", "depot"]}, "source.key names a column twice"),
        ({"source.known_by": None}, "source.known_by: missing"),
        ({"source.known_by": {"column": "a", "valid_range": ["b", "c"]}}, "not both"),
        ({"source.known_by": "none"}, "set training.from: frozen_inputs"),
        ({"source.ready": {}}, "exactly one of sql and asset"),
        ({"source.ready": {"sql": "SELECT true", "asset": "x"}}, "exactly one of sql and asset"),
        ({"source.statement_timeout": 30}, "expected a duration like 90s"),
        ({"source.statement_timeout": "5 parsecs"}, "expected a duration like 90s"),
        ({"features": []}, "features:"),
        ({"features": [{"name": "a", "kind": "number"}]}, "features.0.kind:"),
        ({"features": [{"name": "a", "kind": "text"}] * 2}, "feature 'a' is declared twice"),
        ({"features": [{"name": "late", "kind": "boolean"}]}, "that is a leak"),
        ({"features": [{"name": "interval_start", "kind": "datetime"}]}, "is a name of our own"),
        ({"schedule.cron": "@daily"}, "not a cron expression of five fields"),
        ({"schedule.cron": "0 25 * * *"}, "not a cron expression of five fields"),
        ({"schedule.timezone": "New York"}, "unknown time zone"),
        ({"training.holdout_intervals": 60}, "holdout_intervals must be smaller"),
        ({"training.seed": None}, "training.seed: missing"),
        ({"drift.false_alarm_rate": 0}, "drift.false_alarm_rate:"),
        ({"validation.max_quarantined_fraction": 2}, "validation.max_quarantined_fraction:"),
    ],
)
def test_a_wrong_key_is_named_with_its_file(write: Write, changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        write(changes)
    message = str(caught.value)
    assert problem in message
    assert "models/parcels/model.yaml" in (caught.value.where or "")
    assert caught.value.fix


def test_all_problems_come_at_once(write: Write) -> None:
    with pytest.raises(SpecError, match="3 problems") as caught:
        write({"owner": None, "ownr": "x", "schedule.timezone": "Mars"})
    assert len(caught.value.data["problems"]) == 3


@pytest.mark.parametrize("text", ["a: [", "- a list", ""])
def test_what_is_no_mapping(write: Write, text: str) -> None:
    with pytest.raises(SpecError, match=r"YAML|mapping"):
        write(text=text)


def test_without_history_training_is_from_frozen_inputs(write: Write) -> None:
    spec = write({"source.known_by": "none", "training.from": "frozen_inputs"}).spec
    assert not spec.source.known_by.reproducible_from_source
    assert spec.training.source == "frozen_inputs"


def test_an_unknown_model_is_answered_with_the_known_ones(write: Write, tmp_path: Path) -> None:
    write()
    with pytest.raises(UnknownModelError, match="no model 'parcel'") as caught:
        load_model(tmp_path / "models", "parcel")
    assert "parcels" in (caught.value.expected or "")
    assert caught.value.fix == "did you mean 'parcels'?"
    assert find_models(tmp_path / "models") == ["parcels"]


def test_the_folder_has_the_models_name(write: Write, tmp_path: Path) -> None:
    write()
    (tmp_path / "models" / "parcels").rename(tmp_path / "models" / "letters")
    with pytest.raises(SpecError, match="its folder is letters"):
        load_model(tmp_path / "models", "letters")


@pytest.mark.parametrize("name", ["extract.sql", "labels.sql", "pipeline.py", "expectations.py"])
def test_every_file_must_be_there(write: Write, tmp_path: Path, name: str) -> None:
    write()
    (tmp_path / "models" / "parcels" / name).unlink()
    with pytest.raises(SpecError, match=f"{name} is missing"):
        load_model(tmp_path / "models", "parcels")


def saved(write: Write, tmp_path: Path, name: str, content: bytes) -> ModelFolder:
    """The folder with one file saved as these bytes."""
    write()
    (tmp_path / "models" / "parcels" / name).write_bytes(content)
    return load_model(tmp_path / "models", "parcels")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_files_as_people_save_them(write: Write, tmp_path: Path, encoding: str, end: str) -> None:
    folder = saved(write, tmp_path, "extract.sql", f"SELECT 'é'{end}FROM t{end}".encode(encoding))
    assert folder.extract_sql == "SELECT 'é'\nFROM t\n"
    folder = saved(write, tmp_path, "model.yaml", MINIMAL.replace("\n", end).encode(encoding))
    assert folder.spec.owner == "logistics"


@pytest.mark.parametrize(
    ("content", "problem", "fix"),
    [
        (b"SELECT 1\n-- caf\xe9\n", "not UTF-8: byte 0xe9 in line 2", "save the file as UTF-8"),
        ("SELECT 1\n".encode("utf-16-le"), "a zero byte in line 1", "written as UTF-16"),
    ],
)
def test_another_encoding_is_named_with_its_line(
    write: Write, tmp_path: Path, content: bytes, problem: str, fix: str
) -> None:
    for name in ("extract.sql", "labels.sql", "model.yaml"):
        with pytest.raises(SpecError, match=problem) as caught:
            saved(write, tmp_path, name, content)
        assert f"parcels/{name}" in (caught.value.where or "")
        assert fix in (caught.value.fix or "")


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("{name: no, kind: boolean}", 'features.0.name: YAML reads no as false: write "no"'),
        ("{name: on, kind: boolean}", 'features.0.name: YAML reads on as true: write "on"'),
        ("{name: 2024, kind: numeric}", 'features.0.name: YAML reads 2024 as a number: write "2024"'),
        ("{name: 2024-01-01, kind: numeric}", 'YAML reads 2024-01-01 as a date: write "2024-01-01"'),
        ("{name: ~, kind: numeric}", 'YAML reads ~ as nothing: write "~"'),
        ("{name: a, kind: off}", 'features.0.kind: YAML reads off as false: write "off"'),
    ],
)
def test_words_that_yaml_reads_as_something_else(write: Write, written: str, problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        write(text=MINIMAL.replace("{name: weight, kind: numeric}", written))
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ('version: "1.0"', "version: 1.10", 'version: YAML reads 1.10 as a number: write "1.10"'),
        ("key: [depot, parcel]", "key: [2024]", 'source.key.0: YAML reads 2024 as a number: write "2024"'),
        ("owner: logistics", "owner: a\nowner: b", "the key 'owner' is given twice, in lines 4 and 5"),
        ("seed: 1}", "seed: 1, seed: 2}", "the key 'seed' is given twice"),
        ("start: 2024-01-01", "start: 2023-02-29", "day is out of range for month"),
        ("start: 2024-01-01", "start: 0001-01-01", "years 1 to 9999"),
        ("start: 2024-01-01", "start: 2024", "2024 is not a date, expected one like 2024-01-31"),
        ("start: 2024-01-01", "start: '20240131'", "'20240131' is not a date"),
        ("start: 2024-01-01", "start: 2024-01-02, end: 2024-01-01", "no run between"),
        (
            "kind: binary}",
            "kind: binary, delay: 99999999999w}",
            "target.delay: '99999999999w' is longer than",
        ),
        ('cron: "0 4 * * *"', 'cron: "0 4 30 2 *"', "comes round"),
        ("America/New_York", "America", "unknown time zone 'America'"),
        ("America/New_York", "../UTC", "unknown time zone"),
        ("seed: 1}", "seed: 1, hyperparameters: &a {b: *a}}", "stands inside of what it names"),
        ("seed: 1}", "seed: 1, hyperparameters: {? [a] : 1}}", "not valid YAML"),
        ("owner: logistics", "owner: " + "[" * 5000, "not valid YAML"),
        ("seed: 1}", f"seed: {'9' * 5000}}}", f"not valid YAML: '{'9' * 99}… "),
    ],
)
def test_what_a_file_can_hold(write: Write, before: str, after: str, problem: str) -> None:
    assert before in MINIMAL
    with pytest.raises(SpecError) as caught:
        write(text=MINIMAL.replace(before, after))
    assert problem in str(caught.value)
    assert "models/parcels/model.yaml" in (caught.value.where or "")
    assert caught.value.fix


@pytest.mark.parametrize("name", ["model.yaml", "extract.sql", "pipeline.py"])
def test_a_folder_or_a_dead_link_in_place_of_a_file(write: Write, tmp_path: Path, name: str) -> None:
    write()
    path = tmp_path / "models" / "parcels" / name
    path.unlink()
    path.mkdir()
    with pytest.raises(SpecError, match=f"{name} can't be read: Is a directory"):
        load_model(tmp_path / "models", "parcels")
    path.rmdir()
    path.symlink_to("nowhere")
    with pytest.raises(SpecError, match=f"{name} can't be read: No such file"):
        load_model(tmp_path / "models", "parcels")


@pytest.mark.parametrize("name", ["extract.sql", "pipeline.py"])
def test_what_never_ends_in_place_of_a_file(write: Write, tmp_path: Path, name: str) -> None:
    """Whoever waited for a pipe would wait with every model's DAGs."""
    write()
    path = tmp_path / "models" / "parcels" / name
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(SpecError, match=f"{name} can't be read: it is a pipe or a device"):
        load_model(tmp_path / "models", "parcels")
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(SpecError, match=f"{name} can't be read: it is a pipe or a device"):
        load_model(tmp_path / "models", "parcels")


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.dates()
    | st.datetimes()
    | st.text(max_size=8)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(declared: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every key and index in a declaration."""
    inner = declared.items() if isinstance(declared, dict) else enumerate(declared)
    found = []
    for key, value in inner:
        found.append((*above, key))
        if isinstance(value, dict | list):
            found += places(value, (*above, key))
    return found


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(places(yaml.safe_load(MINIMAL))), values)
def test_any_value_anywhere_is_taken_or_refused_by_name(
    write: Write, place: tuple[Any, ...], value: Any
) -> None:
    declared = yaml.safe_load(MINIMAL)
    inner = declared
    for part in place[:-1]:
        inner = inner[part]
    inner[place[-1]] = value
    try:
        write(text=yaml.safe_dump(declared, allow_unicode=True))
    except SpecError as error:
        assert error.where
        assert error.fix


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["model.yaml", "extract.sql", "labels.sql"]), st.binary(max_size=60), st.integers(0, 400)
)
def test_any_bytes_anywhere_are_taken_or_refused_by_name(
    write: Write, tmp_path: Path, name: str, some: bytes, position: int
) -> None:
    content = MINIMAL.encode()
    try:
        saved(write, tmp_path, name, content[:position] + some + content[position:])
    except SpecError as error:
        assert name in (error.where or "")
        assert error.fix


def test_an_end_in_the_last_year_is_none(write: Write) -> None:
    assert write({"schedule.end": "9999-12-31"}).spec.schedule.schedule().end is None


def test_what_determines_a_score_is_listed(write: Write, tmp_path: Path) -> None:
    folder = write({"shared_features": ["calendar"]})
    (folder.path / "README.md").write_text("x")
    for other in ("tests", "__pycache__"):
        (folder.path / other).mkdir()
        (folder.path / other / "test_x.py").write_text("x")
    with pytest.raises(SpecError, match="shared feature module 'calendar' does not exist"):
        folder.source_files()
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "calendar.py").write_text("y = 1")
    (tmp_path / "features" / "other.py").write_text("z = 1")
    files = folder.source_files()
    assert list(files) == sorted(files)
    assert set(files) == {
        "expectations.py", "extract.sql", "features/calendar.py", "labels.sql", "model.yaml", "pipeline.py"
    }  # fmt: skip
    assert files["features/calendar.py"] == b"y = 1"


def test_a_specification_does_not_change(write: Write) -> None:
    spec: ModelSpec = write().spec
    with pytest.raises(ValidationError, match="frozen"):
        spec.owner = "somebody else"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("start: 2024-01-01", "start: 2023-02-29", "'2023-02-29': day is out of range for month"),
        ("start: 2024-01-01", "start: 2024-01-01T25:00:00", "hour must be in 0..23"),
        ("seed: 1}", "seed: 1, max_age: 99999999999w}", "training.max_age: '99999999999w' is longer than"),
        ("0 4 * * *", "0 0 31 2 *", "no run of '0 0 31 2 *' is due"),
        ("start: 2024-01-01", "start: 0001-01-01", "no run of '0 4 * * *' is due"),
        ("owner: logistics", "owner: " + "[" * 3000, "not valid YAML"),
        ("owner: logistics", "owner: *nobody", "undefined alias"),
    ],
)
def test_a_value_that_a_parser_chokes_on_is_a_typed_error(
    write: Write, old: str, new: str, says: str
) -> None:
    with pytest.raises(SpecError) as caught:
        write(text=MINIMAL.replace(old, new))
    assert says in str(caught.value)
    assert "parcels/model.yaml" in (caught.value.where or "")
    assert caught.value.fix


@pytest.mark.parametrize("name", ["model.yaml", "extract.sql", "labels.sql"])
def test_a_file_that_is_not_utf8_is_named_with_the_line(write: Write, name: str) -> None:
    path = write().path / name
    path.write_bytes(path.read_bytes() + b"\n# caf\xe9\n")
    line = path.read_bytes().split(b"\xe9")[0].count(b"\n") + 1
    with pytest.raises(SpecError, match=f"{name} is not UTF-8: byte 0xe9 in line {line}") as caught:
        load_model(path.parents[1], "parcels")
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    ("declared", "verdict", "alarm", "acts"),
    [
        ({}, "drifted", False, True),
        ({}, "ok", True, False),
        ({"acts_on": "consequential"}, "drifted", False, False),
        ({"acts_on": "alarm"}, "ok", True, True),
        ({"acts_on": "alarm"}, "consequential", False, False),
        ({"on_drift": "nothing"}, "consequential", False, False),
        ({"on_drift": "nothing", "acts_on": "alarm"}, "ok", True, False),
        ({}, "outage", False, False),
    ],
)
def test_what_is_declared_says_at_which_verdict_something_is_asked_for(
    declared: dict[str, Any], verdict: str, alarm: bool, acts: bool
) -> None:
    assert DriftSpec(**declared).acts_at(verdict, alarm=alarm) is acts


@pytest.mark.parametrize("text", ["90s", "30m", "36h", "14d", "0.5s"])
def test_a_duration_is_shown_as_it_is_written(text: str) -> None:
    declared = ScheduleSpec.model_validate(
        {"cron": "0 4 * * *", "start": "2024-01-01", "publish_within": text}
    )
    assert declared.publish_within is not None
    assert duration_text(declared.publish_within) == text
