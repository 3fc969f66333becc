"""Champion and challenger on rows that neither saw; what is recorded of them is proved first."""

from __future__ import annotations

import re
import shutil
import uuid
from dataclasses import replace

import pytest

from rescore import pipeline
from rescore.comparison import ComparisonReport, FirstReport
from rescore.errors import (
    DigestMismatchError,
    MetricMismatchError,
    NotFoundError,
    ParameterError,
    SpecError,
)
from rescore.report.comparison_page import comparison_html
from tests.comparison.builders import PACKAGE, STORED
from tests.shared.rivals import NAME, Rivals, context, train, write

WEAK, STRONG = "1.0.0", "1.0.1"


@pytest.fixture(scope="session")
def prepared(trained_harbour, postgres_server, tmp_path_factory):
    """A weak package that is pinned and has published two days, and a strong one trained later."""
    home = tmp_path_factory.mktemp("rivals")
    url = postgres_server.create_database("rivals", template=trained_harbour[0])
    rivals = Rivals(context(postgres_server, url, home), url)
    train(rivals.ctx, rivals.day(30).start, weak=True)
    pipeline.pin(rivals.ctx, NAME, WEAK, who="tester", why="first")
    for number in (30, 31):
        pipeline.score_interval(rivals.ctx, NAME, rivals.day(number))
    train(rivals.ctx, rivals.day(38).start, weak=False)
    rivals.ctx.store.close()
    return "rivals", home


@pytest.fixture(scope="session")
def compared(prepared, postgres_server):
    """What comparing the two gives, in a database that no test changes."""
    template, home = prepared
    url = postgres_server.create_database("rivals_compared", template=template)
    ctx = context(postgres_server, url, home)
    yield pipeline.compare_packages(ctx, NAME, STRONG), Rivals(ctx, url)
    ctx.store.close()


@pytest.fixture
def rivals(prepared, postgres_server, tmp_path):
    template, home = prepared
    shutil.copytree(home, tmp_path / "home", ignore=shutil.ignore_patterns("cache", "scratch"))
    name = f"rivals_{uuid.uuid4().hex[:12]}"
    url = postgres_server.create_database(name, template=template)
    made = Rivals(context(postgres_server, url, tmp_path / "home"), url)
    yield made
    made.ctx.store.close()
    postgres_server.drop_database(name)


def test_a_better_challenger_is_shown_to_be_better_on_rows_that_neither_saw(compared):
    found, rivals = compared
    report = found.report

    assert (report.champion.version, report.champion.fit) == (WEAK, "final")
    assert (report.challenger.version, report.challenger.fit) == (STRONG, "evaluation")
    held = report.holdout
    assert (held.rows, held.start, held.end) == (
        8 * 72,
        rivals.day(30).start.isoformat(),
        rivals.day(38).start.isoformat(),
    )
    assert report.bootstrap.blocks == len(report.blocks) == 8
    auc = report.metrics["auc"]
    recorded = rivals.ctx.store.packages.find(NAME, STRONG).manifest.metrics
    assert auc.challenger == recorded["auc"]
    # Eight days tell little of how alike days are: the gain is large, and not yet beyond chance.
    assert auc.gain > 0.3
    assert auc.low < auc.gain < auc.high
    assert 2 <= report.bootstrap.worth < 8
    assert "8 days may be worth as few as" in found.markdown()
    segments = report.segments["gauge"]
    assert {one.value: one.rows for one in segments} == {"pier": 192, "lock": 192, "buoy": 192}
    assert all(one.judged and one.low < one.gain < one.high for one in segments)
    assert report.movement.runs == 2
    assert report.movement.rows == 144
    assert sum(count for _, _, count in report.movement.cells) == 144
    for side in ("champion", "challenger"):
        assert sum(one.rows for one in report.calibration[side].bins) == held.rows
    # What is stored is this very document, with the first release's fields, days, erasures and classes.
    stored = rivals.ctx.store.comparisons.get(found.comparison_id).report
    assert ComparisonReport.from_dict(stored) == report
    for later in ("effective", "place", "error", "floor", "detectable"):
        del stored["bootstrap"][later]
    for side in ("champion", "challenger"):
        assert stored[side]["reproduced"].pop("erased") == 0
    # Without promotion.shadow live days decide nothing.
    assert (stored["promotion"].pop("shadow"), stored.pop("terms"), stored.pop("shadow")) == (
        "PT0S",
        None,
        None,
    )
    assert stored["output"].pop("probabilities") == {}
    assert fields(stored) == fields(STORED)


def fields(stored):
    """The names in a stored document, at every depth."""
    if isinstance(stored, dict):
        return {name: fields(value) for name, value in stored.items()}
    return (
        [fields(stored[0])] if isinstance(stored, list) and stored and isinstance(stored[0], dict) else None
    )


@pytest.mark.slow
def test_a_comparison_is_stored_and_the_same_each_time(compared):
    first, rivals = compared
    again = pipeline.compare_packages(rivals.ctx, NAME, STRONG, WEAK)

    assert first.report == again.report
    assert first.markdown() == again.markdown()
    stored = rivals.ctx.store.comparisons.of_model(NAME)
    assert [one.comparison_id for one in stored] == [again.comparison_id, first.comparison_id]
    assert ComparisonReport.from_dict(stored[0].report) == first.report
    with pytest.raises(NotFoundError):
        rivals.ctx.store.comparisons.get(10_000)


@pytest.mark.slow
def test_what_can_be_found_is_said_before_a_first_comparison_and_before_each_other(rivals):
    said: list[str] = []
    ctx = replace(rivals.ctx, progress=said.append)
    for _ in range(2):
        said.append("--")
        pipeline.compare_packages(ctx, NAME, STRONG)
    first, second = "\n".join(said).split("--")[1:]
    assert re.search(
        r"by the days of 1\.0\.0's own hold-out, a gain of 0\.\d+ in auc is found in 8 of 10", first
    )
    assert first.index("own hold-out") < first.index("1.0.1: its recorded metrics are reproduced")
    assert "as the last time" not in first
    assert "on as many days as the last time, a gain of" in second
    assert "own hold-out" not in second


def test_the_markdown_says_first_what_decides(compared):
    text = compared[0].markdown()
    assert text.startswith(f"**surge {STRONG}** (challenger) against {WEAK} (champion)")
    assert text.index("By rule:") < text.index("| **auc** (higher is better) |")
    assert "| gauge | rows |" in text
    assert "On 144 live rows of the last 2 runs" in text


def test_the_first_package_has_nothing_to_be_compared_with(rivals):
    rivals.execute("SET session_replication_role = replica; DELETE FROM rescore.pin WHERE model = 'surge'")
    found = pipeline.compare_packages(rivals.ctx, NAME, STRONG)
    assert found.comparison_id is None
    assert found.report.champion is None
    assert "no package is pinned yet" in found.markdown()
    assert rivals.ctx.store.comparisons.of_model(NAME) == []


@pytest.mark.slow
def test_a_champion_that_saw_the_hold_out_is_measured_by_the_fit_that_did_not(rivals):
    """Turned round: the later package is champion, and its hold-out is what remains."""
    found = pipeline.compare_packages(rivals.ctx, NAME, WEAK, STRONG, **rivals.window(30, 38))
    assert found.report.champion.fit == "evaluation"
    assert found.report.challenger.fit == "final"
    assert found.report.holdout.origin == "the window named"
    assert found.report.metrics["auc"].gain < 0
    assert not found.report.rule.passes
    with pytest.raises(ParameterError, match="no rows that neither package has seen"):
        pipeline.compare_packages(rivals.ctx, NAME, WEAK, STRONG)


def test_a_package_is_not_compared_with_itself(rivals):
    with pytest.raises(ParameterError, match="champion and challenger at once"):
        pipeline.compare_packages(rivals.ctx, NAME, WEAK)


def test_a_changed_byte_of_the_champion_is_named(rivals):
    path = rivals.ctx.archive.get_package(rivals.champion.sha256)
    content = path.read_bytes()
    at = content.index(b"intercept_")
    path.chmod(0o644)
    path.write_bytes(content[:at] + b"I" + content[at + 1 :])
    with pytest.raises(DigestMismatchError, match=rivals.champion.sha256):
        pipeline.compare_packages(rivals.ctx, NAME, STRONG)


def test_a_manifest_changed_in_the_store_is_named_by_its_key(rivals):
    rivals.execute(
        "SET session_replication_role = replica; UPDATE rescore.package SET manifest ="
        " jsonb_set(jsonb_set(manifest, '{metrics,auc}', '0.1'), '{evaluation,metrics,auc}', '0.1')"
        " WHERE model = 'surge' AND version = '1.0.0'"
    )
    with pytest.raises(
        DigestMismatchError, match=r"(?s)1\.0\.0.*metrics\.auc: in the file 0\.\d+, stored 0\.1"
    ):
        pipeline.compare_packages(rivals.ctx, NAME, STRONG)


def test_metrics_written_into_a_package_are_not_believed(rivals):
    """The champion's own file says it was worse than it is, with every digest made to fit."""
    rivals.forge(lambda manifest: manifest["evaluation"]["metrics"].update(auc=0.25))
    rivals.forge(lambda manifest: manifest["metrics"].update(auc=0.25))
    with pytest.raises(
        MetricMismatchError, match=r"(?s)1\.0\.0 does not reproduce.*auc: recorded 0\.25"
    ) as caught:
        pipeline.compare_packages(rivals.ctx, NAME, STRONG)
    assert caught.value.data["recorded"]["auc"] == 0.25
    assert caught.value.data["found"]["auc"] != 0.25
    assert rivals.ctx.store.comparisons.of_model(NAME) == []


def test_a_champion_without_the_fit_that_was_measured_is_refused(rivals):
    rivals.forge(lambda manifest: manifest["evaluation"].pop("artifact"))
    with pytest.raises(NotFoundError, match=r"1\.0\.0 does not hold the fit"):
        pipeline.compare_packages(rivals.ctx, NAME, STRONG)


@pytest.mark.slow
def test_a_metric_that_the_target_does_not_have_is_an_error_of_the_declaration(rivals):
    declared = rivals.ctx.settings.models / NAME / "model.yaml"
    declared.write_text(declared.read_text().replace("promotion: {", "promotion: {metric: rmse, "))
    with pytest.raises(SpecError, match=r"(?s)'rmse'.*auc"):
        pipeline.compare_packages(rivals.ctx, NAME, STRONG)


def test_a_champion_whose_snapshot_is_gone_or_changed_is_refused(rivals):
    path = rivals.ctx.archive.get_input(rivals.champion.manifest.lineage.snapshot_digest)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(DigestMismatchError):
        pipeline.compare_packages(rivals.ctx, NAME, STRONG)
    path.unlink()
    with pytest.raises(NotFoundError):
        pipeline.compare_packages(rivals.ctx, NAME, STRONG)


@pytest.mark.slow
def test_packages_that_predict_other_things_are_not_compared(rivals):
    models = rivals.ctx.settings.models
    write(models, weak=True)
    declared = models / NAME / "model.yaml"
    declared.write_text(declared.read_text().replace("kind: binary", "kind: binary, positive: false"))
    other = pipeline.train_model(rivals.ctx, NAME, as_of=rivals.day(38).start)
    with pytest.raises(ParameterError, match="do not predict the same thing"):
        pipeline.compare_packages(rivals.ctx, NAME, other.version)


def test_the_same_file_built_again_from_committed_code_is_of_committed_code(compared, rivals):
    assert any("its code revision is unknown" in reason for reason in compared[0].report.rule.reasons)
    first = rivals.ctx.store.packages.find(NAME, STRONG)
    file = first.manifest
    built = {**first.manifest.built.to_dict(), "code_revision": "0a1b2c"}
    rivals.ctx.store.packages.add(NAME, STRONG, first.sha256, file, first.uri, built=built)
    found = pipeline.compare_packages(rivals.ctx, NAME, STRONG)
    assert found.report.challenger.code_revision == "0a1b2c"
    assert not any("code revision" in reason for reason in found.report.rule.reasons)


def test_the_page_shows_what_the_report_says_and_loads_nothing(compared):
    report = compared[0].report
    page = comparison_html(report)
    assert page.count("<svg") == 3 and page.count('role="img"') == 4
    assert "prefers-color-scheme: dark" in page
    assert "<script" not in page
    assert not re.search(r"(src|href)=.http", page)
    for said in (f"{report.metrics['auc'].challenger:.4f}", "a person has to decide", "surge"):
        assert said in page
    assert "&lt;b&gt;" in comparison_html(report.model_copy(update={"model": "<b>"}))


def test_every_kind_of_model_and_a_first_package_have_a_page(compared):
    stored = compared[0].report.to_dict()
    bare = {**stored, "movement": {"rows": 0, "runs": 0, "left_out": ["no input"]}, "segments": {}}
    for kind, labels in (("regression", []), ("multiclass", ["calm", "gale", "storm"])):
        target = {**stored["target"], "kind": kind, "labels": labels}
        report = ComparisonReport.from_dict({**bare, "kind": kind, "target": target})
        assert "Left out: no input" in comparison_html(report)
    package = {**PACKAGE, "version": "1.0.0", "code_revision": "unknown", "metrics": {"auc": 0.5}}
    first = FirstReport.from_dict(
        {
            **{name: stored[name] for name in ("model", "kind", "output", "promotion")},
            "challenger": package,
            "rule": {"passes": True, "reasons": ["it is the first"]},
        }
    )
    assert "nothing to compare this one with" in comparison_html(first)


@pytest.mark.slow
def test_a_comparison_of_a_later_release_counts_and_stops_nobody(rivals):
    """Whoever went back to this release compares and pins; what it can't read is said by its number."""
    said: list[str] = []
    ctx = replace(rivals.ctx, progress=said.append)
    first = pipeline.compare_packages(ctx, NAME, STRONG)
    [stored] = ctx.store.comparisons.of_model(NAME)
    later = ctx.store.comparisons.add(
        model=NAME,
        champion_sha256=stored.champion_sha256,
        challenger_sha256=stored.challenger_sha256,
        snapshot_digest=stored.snapshot_digest,
        report={"format": 99, "of": "a later release"},
    )
    said.clear()
    again = pipeline.compare_packages(ctx, NAME, STRONG)
    assert again.report.holdout == first.report.holdout
    assert (
        f"{NAME}: what comparison {later} found is left out: a stored ComparisonReport has format 99" in said
    )
    assert any(one.startswith("comparison 1 of the last 365 days") for one in said), (
        "asked before, so it keeps it"
    )
    assert any("as the last time" in one for one in said)

    ctx.store.comparisons.add(
        model=NAME,
        champion_sha256=stored.champion_sha256,
        challenger_sha256=stored.challenger_sha256,
        snapshot_digest=stored.snapshot_digest,
        report={"format": 99},
    )
    evidence = pipeline.pin_evidence(ctx, NAME, STRONG)["comparison"]
    assert (evidence["by_rule"], evidence["reasons"]) == (
        False,
        ["what was found can't be read by this release"],
    )
    pipeline.pin(ctx, NAME, STRONG, who="ada", why="looked at it there")
