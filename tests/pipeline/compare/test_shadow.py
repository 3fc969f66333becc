"""Challengers in the shadow: scored on what runs froze, promoted on what came true, and ended for good."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2
import pytest
import yaml

from rescore import pipeline
from rescore.cli import main
from rescore.comparison import ComparisonReport
from rescore.local import LocalPostgres
from rescore.performance import PerformanceReport
from tests.shared.harbour import _HARBOUR
from tests.shared.logins import set_up
from tests.shared.rivals import FIRST, NAME, Rivals, context, write

WEAK, STRONG, TWIN = "1.0.0", "1.0.1", "1.0.2"
#: Trained on 20 days up to here, of which 8 are held out: too few to decide by.
TRAINED, LAST = 20, 75


def declare(models: Path, **changed: Any) -> None:
    path = models / NAME / "model.yaml"
    spec = yaml.safe_load(path.read_text())
    for part, values in changed.items():
        spec[part] = {**spec.get(part, {}), **values}
    path.write_text(yaml.safe_dump(spec))


@pytest.fixture
def beside(postgres_server: LocalPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A weak package that scores, a strong one and the weak one's twin, both compared with it."""
    monkeypatch.setenv("RESCORE_CODE_REVISION", "0a1b2c")
    url = postgres_server.create_database("shadows")
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(_HARBOUR, {"first": FIRST, "hours": LAST * 24})
    connection.close()
    rivals = Rivals(context(postgres_server, url, tmp_path), url)
    ctx, models = rivals.ctx, rivals.ctx.settings.models
    monkeypatch.setenv("RESCORE_DATABASE_URL", ctx.settings.database_url or "")
    monkeypatch.setenv("RESCORE_HOME", str(tmp_path))
    monkeypatch.setenv("RESCORE_MODELS", str(models))
    set_up(ctx, "harbour")
    for weak, folds in ((True, 2), (False, 2), (True, 3)):
        write(models, weak=weak)
        declare(models, training={"folds": folds}, promotion={"smallest_gain": 0.0, "shadow": "400d"})
        pipeline.train_model(ctx, NAME, as_of=rivals.day(TRAINED).start)
        if weak and folds == 2:
            pipeline.pin(ctx, NAME, WEAK, who="tester", why="first")
    for version in (STRONG, TWIN):
        pipeline.compare_packages(ctx, NAME, version)
    yield rivals
    ctx.store.close()
    postgres_server.drop_database("shadows")


def pinned(ctx: pipeline.Context) -> str:
    pin = ctx.store.pins.current(NAME)
    assert pin is not None
    return pin.version


def shadow_runs(ctx: pipeline.Context, version: str) -> list[Any]:
    sha256 = ctx.store.packages.find(NAME, version).sha256
    rows = ctx.store.history.performance_by_run(NAME)
    reports = [PerformanceReport.from_dict(row.report) for row in rows]
    return [one for report in reports for one in report.shadow if one.challenger == sha256]


@pytest.mark.slow
def test_a_better_challenger_is_promoted_by_live_days_and_an_equal_one_is_not(
    beside: Rivals, capsys: pytest.CaptureFixture[str]
) -> None:
    ctx = beside.ctx
    first, second = (
        ComparisonReport.from_dict(one.report) for one in ctx.store.comparisons.of_model(NAME)[::-1]
    )
    assert (first.bootstrap.error, second.bootstrap.error) == (0.0125, 0.05 / 12)
    assert first.terms is not None and first.terms.error == 0.0125
    assert len(first.terms.holdout) == 8
    assert not first.rule.passes and "8 days may be worth as few as" in first.rule.reasons[0]

    # Sixteen days at once, as after a pause, then one a day: each is looked at once.
    found: list[pipeline.Shadowed] = []
    told: list[pipeline.Shadowed] = []

    def tell(one: pipeline.Shadowed) -> None:
        assert len(ctx.store.comparisons.of_model(NAME)) == stored, "who ends here tells again"
        told.append(one)

    number = TRAINED - 1
    while not any(one.new for one in found):
        number += 1
        end = beside.day(number).end
        pipeline.score_interval(ctx, NAME, beside.day(number))
        if number < TRAINED + 15:
            continue
        assert pipeline.follow_shadows(ctx, NAME, end) == pipeline.shadows_of(ctx, NAME, end), "unmeasured"
        pipeline.monitor_model(ctx, NAME, end)
        stored = len(ctx.store.comparisons.of_model(NAME))
        found = pipeline.follow_shadows(ctx, NAME, end, tell=tell)
        assert {one.version: one.found.days for one in found} == dict.fromkeys(
            (STRONG, TWIN), number - TRAINED + 1
        )
        assert pinned(ctx) == WEAK
    # 20 days are known before anything is bet on, 8 of them by the hold-out.
    assert 12 < len(shadow_runs(ctx, STRONG)) < 45
    best, twin = found
    assert (best.version, best.new, best.pinned) == (STRONG, True, False), "a person approves"
    assert best.found.evidence >= 80 > twin.found.evidence
    assert not best.report.rule.passes
    assert "so a person decides" in best.report.rule.reasons[0]
    assert [(one.version, one.pinned) for one in told] == [(STRONG, False)]
    assert twin.found.decided is None
    kept = shadow_runs(ctx, STRONG)
    assert [one.day for one in kept] == [
        beside.day(one).start.date().isoformat() for one in range(TRAINED, number + 1)
    ]
    assert all(one.rows == 72 and one.champion_loss > one.challenger_loss for one in kept)
    assert [one.champion_loss for one in shadow_runs(ctx, TWIN)] == [one.champion_loss for one in kept]

    # The champion's losses are those of what it published.
    brier = [
        PerformanceReport.from_dict(row.report).measure("brier").value
        for row in ctx.store.history.performance_by_run(NAME)
    ]
    assert [one.champion_loss / one.rows for one in kept] == pytest.approx(brier)

    # Measured again, a run keeps what the challengers made of it; decided once, it is told once.
    end = beside.day(number).end
    pipeline.measure_due(ctx, NAME, end + timedelta(days=1), again=True)
    assert shadow_runs(ctx, STRONG) == kept
    comparisons = len(ctx.store.comparisons.of_model(NAME))
    assert not any(one.new for one in pipeline.follow_shadows(ctx, NAME, end))
    assert len(ctx.store.comparisons.of_model(NAME)) == comparisons

    for command in (["packages", "list", NAME], ["status", NAME]):
        capsys.readouterr()
        with pytest.raises(SystemExit, match="0"):
            main(command)
        printed = " ".join(capsys.readouterr().out.split())
        for version in (STRONG, TWIN):
            assert f"{version} is in the shadow since" in printed

    # The rule pins only what holds whatever days are.
    declare(ctx.settings.models, promotion={"approval": "auto"})
    assert not any(one.pinned for one in pipeline.follow_shadows(ctx, NAME, end))
    assert pinned(ctx) == WEAK


def alter(rivals: Rivals, table: str, column: str, key: str, value: str) -> None:
    """Make a stored document one of a later release."""
    rivals.execute(
        f"SET session_replication_role = replica; UPDATE rescore.{table} SET {column} ="
        f" jsonb_set({column}, '{{format}}', '99') WHERE {key} = '{value}'"
    )


def forge_hours(rivals: Rivals, run_id: str, runs: list[dict[str, Any]]) -> None:
    """Publish and measure a run of each hour, as copies of one that was."""
    with psycopg2.connect(rivals.url) as connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            "CREATE TEMPORARY TABLE hour AS SELECT gen_random_uuid() AS id, one AS run,"
            " (one->>'starts')::timestamptz AS starts FROM jsonb_array_elements(%s::jsonb) AS one",
            [json.dumps(runs)],
        )
        for table in ("run", "run_state", "publication"):
            changed = "'run_id', id, 'interval_start', starts, 'interval_end', starts + interval '1 hour'"
            if table == "publication":
                changed += ", 'sequence', extract(epoch FROM starts)::bigint"
            cursor.execute(
                f"INSERT INTO rescore.{table} OVERRIDING SYSTEM VALUE SELECT (jsonb_populate_record("
                f"NULL::rescore.{table}, to_jsonb(kept) || jsonb_build_object({changed}))).*"
                f" FROM rescore.{table} AS kept, hour WHERE kept.run_id = %s",
                [run_id],
            )
        cursor.execute(
            "INSERT INTO rescore.performance (run_id, as_of, label_coverage, metrics)"
            " SELECT id, as_of, label_coverage, jsonb_set(metrics, '{shadow}', jsonb_build_array(run))"
            " FROM rescore.performance, hour WHERE performance_id ="
            " (SELECT max(performance_id) FROM rescore.performance WHERE run_id = %s)",
            [run_id],
        )
    connection.close()


@pytest.mark.slow
def test_every_hour_of_months_counts_and_what_holds_whatever_days_are_is_pinned(
    beside: Rivals,
) -> None:
    ctx = beside.ctx
    end = beside.day(TRAINED + 1).end
    run = pipeline.score_interval(ctx, NAME, beside.day(TRAINED + 1))
    pipeline.monitor_model(ctx, NAME, end)
    pipeline.follow_shadows(ctx, NAME, end)
    [kept] = shadow_runs(ctx, STRONG)
    # A day before it that comes later would change what was known before a bet.
    late = pipeline.score_interval(ctx, NAME, beside.day(TRAINED))
    pipeline.monitor_model(ctx, NAME, end)
    pipeline.follow_shadows(ctx, NAME, end)
    assert shadow_runs(ctx, STRONG) == [kept]
    alter(beside, "performance", "metrics", "run_id", late.run_id)
    pipeline.follow_shadows(ctx, NAME, end)  # a report that can't be read stops nothing
    random = np.random.default_rng(2)
    hours = []
    for day in range(1, 61):
        gain = float(np.clip(random.normal(0.3, 0.3), -0.9, 0.9))
        for hour in range(24):
            starts = end + timedelta(days=day - 1, hours=hour)
            part = {"starts": starts, "day": starts.date().isoformat(), "closes": hour == 23, "rows": 3}
            lost = {"champion_loss": 1.5, "challenger_loss": 1.5 - 3 * gain}
            hours.append(kept.model_copy(update=part | lost).to_dict())
    forge_hours(beside, run.run_id, hours[: 24 * 30])
    # A month of hours, and the first day is still known; a later look forgets nothing.
    [after] = [one.found for one in pipeline.shadows_of(ctx, NAME, end) if one.version == STRONG]
    assert (after.days, after.rows) == (31, kept.rows + 30 * 72)
    # Measured again, a run of long ago keeps what challengers made of it.
    pipeline.measure_run(ctx, run.run_id, end + timedelta(days=31))
    [measured] = ctx.store.history.performance_of_runs([run.run_id])
    assert kept in PerformanceReport.from_dict(measured.report).shadow

    forge_hours(beside, run.run_id, hours[24 * 30 :])
    declare(ctx.settings.models, promotion={"approval": "auto"})
    [promoted] = pipeline.follow_shadows(ctx, NAME, end)
    assert promoted.found.proved is not None
    assert promoted.pinned
    assert pinned(ctx) == STRONG
    pin = ctx.store.pins.of_model(NAME)[0]
    assert pin.who == "rule" and "in the shadow since" in pin.why
    assert pin.evidence["comparison"]["by_rule"] is True
    assert pipeline.follow_shadows(ctx, NAME, end) == [], "the others were compared with another champion"

    # Rolled back by a person: what led to the promotion does not turn that round.
    pipeline.pin(ctx, NAME, WEAK, who="tester", why="odd scores")
    assert pipeline.follow_shadows(ctx, NAME, end) == []
    pipeline.compare_packages(ctx, NAME, STRONG)
    assert pipeline.follow_shadows(ctx, NAME, end) == []
    assert pinned(ctx) == WEAK


@pytest.mark.airflow
def test_the_models_page_says_who_is_in_the_shadow(beside: Rivals) -> None:
    from rescore_airflow.page.model import model_values
    from rescore_airflow.page.rendering import Links, Rendering

    now = pipeline.utc_now()
    spec = beside.ctx.model(NAME).spec
    values = model_values(beside.ctx, spec, now=now, approvals={}, everything=False)
    page = Rendering().html("model.html", links=Links("./", False), framed=False, **values).body.decode()
    strong, twin = (f"<p>{one.sentence}.</p>" for one in pipeline.shadows_of(beside.ctx, NAME, now))
    assert strong in page and page.index(strong) < page.index(twin)


def test_a_shadow_ends_with_its_time_and_with_its_package(beside: Rivals) -> None:
    ctx = beside.ctx
    now = pipeline.utc_now()
    assert [one.version for one in pipeline.shadows_of(ctx, NAME, now)] == [STRONG, TWIN]
    assert pipeline.shadows_of(ctx, NAME, now + timedelta(days=401)) == []
    pipeline.withdraw_package(ctx, NAME, TWIN, who="tester", why="not ours")
    assert [one.version for one in pipeline.shadows_of(ctx, NAME, now)] == [STRONG]
    # Asked again, the question keeps its place, and its shadow the time that it began.
    first = pipeline.shadows_of(ctx, NAME, now)[0].report.terms
    pipeline.compare_packages(ctx, NAME, STRONG)
    again = pipeline.shadows_of(ctx, NAME, pipeline.utc_now())[0].report
    assert again.bootstrap.place == 1
    assert first is not None and again.terms is not None
    since = [datetime.fromisoformat(one.since) for one in (first, again.terms)]
    assert abs(since[1] - since[0]) < timedelta(minutes=5)
    assert again.terms.begins == first.begins == beside.day(TRAINED).start.isoformat()
    # A comparison that can't be read is left out.
    alter(beside, "comparison", "report", "challenger_sha256", again.challenger.sha256)
    assert pipeline.shadows_of(ctx, NAME, pipeline.utc_now()) == []
