"""The files of a model folder: as people save them, and what can not be one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rescore.errors import SpecError, UnknownModelError
from rescore.folder import ModelFolder, find_models, load_model
from tests.core.conftest import MINIMAL, Write


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
        ("seed: 1}", "seed: 1, hyperparameters: &a {b: *a}}", "refers to a value that contains it"),
        ("seed: 1}", "seed: 1, hyperparameters: {? [a] : 1}}", "not valid YAML"),
        # libyaml's loader calls itself for each level: so many end the process, and every model's DAGs.
        ("owner: logistics", "owner: " + "[" * 100_000, "more than 100 levels of lists"),
        ("owner: logistics", "owner: " + "{a: " * 100_000, "more than 100 levels of lists"),
        ("owner: logistics", "owner:\n" + "- " * 100_000 + "a", "more than 100 levels of lists"),
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


def test_a_folder_that_nobody_may_enter_is_a_model_if_it_may_be_one(write: Write, tmp_path: Path) -> None:
    write()
    for name in ("lost+found", "tides"):  # a link to itself can't be looked into either
        (tmp_path / "models" / name).symlink_to(name)
    assert find_models(tmp_path / "models") == ["parcels", "tides"]


@pytest.mark.parametrize("name", ["model.yaml", "extract.sql", "pipeline.py"])
def test_a_folder_or_a_dead_link_in_place_of_a_file(write: Write, tmp_path: Path, name: str) -> None:
    write()
    path = tmp_path / "models" / "parcels" / name
    path.unlink()
    path.mkdir()
    with pytest.raises(SpecError, match=f"{name} can't be read: Is a directory"):
        load_model(tmp_path / "models", "parcels")
    path.rmdir()
    for target, said in (("nowhere", "No such file"), (name, "Too many levels of symbolic links")):
        path.symlink_to(target)
        assert find_models(tmp_path / "models") == ["parcels"]
        with pytest.raises(SpecError, match=f"{name} can't be read: {said}"):
            load_model(tmp_path / "models", "parcels")
        path.unlink()


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


@pytest.mark.parametrize("name", ["model.yaml", "extract.sql", "labels.sql"])
def test_a_file_that_is_not_utf8_is_named_with_the_line(write: Write, name: str) -> None:
    path = write().path / name
    path.write_bytes(path.read_bytes() + b"\n# caf\xe9\n")
    line = path.read_bytes().split(b"\xe9")[0].count(b"\n") + 1
    with pytest.raises(SpecError, match=f"{name} is not UTF-8: byte 0xe9 in line {line}") as caught:
        load_model(path.parents[1], "parcels")
    assert caught.value.where == str(path)
