"""Commands that errors and hints tell people to type: written so that they can be found, and accepted."""

from __future__ import annotations

import ast
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from typer.exceptions import TyperException

from rescore.cli import app
from rescore.errors import ParameterError
from tests.shared.command_line import PLACEHOLDERS, ROOT, accepted

INCLUDE = Path(__file__).parents[2] / "include"
#: Their texts are not errors: the demo shows a terminal, the templates are files.
OTHER_TEXTS = ("rescore/demo/", "rescore/authoring/file_templates", "rescore/store/schema/migrations/")


@cache
def texts() -> list[tuple[str, str]]:
    """Every text of the code that is no docstring, with its place; values filled in as ``loans``."""
    found = []
    for path in sorted(INCLUDE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        seen = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            text = None
            if isinstance(node, ast.JoinedStr):
                seen |= {id(part) for part in node.values}
                text = "".join(str(p.value) if isinstance(p, ast.Constant) else "loans" for p in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in seen:
                text = node.value
            if text is not None:
                found.append((f"{path.relative_to(INCLUDE)}:{node.lineno}", text))
    return found


COMMANDS = "|".join(ROOT.commands)
PRINTED = [
    pytest.param(match[1], id=f"{place} {match[1]}")
    for place, text in texts()
    if not place.startswith(OTHER_TEXTS)
    for match in re.finditer(rf"`(?:\.venv/bin/)?(rescore (?:{COMMANDS})\b[^`]*)`", text)
]


def test_commands_stand_between_backticks() -> None:
    loose = [
        (place, text)
        for place, text in texts()
        if re.search(rf"(?<![`/\w.])rescore (?:{COMMANDS})\b", text) and not place.startswith(OTHER_TEXTS)
    ]
    assert loose == []
    assert len(PRINTED) > 20


@pytest.mark.parametrize("printed", PRINTED)
def test_every_printed_command_is_accepted(printed: str) -> None:
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(printed)[1:]]
    accepted(words)
    if words[0] == "score":
        assert "--day" in words or {"--start", "--end"} <= set(words), "an interval has to be named"
    if words[0] == "reproduce":
        assert {"--run", "--model"} & set(words), "a run or a model has to be named"


@pytest.mark.parametrize("refused", [["publish", "RUN"], ["pin", "loans"], ["packages", "sign", "loans"]])
def test_a_command_that_lacks_an_option_is_not_accepted(refused: list[str]) -> None:
    with pytest.raises(TyperException, match="Missing parameter"):
        accepted(refused)


def test_reproduce_and_score_refuse_to_guess(owned_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESCORE_DATABASE_URL", owned_database)
    bounds = ["--start", "2013-04-01", "--end", "2013-04-02"]
    for arguments, says in [
        (["reproduce"], "nothing is named"),
        (["reproduce", "--run", "r", "--package", "1.0.0"], "--run and --package are given at once"),
        (["reproduce", "--model", "flight_delay", "--package", "1.0.0", "--day", "2013-04-01"], "at once"),
        (["score", "flight_delay"], "no interval"),
        (["score", "flight_delay", "--day", "2013-04-01", *bounds], "--day and --start or --end"),
    ]:
        with pytest.raises(ParameterError, match=says):
            app(arguments, standalone_mode=False)
