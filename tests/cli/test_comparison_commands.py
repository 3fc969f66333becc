"""The commands that compare, pin and reproduce say what the pipeline found, and exit by it."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from rescore import pipeline
from rescore.cli import main, terminal
from rescore.report.comparison_page import comparison_html
from tests.shared.rivals import NAME, write


@pytest.fixture
def command(harbour, monkeypatch, capsys):
    """Run ``rescore …`` over the harbour; gives exit code, output and what was said beside it."""
    settings = harbour.ctx.settings
    monkeypatch.setattr(os, "environ", {**os.environ})
    os.environ |= {
        "RESCORE_HOME": str(settings.home),
        "RESCORE_MODELS": str(settings.models),
        "RESCORE_DATABASE_URL": settings.database_url,
        "RESCORE_RELEASE_URL": settings.release_url,
        "RESCORE_OWNER_URL": settings.owner_url,
        "RESCORE_CONNECTION_HARBOUR": settings.connection_url("harbour"),
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
    last, first = harbour.ctx.store.pins.of_model("tides")
    assert (last.who, last.why) == ("ann", "again")
    assert last.pinned_at > first.pinned_at
    assert last.evidence["replaces"]["pin_id"] == first.pin_id
    assert last.evidence["metrics"] == harbour.ctx.store.packages.find("tides", "1.0.0").manifest.metrics
    code, _, said = command("pin", "tides", "--to", "9.9.9", "--reason", "none")
    assert (code, "no package 9.9.9" in said) == (1, True)


def test_one_score_is_reproduced_by_its_key(harbour, command):
    code, _, wrong = command("score", "tides", "--start", "2024-02-01T00:00Z", "--end", "2024-02-02T00:00Z")
    assert code == 0, wrong
    code, said, _ = command("reproduce", "--model", "tides", "--key", "gauge=lock,reading=750", "--json")
    [row] = json.loads(said)
    assert (code, row["verdict"]) == (0, "identical")
    assert row["published"] == row["derived_again"]
    code, _, said = command("reproduce", "--model", "tides", "--key", "lock")
    assert (code, "--key 'lock' names no key" in said) == (1, True)
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


def test_a_package_that_does_not_hold_says_why_to_a_script_too(harbour, command):
    harbour.execute(
        "SET session_replication_role = replica; UPDATE rescore.package SET manifest ="
        " jsonb_set(manifest::jsonb, '{metrics,rmse}', '7')"
    )
    code, said, _ = command("reproduce", "--model", "tides", "--package", "1.0.0", "--json")
    found = json.loads(said)
    assert (code, found["runs"], found["package"]["holds"], found["trained"]) == (1, [], False, None)
    assert found["package"]["problem"]


def test_what_was_published_before_an_interval_failed_is_printed(harbour, command):
    harbour.execute(
        "DELETE FROM harbour.readings WHERE measured_at >= '2024-02-02Z' AND measured_at < '2024-02-03Z'"
    )
    code, said, beside = command(
        "score", "tides", "--start", "2024-02-01T00:00Z", "--end", "2024-02-04T00:00Z", "--json"
    )
    assert code != 0
    [published] = json.loads(said)
    assert published["interval"] == str(harbour.day(31))
    assert f"tides: {harbour.day(33)} was not begun" in beside.replace("\n", " ")
    assert f"has no row in {harbour.day(32)}" in beside


def test_json_has_words_for_what_it_has_no_numbers_for(capsys):
    terminal.print_json([{"psi": float("nan"), "at": -float("inf"), "x": 0.1}])
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == [
        {"psi": "NaN", "at": "-Infinity", "x": 0.1}
    ]


def test_a_package_is_not_compared_with_itself_and_that_is_an_error_for_a_script(command):
    code, _, said = command("compare", "tides", "--challenger", "1.0.0")
    assert (code, "champion and challenger at once" in said) == (1, True)


@pytest.mark.slow
def test_a_regression_is_compared_and_its_page_saved(harbour, command, tmp_path):
    pipeline.train_model(harbour.ctx, "tides", as_of=harbour.day(38).start)
    page = tmp_path / "page.html"
    code, said, _ = command("compare", "tides", "--challenger", "1.0.1", "--save", str(page))
    assert code == 0
    assert "rmse" in said
    content = page.read_text()
    assert "predicted (m)" in content
    assert "share that came true" not in content


@pytest.mark.slow
def test_labels_of_many_kinds_are_compared_and_their_page_saved(harbour, command, tmp_path):
    models = tmp_path / "models"
    write(models, weak=True)
    declared, labels = models / NAME / "model.yaml", models / NAME / "labels.sql"
    declared.write_text(declared.read_text().replace("kind: binary", "kind: multiclass"))
    text = labels.read_text().replace(
        "SELECT gauge, reading, level", "SELECT gauge, reading, CASE WHEN level"
    )
    text = text.replace("> 0 AS high", "> 1 THEN 'flood' WHEN level > 0 THEN 'high' ELSE 'low' END AS high")
    labels.write_text(text)
    ctx = replace(harbour.ctx, settings=replace(harbour.ctx.settings, models=models))
    for number in (30, 38):
        pipeline.train_model(ctx, NAME, as_of=harbour.day(number).start)
    pipeline.pin(ctx, NAME, "1.0.0", who="tester", why="first")
    page = tmp_path / "page.html"
    found = pipeline.compare_packages(ctx, NAME, "1.0.1")
    assert found.report.target.labels == ("flood", "high", "low")
    page.write_text(comparison_html(found.report))
    assert "Share in which it was right" in page.read_text()
