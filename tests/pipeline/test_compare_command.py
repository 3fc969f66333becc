"""The commands that compare, pin and reproduce say what the pipeline found, and exit by it."""

from __future__ import annotations

import json
import os

import pytest

from rescore.cli import main


@pytest.fixture
def command(harbour, monkeypatch, capsys):
    """Run ``rescore …`` over the harbour; gives exit code, output and what was said beside it."""
    settings = harbour.ctx.settings
    monkeypatch.setattr(os, "environ", {**os.environ})
    os.environ |= {
        "RESCORE_HOME": str(settings.home),
        "RESCORE_MODELS": str(settings.models),
        "RESCORE_DATABASE_URL": settings.database_url,
        "RESCORE_CONNECTION_HARBOUR": settings.database_url,
    }

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_pins_are_made_and_rolled_back_with_who_when_why_and_what_they_replace(harbour, command):
    code, said, _ = command("pin", "tides", "--to", "1.0.0", "--reason", "again", "--who", "ann")
    assert (code, "tides: 1.0.0 is pinned" in said) == (0, True)
    last, first = harbour.ctx.store.pins("tides")
    assert (last.who, last.why) == ("ann", "again")
    assert last.pinned_at > first.pinned_at
    assert last.evidence["replaces"]["pin_id"] == first.pin_id
    assert last.evidence["metrics"] == harbour.ctx.store.find_package("tides", "1.0.0").manifest["metrics"]
    code, _, said = command("pin", "tides", "--to", "9.9.9", "--reason", "none")
    assert (code, "no package 9.9.9" in said) == (1, True)


def test_one_score_is_reproduced_by_its_key(harbour, command):
    command("score", "tides", "--start", "2024-02-01T00:00Z", "--end", "2024-02-02T00:00Z")
    code, said, _ = command("reproduce", "--model", "tides", "--key", "gauge=lock,reading=750", "--json")
    [row] = json.loads(said)
    assert (code, row["verdict"]) == (0, "identical")
    assert row["published"] == row["derived_again"]
    code, _, said = command("reproduce", "--model", "tides", "--key", "lock")
    assert (code, "--key 'lock' is not a key" in said) == (1, True)
    code, _, said = command("reproduce", "--key", "gauge=lock")
    assert (code, "--key needs --model" in said) == (1, True)
    harbour.execute(
        "SET session_replication_role = replica;"
        "UPDATE rescore.scores_tides SET score = score + 1e-9 WHERE gauge = 'lock' AND reading = 750"
    )
    code, said, _ = command("reproduce", "--model", "tides", "--package", "1.0.0")
    assert code == 1
    assert "first rows that differ" in said
    assert "gauge=lock, reading=750" in said


def test_a_package_is_not_compared_with_itself_and_that_is_an_error_for_a_script(command):
    code, _, said = command("compare", "tides", "--challenger", "1.0.0")
    assert (code, "champion and challenger at once" in said) == (1, True)
