"""What a package would be without a person: trained from what it carries, compared, and thrown away."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rescore import pipeline, source
from rescore.cli import main
from rescore.pipeline import Context
from rescore.pipeline.reproduce.trainings import retrain_package


@pytest.fixture
def personal(harbour: Any, tmp_path: Path) -> Context:
    """The harbour's context, whose model says that a row is its gauge's."""
    folder = tmp_path / "personal" / "tides"
    folder.mkdir(parents=True)
    for file in (harbour.ctx.settings.models / "tides").iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    declared = folder / "model.yaml"
    text = declared.read_text()
    declared.write_text(text.replace("key: [gauge, reading]", "key: [gauge, reading]\n  subject: [gauge]"))
    return replace(harbour.ctx, settings=replace(harbour.ctx.settings, models=folder.parent))


@pytest.mark.slow
def test_it_says_what_changes_and_keeps_nothing(
    personal: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [package] = personal.store.packages.of_model("tides")
    rows = [
        source.read_frozen(personal.archive.get_input(digest), digest)
        for digest in package.manifest.lineage.digests
    ]
    gauges = [one["gauge"].to_pylist() for one in rows]
    gauge = gauges[0][0]
    settings = personal.settings
    values = {
        "RESCORE_DATABASE_URL": settings.database_url,
        "RESCORE_RELEASE_URL": settings.release_url,
        "RESCORE_OWNER_URL": settings.owner_url,
        "RESCORE_HOME": settings.home,
        "RESCORE_MODELS": settings.models,
    }
    for name, value in values.items():
        if value is not None:
            monkeypatch.setenv(name, str(value))
    files = {path for path in settings.home.rglob("*") if path.is_file()}
    options = ["--subject", f"gauge={gauge}", "--ground", "ticket 1", "--dry-run", "--retrain"]
    with pytest.raises(SystemExit, match="0"):
        main(["erase", *options, "--json"])
    [without] = json.loads(capsys.readouterr().out)["without"]
    assert (without["model"], without["version"], without["reason"]) == ("tides", "1.0.0", "")
    assert without["removed"] == sum(one.count(gauge) for one in gauges) > 0
    assert without["rows"] == len(gauges[0]) - gauges[0].count(gauge)
    assert 0 < without["moved"] <= without["rows"]
    assert 0 < without["mean"] <= without["largest"]
    assert any("(step " in parameter for parameter in without["parameters"])
    before = {name: pair[0] for name, pair in without["metrics"].items()}
    assert before == dict(package.manifest.metrics)
    assert any(pair[0] != pair[1] for pair in without["metrics"].values())
    # Nothing is kept: no package, no row, no file but caches; and the package is still derived again.
    assert [one.sha256 for one in personal.store.packages.of_model("tides")] == [package.sha256]
    assert personal.store.erasures.all() == []
    added = {path for path in settings.home.rglob("*") if path.is_file()} - files
    assert [path for path in added if path.suffix in {".parquet", ".whl"}] == []
    assert retrain_package(personal, "tides", "1.0.0").proved


def test_who_is_in_no_package_changes_none(personal: Context) -> None:
    assert pipeline.train_without(personal, {"gauge": "nobody"}) == []
