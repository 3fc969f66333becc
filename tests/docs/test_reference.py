"""The reference that `make docs` writes has everything that the code has, with its meaning."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from rescore import errors
from rescore.cli import app
from rescore.local import LocalPostgres
from rescore.spec import ModelSpec
from scripts.build_docs import fetched_elsewhere
from scripts.reference import PAGES, consumer_views
from scripts.reference.command_line import commands
from scripts.reference.environment import variables
from scripts.reference.errors import tree
from scripts.reference.model_yaml import meanings, sections
from tests.shared.logins import set_up_store

ROOT = Path(__file__).parents[2]
#: Variables that only a person's own compose file, or an example, has.
EXAMPLES = {f"RESCORE_CONNECTION_{name}" for name in ("", "MY_SHOP", "AMES_SOURCE", "FLIGHTS_SOURCE")}


def test_every_key_of_model_yaml_has_its_meaning() -> None:
    parts = dict(sections(ModelSpec))
    assert {"source.ready", "features[]", "airflow.notify[]"} <= set(parts)
    lacking = [
        f"{path}.{name}"
        for path, kind in parts.items()
        for name in kind.model_fields
        if name not in meanings(kind)
    ]
    assert lacking == [], "write a docstring below the key"


def test_keys_come_with_type_default_and_bounds() -> None:
    page = PAGES["model-yaml.md"]()
    for line in (
        "| `from` | `source` or `frozen_inputs` | `source` |",
        "| `name` | name | needed |",
        "| `snapshot_max_age` | duration | `2h` |",
        "| `holdout_intervals` | integer, at least 0 | `0` |",
        "| `key` | list of text, at least 1 of them | needed |",
    ):
        assert line in page


def test_every_command_is_there_with_its_options() -> None:
    page = PAGES["command-line.md"]()
    for path, command in commands(get_command(app)):
        section = page.split(f"### rescore {' '.join(path)}\n")[1].split("\n### ")[0]
        for parameter in command.params:
            assert parameter.help, f"rescore {' '.join(path)} {parameter.name} has no help"
            assert all(option in section for option in parameter.opts if option.startswith("-"))


def test_the_tree_of_errors_is_the_one_that_is_drawn() -> None:
    drawn = re.findall(r"^[ │├└─]*(\w+Error)\b", errors.__doc__ or "", re.MULTILINE)
    found = [kind.__name__ for _, kind in tree(errors.RescoreError)]
    assert found == drawn
    assert set(found) == set(errors.__all__)
    page = PAGES["errors.md"]()
    assert all(kind.__doc__ and f"`{kind.__name__}`" in page for _, kind in tree(errors.RescoreError))


def test_every_variable_that_the_code_reads_has_its_meaning() -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "include").rglob("*.py"))
    read = set(re.findall(r"\bRESCORE_[A-Z_]+", code)) - EXAMPLES
    assert read == set(variables()) - {"RESCORE_CONNECTION_<ID>"}
    assert all(len(meaning) > 20 and meaning.endswith(".") for meaning in variables().values())


def test_every_param_of_every_dag_has_its_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESCORE_MODELS", str(ROOT / "include" / "models"))
    page = PAGES["dag-params.md"]()
    names = re.findall(r"^## `(.+)`$", page, re.MULTILINE)
    assert {"score_<model>", "train_<model>", "monitor_<model>", "publish_<model>"} <= set(names)
    assert {"reproduce", "maintain", "erase_subject"} <= set(names)
    rows = re.findall(r"^\| `(\w+)` \|(?:[^|]*\|){2} (.*) \|$", page, re.MULTILINE)
    assert {"as_of", "retrain", "approve", "run_id", "sample", "subject"} <= {name for name, _ in rows}
    assert all(len(meaning) > 20 for _, meaning in rows)


def test_every_column_of_every_view_has_its_type_and_its_meaning(
    postgres_server: LocalPostgres, database_url: str
) -> None:
    with set_up_store(postgres_server, database_url) as store:
        page = consumer_views(store)
    views = re.findall(r"^## scores\.(\w+)$", page, re.MULTILINE)
    assert views == ["gaps", "runs", "status", "model", "model_excluded", "model_history", "model_latest"]
    rows: list[Any] = re.findall(r"^\| `(\w+)` \| (.+?) \| (.*) \|$", page, re.MULTILINE)
    assert ("score", "double precision") in {(name, kind) for name, kind, _ in rows}
    assert [name for name, _, meaning in rows if not meaning] == []


def test_what_a_page_fetches_from_elsewhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<a href="https://example.org">a link</a><img src="flow.svg">'
        '<script async src="https://example.org/x.js"></script>'
        '<link rel="stylesheet" href="//example.org/x.css">'
    )
    (tmp_path / "b.css").write_text(
        "@font-face { src: url(https://example.org/x.woff2) } a { --x: url('y') }"
    )
    assert len(fetched_elsewhere(tmp_path)) == 3
