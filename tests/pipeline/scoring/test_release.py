"""What a verdict does to a run, as the model declares it; and how a person publishes all the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest
import yaml

from rescore import pipeline
from rescore.cli import main
from rescore.errors import (
    DigestMismatchError,
    HeldError,
    OutageError,
    StaleFenceError,
    StoreError,
    StoreUnavailableError,
)
from rescore.pipeline import Context
from rescore.store import Store
from tests.shared.bank import Bank


@pytest.fixture
def declared(harbour: Any, tmp_path: Any) -> Any:
    """The harbour's context with another ``drift`` section."""

    def declare(**drift: Any) -> Context:
        models = tmp_path / f"declared{len(list(tmp_path.iterdir()))}"
        folder = models / "tides"
        folder.mkdir(parents=True)
        for file in (harbour.ctx.settings.models / "tides").iterdir():
            if file.is_file():
                (folder / file.name).write_bytes(file.read_bytes())
        spec = yaml.safe_load((folder / "model.yaml").read_text())
        (folder / "model.yaml").write_text(yaml.safe_dump({**spec, "drift": drift}))
        return replace(harbour.ctx, settings=replace(harbour.ctx.settings, models=models))

    return declare


def storm(harbour: Any) -> None:
    """From the 31st day on the pressure is that of a storm: drift, but no outage."""
    harbour.execute(
        "UPDATE harbour.readings SET pressure = 900 + (pressure - 1000) * 1.5 WHERE measured_at >= %s",
        harbour.day(31).start,
    )


def drought(harbour: Any) -> None:
    harbour.execute("UPDATE harbour.readings SET moon = NULL WHERE measured_at >= %s", harbour.day(31).start)


def checked(ctx: Context, harbour: Any) -> str:
    run_id = pipeline.begin_extract(ctx, "tides", harbour.day(31))
    for stage in (pipeline.validate_run, pipeline.score_run, pipeline.drift_run):
        run_id = stage(ctx, run_id)
    return run_id


def shown(harbour: Any) -> list[tuple[object, ...]]:
    return harbour.execute("SELECT DISTINCT verdict, reason, released_by FROM scores.tides")


@pytest.mark.parametrize("on_drift", ["nothing", "warn", "retrain"])
def test_drift_alone_holds_nothing_back(harbour, declared, on_drift, caplog):
    storm(harbour)
    done = pipeline.score_interval(declared(on_drift=on_drift), "tides", harbour.day(31))
    assert done.verdict in {"drifted", "consequential"}
    assert (done.reason, done.released_by) == (None, None)
    warned = [record for record in caplog.records if record.name.startswith("rescore")]
    assert bool(warned) == (on_drift != "nothing")


def test_a_held_run_stays_checked_until_a_person_releases_it(harbour, declared):
    storm(harbour)
    ctx = declared(on_drift="hold")
    run_id = checked(ctx, harbour)
    for _ in range(2):  # asking again does not wear it down
        with pytest.raises(HeldError, match="is held: "):
            pipeline.publish_run(ctx, run_id)
    run = ctx.store.runs.get(run_id)
    assert (run.state, run.held, shown(harbour)) == ("checked", True, [])

    for who, why in [("ada", " "), ("", "because")]:
        with pytest.raises(StoreError, match="not said who releases"):
            pipeline.release_run(ctx, run_id, who, why)
    done = pipeline.release_run(ctx, run_id, "ada", "it is only a storm")

    assert (done.released_by, done.reason, done.rows) == ("ada", "it is only a storm", 72)
    assert shown(harbour) == [(run.verdict, "it is only a storm", "ada")]
    [status] = ctx.store.history.status()
    assert (status.released_by, status.attempt_held) == ("ada", False)
    assert pipeline.release_run(ctx, run_id, "ada", "it is only a storm") == done
    with pytest.raises(StoreError, match="is published already by ada"):
        pipeline.release_run(ctx, run_id, "eve", "mine")
    assert len(ctx.store.publications.of_model("tides")) == 1


def test_a_release_that_the_login_may_not_make_leaves_the_run_held(harbour, declared):
    storm(harbour)
    ctx = declared(on_drift="hold")
    run_id = checked(ctx, harbour)
    with Store(ctx.settings.database_url) as workers, pytest.raises(StoreError, match="not permitted"):
        pipeline.release_run(replace(ctx, store=workers), run_id, "ada", "it is only a storm")
    elsewhere = Store(ctx.settings.database_url, release_url="postgresql://nobody@127.0.0.1:1/none")
    with elsewhere as wrong, pytest.raises(StoreError):
        pipeline.release_run(replace(ctx, store=wrong), run_id, "ada", "it is only a storm")
    run = ctx.store.runs.get(run_id)
    assert (run.state, run.held) == ("checked", True)
    assert pipeline.release_run(ctx, run_id, "ada", "it is only a storm").released_by == "ada"


def test_what_holds_is_what_the_model_says_it_acts_on(harbour, declared):
    assert not pipeline.publish_run(
        declared(on_drift="hold"), checked(declared(on_drift="hold"), harbour)
    ).reason, "a run like training is not held"
    storm(harbour)
    ctx = declared(on_drift="hold", acts_on="consequential", effect_floor=0.02)
    run = ctx.store.runs.get(checked(ctx, harbour))
    assert run.held == (run.verdict == "consequential")


def test_an_outage_is_stopped_and_can_be_released(harbour, declared):
    drought(harbour)
    with pytest.raises(OutageError, match="rescore publish") as caught:
        pipeline.score_interval(harbour.ctx, "tides", harbour.day(31))
    [run] = harbour.ctx.store.runs.latest("tides")
    assert run.run_id in str(caught.value)
    assert (run.state, shown(harbour)) == ("stopped", [])
    pipeline.release_run(harbour.ctx, run.run_id, "ada", "the moon does not matter")
    assert shown(harbour) == [("outage", "the moon does not matter", "ada")]
    assert pipeline.reproduce_run(harbour.ctx, run.run_id).verdict == "identical"


def test_an_outage_is_published_with_its_flag_where_that_is_declared(harbour, declared):
    drought(harbour)
    ctx = declared(on_outage="publish_flagged", on_drift="hold")
    done = pipeline.score_interval(ctx, "tides", harbour.day(31))
    assert done.verdict == "outage"
    assert shown(harbour) == [("outage", "drift.on_outage: publish_flagged is declared", None)]


def test_nobody_releases_changed_scores_or_a_claimed_interval(harbour, declared):
    storm(harbour)
    ctx = declared(on_drift="hold")
    stale, tampered = checked(ctx, harbour), checked(ctx, harbour)
    with pytest.raises(StaleFenceError):
        pipeline.release_run(ctx, stale, "ada", "I want it")
    harbour.execute(
        "ALTER TABLE rescore.scores_tides DISABLE TRIGGER USER;"
        "UPDATE rescore.scores_tides SET score = score + 1e-9 WHERE run_id = %s AND gauge = 'pier'",
        tampered,
    )
    with pytest.raises(DigestMismatchError):
        pipeline.release_run(ctx, tampered, "ada", "I want it")
    assert ctx.store.runs.get(tampered).state == "failed"
    with pytest.raises(StoreError, match="is failed"):
        pipeline.release_run(ctx, tampered, "ada", "I want it")
    assert shown(harbour) == []


def test_the_command_publishes_with_the_persons_name(harbour, declared, monkeypatch, capsys):
    drought(harbour)
    with pytest.raises(OutageError):
        pipeline.score_interval(harbour.ctx, "tides", harbour.day(31))
    [run] = harbour.ctx.store.runs.latest("tides")
    for name, value in {
        "RESCORE_DATABASE_URL": harbour.ctx.settings.database_url,
        "RESCORE_RELEASE_URL": harbour.ctx.settings.release_url,
        "RESCORE_HOME": str(harbour.home),
        "RESCORE_MODELS": str(harbour.ctx.settings.models),
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        main(["publish", run.run_id])
    assert "--reason" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["publish", run.run_id, "--reason", "known at sea", "--who", "ada"])
    assert ended.value.code == 0
    assert shown(harbour) == [("outage", "known at sea", "ada")]


def test_a_publish_that_failed_on_its_last_try_can_be_made_again(
    fresh_bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scores are whole and checked: an error that passes throws none of them away."""
    ctx, run_id = replace(fresh_bank.ctx, tried_again=False), fresh_bank.check(40)
    with monkeypatch.context() as patch:
        patch.setattr(
            ctx.store.publications, "publish", Mock(side_effect=StoreUnavailableError("the store is away"))
        )
        with pytest.raises(StoreUnavailableError):
            pipeline.publish_run(ctx, run_id)
    assert ctx.store.runs.get(run_id).state == "checked"
    pipeline.publish_run(ctx, run_id)
    assert [run.run_id for run in ctx.store.runs.published("loans")] == [run_id]
