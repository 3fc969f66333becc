"""What the documentation names exists."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from rescore.cli import app
from rescore.local import SINGLE_THREADED
from rescore.spec import ModelSpec
from rescore.store.schema.tables import metadata

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
MAKEFILE = (ROOT / "Makefile").read_text()


def _texts(pattern: str) -> list[tuple[str, str]]:
    return sorted({(page.name, found) for page in PAGES for found in re.findall(pattern, page.read_text())})


@pytest.mark.parametrize(("page", "line"), _texts(r"(?:^|`|bin/)rescore ([a-z][^`\n#]*)"))
def test_every_command_exists_with_its_options(page, line):
    command = get_command(app)
    for word in line.split():
        if not hasattr(command, "commands") or word not in command.commands:
            break
        command = command.commands[word]
    assert not hasattr(command, "commands"), f"{page}: rescore {line} is no command"
    known = {option for parameter in command.params for option in parameter.opts}
    assert set(re.findall(r"(?<!\S)--[a-z-]+", line)) <= known


@pytest.mark.parametrize(("page", "target"), _texts(r"(?:`|^)make ([a-z][a-z.-]+)"))
def test_every_make_target_exists(page, target):
    assert re.search(rf"^{re.escape(target)}:", MAKEFILE, re.MULTILINE), f"{page}: make {target}"


@pytest.mark.parametrize(("page", "link"), _texts(r"\]\(((?!http)[^)#]+)\)"))
def test_every_link_leads_somewhere(page, link):
    bases = [path.parent for path in PAGES if path.name == page]
    assert any((base / link).exists() for base in bases), f"{page}: {link}"


def test_the_smallest_model_of_the_guide_is_a_model():
    guide = (ROOT / "docs" / "guides" / "add-a-model.md").read_text()
    [declared] = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    assert ModelSpec.model_validate(yaml.safe_load(declared)).name == "house_price"


def test_every_environment_variable_of_the_guides_is_read_somewhere():
    code = "\n".join(path.read_text() for path in (ROOT / "include").rglob("*.py"))
    examples = {"RESCORE_CONNECTION_SALES", "RESCORE_CONNECTION_SHOP"}
    named = {name for _, name in _texts(r"(RESCORE_[A-Z_]+[A-Z])")} - examples
    missing = {name for name in named if name not in code and not name.startswith("RESCORE_TEST")}
    assert missing == set()


@pytest.mark.parametrize(
    "file", ["Makefile", "Dockerfile", "docker-compose.yaml", "docs/guides/install-into-airflow.md"]
)
def test_the_thread_variables_are_the_same_wherever_they_are_set(file):
    assert set(re.findall(r"\b[A-Z]+_(?:NUM|MAXIMUM)_THREADS\b", (ROOT / file).read_text())) == set(
        SINGLE_THREADED
    )


#: Folders whose content belongs to a user, to a model folder in general or to git, not to this checkout.
ELSEWHERE = ("var/", "dist/", "inputs/", "packages/", "_data/")
_PATH = r"`((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:py|md|toml|yaml|txt|sh))`"
_MODULE = r"`(rescore(?:_airflow)?(?:\.[A-Za-z_]\w*)+)(?:\(\))?`"
MODEL_FILES = {path.name for path in (ROOT / "include" / "models" / "flight_delay").iterdir()} | {
    "model.joblib"
}


@pytest.mark.parametrize(("page", "path"), _texts(_PATH))
def test_every_path_exists(page, path):
    if path.startswith(ELSEWHERE) or path in MODEL_FILES:
        return
    folders = (
        "",
        "dags",
        "docs",
        "include",
        "include/rescore",
        "include/rescore/model",
        "include/rescore_airflow",
    )
    assert any((ROOT / folder / path).exists() for folder in folders), f"{page}: {path}"


@pytest.mark.parametrize(("page", "name"), _texts(_MODULE))
def test_every_module_and_name_exists(page, name):
    parts = name.split(".")
    if parts[0] == "rescore" and len(parts) == 2 and name in metadata.tables:
        return
    for length in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[length:]:
            thing = getattr(thing, attribute, None) or thing.model_fields[attribute]
        return
    raise AssertionError(f"{page}: {name}")
