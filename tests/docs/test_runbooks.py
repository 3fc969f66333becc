"""Every alarm has a section that says what to do, and the commands in it run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import get_args, get_type_hints

import pytest

from rescore.cli import main
from rescore.cli.help_panels import EXIT_CODES
from rescore.local import LocalPostgres
from rescore.pipeline import Alarm
from rescore.report.model_states import Concern
from rescore.runbooks import runbook
from rescore.spec import NotifySpec
from tests.docs.test_commands import CHECKOUT, LINES, words
from tests.shared.fleet import Fleet
from tests.shared.fleet_by_command import fleet_by_command

PAGE = CHECKOUT / "docs/guides/runbooks.md"
SECTIONS = dict(re.findall(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.M | re.S))
WORDS = {
    *get_args(get_type_hints(Alarm)["kind"]),
    *get_args(Concern),
    *NotifySpec.model_fields["events"].default,
    *("drifted", "consequential", "outage", "alarm"),
}
#: What only reads the store, and so can be run here as it stands.
READS = ("models", "status", "runs", "drift", "performance", "alarms", "packages list")


@pytest.mark.parametrize("word", sorted(WORDS))
def test_every_word_of_an_alarm_has_a_section_that_says_all(word: str) -> None:
    page, anchor = runbook(word).split("#")
    assert CHECKOUT / page == PAGE
    said = SECTIONS[anchor]
    for part in ("**Look first.**", "**Do.**", "**Done when**"):
        assert said.count(part) == 1, (anchor, part)
    assert said.index("**Look first.**") < said.index("**Do.**") < said.index("**Done when**")


def test_every_section_is_of_something_and_links_lead_to_sections() -> None:
    assert {runbook(word).split("#")[1] for word in WORDS} == {*SECTIONS} - {"Exit codes"}
    assert set(re.findall(r"\]\(#(.*?)\)", PAGE.read_text())) <= {*SECTIONS}


def test_every_exit_code_has_its_row() -> None:
    codes = re.findall(r"^\| (\d+) \|", SECTIONS["Exit codes"], re.M)
    assert [int(code) for code in codes] == list(EXIT_CODES)


@pytest.fixture(scope="module")
def fleet(
    postgres_server: LocalPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Fleet, str]]:
    """Models with a history, some of which something is wrong with, and the name of one that is held."""
    home = tmp_path_factory.mktemp("runbooks")
    with fleet_by_command(postgres_server, "runbooks", home) as (fleet, names):
        yield fleet, names[5]


#: Without those that measure: they read the source, which the fleet has none of.
COMMANDS = sorted(
    {
        written
        for page, written in LINES
        if page == PAGE.name and written.startswith(READS) and "--measure" not in written
    }
)


@pytest.mark.parametrize("written", COMMANDS)
def test_the_commands_that_only_read_run_as_they_stand(fleet: tuple[Fleet, str], written: str) -> None:
    store, held = fleet[0].store, fleet[1]
    given = [{"MODEL": held}.get(word, word) for word in words(written)]
    if "--run" in given:
        [run] = [row.run_id for row in store.history.runs(held, 1)]
        given[given.index("--run") + 1] = run
    with pytest.raises(SystemExit) as ended:
        main(given)
    assert ended.value.code in (0, 3), written
