"""When a model is due to be trained again: for what reasons, and never in a loop."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import yaml

from rescore import pipeline
from rescore.pipeline import Context

DAY = timedelta(days=1)


@pytest.fixture
def declared(harbour: Any, tmp_path: Any) -> Any:
    """The harbour's context with another ``training``, ``drift`` or ``promotion``."""

    def declare(**sections: dict[str, Any]) -> Context:
        models = tmp_path / f"declared{len(list(tmp_path.iterdir()))}"
        folder = models / "tides"
        folder.mkdir(parents=True)
        for file in (harbour.ctx.settings.models / "tides").iterdir():
            if file.is_file():
                (folder / file.name).write_bytes(file.read_bytes())
        spec = yaml.safe_load((folder / "model.yaml").read_text())
        changed = {name: {**spec.get(name, {}), **section} for name, section in sections.items()}
        (folder / "model.yaml").write_text(yaml.safe_dump({**spec, **changed}))
        return replace(harbour.ctx, settings=replace(harbour.ctx.settings, models=models))

    return declare


def ask(ctx: Context, now: datetime, who: str = "monitor") -> bool:
    retraining = pipeline.ask_for_retraining(ctx, "tides", now, asked_by=f"{who} {now}")
    assert retraining.reason
    return retraining.due


def test_a_training_that_could_not_start_was_not_asked_for(harbour, declared):
    ctx, now = declared(training={"max_age": "3d"}), harbour.day(30).start + 4 * DAY

    def paused() -> None:
        raise RuntimeError("paused")

    with pytest.raises(RuntimeError, match="paused"):
        pipeline.ask_for_retraining(ctx, "tides", now, asked_by="monitor", check=paused)
    assert ask(ctx, now), "nothing stands in its way"
    assert not pipeline.when_due(ctx, "tides", now).due


def test_a_package_grows_old(harbour, declared):
    ctx = declared(training={"max_age": "3d"})
    trained = harbour.day(30).start
    assert pipeline.when_due(ctx, "tides", trained + 3 * DAY) == pipeline.Retraining(
        False,
        "package 1.0.0 is 3 days old and no declared reason holds",
    )
    old = pipeline.when_due(ctx, "tides", trained + 4 * DAY)
    assert old.due and "knows labels up to 2024-01-31T00:00:00+00:00, 4 days ago" in old.reason
    assert not pipeline.when_due(harbour.ctx, "tides", trained + 400 * DAY).due, "nothing is declared"


@pytest.mark.parametrize(("on_drift", "due"), [("retrain", True), ("warn", False), ("hold", False)])
def test_drift_asks_for_training_where_that_is_declared(harbour, declared, on_drift, due):
    harbour.execute(
        "UPDATE harbour.readings SET pressure = 900 + (pressure - 1000) * 1.5 WHERE measured_at >= %s",
        harbour.day(32).start,
    )
    ctx = declared(drift={"on_drift": on_drift})
    assert pipeline.score_interval(ctx, "tides", harbour.day(31)).verdict == "ok"
    assert not pipeline.when_due(ctx, "tides", harbour.day(31).end).due
    run_id = pipeline.begin_extract(ctx, "tides", harbour.day(32))
    for stage in (pipeline.validate_run, pipeline.score_run, pipeline.drift_run):
        run_id = stage(ctx, run_id)
    if on_drift == "hold":
        pipeline.release_run(ctx, run_id, "ada", "a storm")
    else:
        pipeline.publish_run(ctx, run_id)
    found = pipeline.when_due(ctx, "tides", harbour.day(32).end)
    assert found.due == due
    assert ("pressure" in found.reason) == due
    assert not pipeline.when_due(ctx, "tides", harbour.day(31).end).due, "a backfill of the day before"


@pytest.mark.slow
def test_surely_worse_performance_asks_and_chance_does_not(harbour, declared):
    for number in (31, 32):
        pipeline.score_interval(harbour.ctx, "tides", harbour.day(number))
    now = harbour.day(33).end
    lately = pipeline.latest_performance(harbour.ctx, "tides", now)
    assert lately is not None and lately.metric == "rmse"
    low = lately.value if lately.low is None else lately.low
    for limit, due in [(low * 0.99, True), (low * 1.01, False), (lately.value * 2, False)]:
        found = pipeline.when_due(declared(training={"retrain_at": limit}), "tides", now)
        assert found.due == due
        assert ("beyond chance" in found.reason) == due
    early = harbour.day(30).end
    assert not pipeline.when_due(declared(training={"retrain_at": 0.0}), "tides", early).due, "no labels"


def test_it_is_asked_for_once_whatever_came_of_it(harbour, declared):
    """A rejected challenger leaves the reason standing; it must not be trained again every day."""
    ctx = declared(training={"max_age": "1d"}, drift={"retrain_every": "7d"})
    start = harbour.day(35).start
    answers = [ask(ctx, start + number * DAY) for number in range(20)]
    assert [number for number, due in enumerate(answers) if due] == [0, 7, 14]
    later = pipeline.when_due(ctx, "tides", start + 15 * DAY)
    assert not later.due and "asked for as of 2024-02-19T00:00:00+00:00 already" in later.reason
    assert not ask(ctx, start + 10 * DAY), "a backfill behind a later training"
    assert ask(ctx, start + 14 * DAY), "a retry of the task that asked"
    asked = ctx.store.retrainings.of_model("tides")
    assert [one.as_of for one in asked] == [start, start + 7 * DAY, start + 14 * DAY]
    assert "days ago" in asked[0].reason


def test_of_many_that_ask_at_once_one_is_told_to_train(harbour, declared):
    ctx = declared(training={"max_age": "1d"})
    now = harbour.day(35).start
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda number: ask(ctx, now + number * DAY, f"run {number}"), range(4)))
    assert answers.count(True) == 1
