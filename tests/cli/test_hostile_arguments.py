"""Every command with hostile arguments: it ends as they end, says why as text, and writes where it may."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rescore.cli import main
from rescore.local import LocalPostgres
from rescore.store import Store
from tests.fuzz.hostile import fuzzed, hostile_texts, unsafe_characters
from tests.shared.command_line import ROOT
from tests.shared.fleet import Fleet
from tests.shared.logins import set_up_store, store_settings
from tests.shared.superuser import as_administrator

#: They start servers or a browser.
NOT_RUN = {"up", "down", "demo", "open"}
#: Options whose value is the caller's own file to write, wherever that is.
WRITES = {"--save", "--out"}
#: It asks the terminal.
NOT_GIVEN = {"--ask-password"}


def commands(group: Any = ROOT, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    """Each command in its words, and its parameters."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*above, name))
        elif name not in NOT_RUN:
            yield (*above, name), [one for one in command.params if not {"--help", *NOT_GIVEN} & {*one.opts}]


COMMANDS = dict(commands())


def argument(text: str) -> bool:
    """Whether a process can be given it."""
    try:
        return "\0" not in text and os.fsdecode(os.fsencode(text)) == text
    except UnicodeEncodeError:
        return False


@pytest.fixture(scope="module")
def home(postgres_server: LocalPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store with a model, and a folder to be in."""
    home = tmp_path_factory.mktemp("around") / "inside" / "home"
    home.mkdir(parents=True)
    url = postgres_server.create_database("cli_hostile", template="rescore_template")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("RESCORE_HOME", str(home))
        patch.setenv("RESCORE_MODELS", str(home / "models"))
        for name, value in store_settings(postgres_server, url).items():
            patch.setenv(name, value)
        set_up_store(postgres_server, url).close()
        with Store(as_administrator(url)) as store:  # which passes over triggers
            Fleet(store, home / "models").fill(1, 3)
            yield home


@fuzzed
@given(st.data())
def test_a_command_ends_as_commands_end(
    home: Path, capsys: pytest.CaptureFixture[str], data: st.DataObject
) -> None:
    [model] = [path.name for path in (home / "models").iterdir()]
    words, parameters = data.draw(st.sampled_from([*COMMANDS.items()]))
    values = st.one_of(hostile_texts, st.just(model)).filter(argument)
    given_words = [*words]
    for one in parameters:
        if one.opts[0].startswith("-") and not (one.required or data.draw(st.booleans())):
            continue
        given_words += [one.opts[0]] if one.opts[0].startswith("-") else []
        if not getattr(one, "is_flag", False):
            given_words.append("saved" if one.opts[0] in WRITES else data.draw(values))
    with pytest.raises(SystemExit) as ended:
        main(given_words)
    said = capsys.readouterr()
    assert ended.value.code in {None, 0, 1, 2, 3, 4}, given_words
    assert "Traceback" not in said.err + said.out
    if ended.value.code == 1:  # 2 is said by the parser of arguments
        assert unsafe_characters(said.err) == set(), repr(said.err)
    assert {*home.parents[1].rglob("*")} - {*home.rglob("*")} == {home.parent, home}
