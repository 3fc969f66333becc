"""Whole windows through ``build_reference`` and ``compare``: verdicts and their words."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rescore.drift import DriftReport, build_reference, compare
from rescore.errors import DriftError
from rescore.source import Freezer, KeptColumns, without
from rescore.spec import DriftSpec, ModelSpec

Spec = Callable[..., ModelSpec]
Snapshot = Callable[[list[pa.Table]], pa.Table]

KINDS = {
    "temp": "numeric",
    "wind_speed": "numeric",
    "delay": "numeric",
    "weekday": "numeric",
    "version": "numeric",
    "carrier": "categorical",
    "tail": "categorical",
    "holiday": "boolean",
    "built": "datetime",
    "remark": "text",
    "unused": "numeric",
}
IMPORTANCE = {"temp": 0.05, "delay": 0.04, "carrier": 0.01, "remark": 0.001}
ROWS = 400


def window(generator: np.random.Generator, day: int, rows: int = ROWS) -> pa.Table:
    """A day as it comes in training: of one weekday, with a few gaps, zeros, ties and rare levels."""
    event = datetime(2024, 1, 1, 12, tzinfo=UTC) + timedelta(days=day)
    built = [event.date() - timedelta(days=int(age)) for age in generator.integers(300, 30_000, rows)]
    return pa.table(
        {
            "event_time": pa.array([event] * rows, pa.timestamp("us", tz="UTC")),
            "temp": pa.array(generator.normal(10, 5, rows), mask=generator.random(rows) < 0.02),
            "wind_speed": generator.gamma(2, 5, rows),
            "delay": np.where(generator.random(rows) < 0.6, 0.0, generator.exponential(20, rows)),
            "weekday": np.full(rows, event.weekday()),
            "version": np.ones(rows),
            "carrier": generator.choice(["AA", "UA", "DL", "HA"], rows, p=[0.5, 0.3, 0.19, 0.01]),
            "tail": [f"N{n:05}" for n in generator.integers(0, 4000, rows)],
            "holiday": generator.random(rows) < 0.1,
            "built": pa.array(built, pa.date32()),
            "remark": ["x" * n for n in generator.poisson(40, rows)],
            "unused": pa.nulls(rows, pa.float64()),
        }
    )


def set_column(table: pa.Table, name: str, values: Any) -> pa.Table:
    column = pa.array(values, table.schema.field(name).type, from_pandas=True)
    return table.set_column(table.column_names.index(name), name, column)


def scores_of(table: pa.Table, generator: np.random.Generator) -> np.ndarray:
    temp = table["temp"].to_numpy()
    return 1 / (1 + np.exp(2 - np.nan_to_num(temp - 10) / 10 - generator.normal(0, 0.5, temp.size)))


@pytest.fixture(scope="module")
def training() -> tuple[pa.Table, np.ndarray]:
    tables = [window(np.random.default_rng([1, day]), day) for day in range(60)]
    scores = [scores_of(table, np.random.default_rng([2, day])) for day, table in enumerate(tables)]
    starts = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in range(60)]
    column = pa.array(np.repeat(starts, ROWS), pa.timestamp("us", tz="UTC"))
    return pa.concat_tables(tables).append_column("interval_start", column), np.concatenate(scores)


@pytest.fixture
def profile(training: tuple[pa.Table, np.ndarray], make_spec: Spec) -> bytes:
    return build_reference(training[0], make_spec(**KINDS), training[1], IMPORTANCE)


@pytest.fixture
def live() -> pa.Table:
    return window(np.random.default_rng([3, 0]), 61)


def check(profile: bytes, live: pa.Table, *, scored: bool = False, **drift: Any) -> DriftReport:
    scores = scores_of(live, np.random.default_rng(4)) if scored else None
    report = compare(profile, live, scores, DriftSpec(**drift))
    json.dumps(report.to_dict(), allow_nan=False)
    return report


def feature(report: DriftReport, name: str) -> Any:
    return next(one for one in report.features if one.name == name)


@pytest.mark.parametrize("scored", [False, True])
def test_a_day_like_trainings_is_ok(profile: bytes, live: pa.Table, scored: bool) -> None:
    report = check(profile, live, scored=scored)
    assert report.verdict == "ok", report.sentence
    assert report.method == "conformal"
    assert (report.rate, report.reference_windows, report.rows) == (0.05, 60, ROWS)
    assert [one.name for one in report.features] == [*KINDS, *(["score"] if scored else [])]
    assert not report.outages
    # A weekday looks nothing like the week, but so do all others.
    assert feature(report, "weekday").psi > 1
    assert feature(report, "weekday").p_value > 0.5


def test_false_alarms_through_real_tables(profile: bytes, seed: int) -> None:
    days = [window(np.random.default_rng([5, seed, day]), day) for day in range(60, 120)]
    p_values = [check(profile, day).p_value or 0.0 for day in days]
    # For one reference the rate is itself random (Beta(3, 58)); 60 windows with 12 alarms are 1 in 10,000.
    assert sum(p <= 0.05 for p in p_values) <= 12
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.2)


def test_the_same_window_gets_the_same_report(profile: bytes, live: pa.Table) -> None:
    assert check(profile, live, scored=True) == check(profile, live, scored=True)
    fewer = live.slice(0, 150)
    assert check(profile, fewer).p_value == check(profile, fewer).p_value


def test_training_itself_and_its_windows_do_not_alarm(
    profile: bytes, training: tuple[pa.Table, np.ndarray]
) -> None:
    whole = compare(profile, training[0], training[1], DriftSpec())
    assert whole.verdict == "ok"
    assert max(one.psi for one in whole.features) < 1e-9
    assert "24,000 rows, in reference windows 400 to 400" in whole.notes[0]
    for day in range(0, 60, 6):
        assert check(profile, training[0].slice(day * ROWS, ROWS)).verdict == "ok"


def test_drift_in_what_matters_is_consequential(profile: bytes, live: pa.Table) -> None:
    warmer = set_column(live, "temp", live["temp"].to_numpy() + 4)
    report = check(profile, warmer)
    assert report.verdict == "consequential"
    assert report.sentence.startswith("temp moved by ")
    assert "50 % of the model's importance" in report.sentence
    temp = feature(report, "temp")
    assert temp.flagged
    assert temp.distance == pytest.approx(4, abs=0.6)
    assert temp.unit == "m"
    assert [one.name for one in report.features if one.flagged] == ["temp"]
    assert report.worst_first[0] is temp


def test_drift_in_what_does_not_matter_is_only_drift(profile: bytes, live: pa.Table) -> None:
    longer = set_column(live, "remark", ["x" * n for n in np.random.default_rng(6).poisson(50, ROWS)])
    report = check(profile, longer)
    assert report.verdict == "drifted"
    assert feature(report, "remark").unit == "characters"
    assert "0.99 % of the model's importance" in report.sentence


def test_drift_below_the_effect_floor_is_no_alarm(profile: bytes, live: pa.Table) -> None:
    warmer = set_column(live, "temp", live["temp"].to_numpy() + 4)
    report = check(profile, warmer, effect_floor=5.0)
    assert report.verdict == "ok"
    assert "less than the effect floor 5" in report.sentence
    assert report.p_value == check(profile, warmer).p_value


def test_scores_that_moved_are_consequential(profile: bytes, live: pa.Table) -> None:
    scores = scores_of(live, np.random.default_rng(4))
    report = compare(profile, live, np.clip(scores * 1.8, 0, 1), DriftSpec())
    assert report.verdict == "consequential"
    assert "the scores themselves moved" in report.sentence
    assert report.with_scores


def test_expected_auc_stands_beside_trainings(profile: bytes, live: pa.Table) -> None:
    report = check(profile, live, scored=True)
    assert (
        report.estimated_auc_reference[0]
        <= report.estimated["auc"].value
        <= report.estimated_auc_reference[1]
    )
    assert check(profile, live).estimated == {}


def test_missing_values_are_named_with_what_training_had(profile: bytes, live: pa.Table) -> None:
    gone = np.where(np.arange(ROWS) % 9 < 7, np.nan, live["wind_speed"].to_numpy())
    report = check(profile, set_column(live, "wind_speed", gone))
    assert report.verdict == "drifted"
    assert "wind_speed is missing in 78 % of rows; in training never" in report.sentence


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ({"temp": [None] * ROWS}, "temp is missing in 100 % of rows; in training at most"),
        (
            {
                "temp": [None] * ROWS,
                "wind_speed": [None] * ROWS,
                "delay": [None] * ROWS,
                "built": [None] * ROWS,
            },
            "temp, wind_speed and 2 more are missing in 100 % of rows; in training at most",
        ),
        ({"temp": [7.0] * ROWS}, "temp is the same in all rows; in training never"),
        ({"delay": [0.0] * ROWS}, "delay is the same in all rows"),
        ({"carrier": ["?"] * ROWS}, "carrier is the same in all rows"),
        ({"carrier": ["x", "y"] * (ROWS // 2)}, "carrier is of unknown levels only ('x' and 'y')"),
        (
            {"carrier": ["AA", *["x", "y"] * (ROWS // 2)][:ROWS]},
            "carrier is of unknown levels in 99.75 % of its values ('x' and 'y')",
        ),
        (
            {"wind_speed": list(np.random.default_rng(1).gamma(2, 5000, ROWS))},
            "wind_speed is of another scale",
        ),
    ],
)
def test_a_broken_column_is_an_outage(
    profile: bytes, live: pa.Table, broken: dict[str, Any], sentence: str
) -> None:
    for name, values in broken.items():
        live = set_column(live, name, values)
    report = check(profile, live)
    assert report.verdict == "outage"
    assert report.sentence.startswith(sentence)
    assert set(report.outages) == set(broken)
    # Tables list what is broken in the order in which the sentence names it.
    assert [one.name for one in report.worst_first[: len(broken)]] == list(report.outages)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"carrier": ["x", "AA", "y", None] * (ROWS // 4), "temp": [np.inf, -np.inf, None, 3.0] * (ROWS // 4)},
        {
            "wind_speed": list(np.random.default_rng(1).gamma(2, 5000, ROWS))
        },  # looked at once more, as a whole
        {"delay": [0.0] * ROWS, "built": [None] * ROWS, "holiday": [True] * ROWS},
    ],
    ids=["as it comes", "unseen and infinite", "scale", "constant"],
)
def test_a_window_read_leaf_by_leaf_gets_the_report_of_its_table(
    profile: bytes, live: pa.Table, tmp_path: Path, changed: dict[str, Any]
) -> None:
    for name, values in changed.items():
        live = set_column(live, name, values)
    with Freezer(tmp_path / "x.parquet", live.schema, where="x.sql") as freezer:
        for batch in live.combine_chunks().to_batches(max_chunksize=37):
            freezer.write(batch)
        freezer.keep()
    away = [0, 36, 37, 200, ROWS - 1]
    file, table = KeptColumns(tmp_path / "x.parquet", away), without(live, away).combine_chunks()
    assert check(profile, file, strata="weekday") == check(profile, table, strata="weekday")
    scores = np.random.default_rng(4).random(table.num_rows)
    assert compare(profile, file, scores, DriftSpec()) == compare(profile, table, scores, DriftSpec())


def test_columns_of_one_source_are_named_together() -> None:
    from rescore.drift.outage import Outage, describe

    found = [(f"weather_{name}", Outage("missing", 1.0, 0.03)) for name in ("temp", "wind", "dew", "gust")]
    said = "weather: temp, wind and 2 more are missing in 100 % of rows; in training at most 3 %"
    assert describe(found) == said


@pytest.mark.parametrize("scores", [np.full(ROWS, 0.2), np.random.default_rng(1).normal(0.2, 1e-4, ROWS)])
def test_collapsed_scores_are_an_outage(profile: bytes, live: pa.Table, scores: np.ndarray) -> None:
    report = compare(profile, live, scores, DriftSpec())
    assert report.verdict == "outage"
    assert report.outages == ("score",)


def test_a_rhythm_or_a_constant_is_no_outage(profile: bytes, live: pa.Table) -> None:
    sunday = set_column(live, "weekday", [6] * ROWS)
    assert check(profile, sunday).verdict == "ok"
    unknown_day = set_column(live, "weekday", [7] * ROWS)
    assert check(profile, unknown_day).verdict == "drifted"
    released = set_column(live, "version", [2.0] * ROWS)
    assert check(profile, released).verdict == "drifted"
    filled = set_column(live, "unused", [1.0] * ROWS)
    assert check(profile, filled).verdict == "drifted"


def test_a_seldom_true_flag_that_is_never_true_today_is_no_outage(
    make_spec: Spec, make_snapshot: Snapshot
) -> None:
    generator = np.random.default_rng(1)
    tables = [pa.table({"rare": np.r_[[True], generator.random(199) < 0.01]}) for _ in range(30)]
    profile = build_reference(make_snapshot(tables), make_spec(rare="boolean"), None, {})
    report = compare(profile, pa.table({"rare": [False] * 200}), None, DriftSpec())
    assert report.verdict != "outage"


def test_a_new_level_is_named(profile: bytes, live: pa.Table) -> None:
    levels = live["carrier"].to_pylist()
    levels[:40] = ["ZZ"] * 40
    report = check(profile, set_column(live, "carrier", levels))
    assert report.verdict in {"drifted", "consequential"}
    assert "10 % of rows have a level not known from training, like 'ZZ'" in feature(report, "carrier").note


def test_rows_set_aside_do_not_matter_to_the_scores(profile: bytes, live: pa.Table) -> None:
    scores = scores_of(live, np.random.default_rng(4))
    assert compare(profile, live, scores[:-30], DriftSpec()).verdict == "ok"


def test_an_empty_window_says_so(profile: bytes, live: pa.Table) -> None:
    report = check(profile, live.slice(0, 0))
    assert (report.verdict, report.method, report.p_value) == ("ok", "none", None)
    assert "no rows" in report.sentence


def test_few_reference_windows_fall_back_and_say_so(
    make_spec: Spec, make_snapshot: Snapshot, live: pa.Table
) -> None:
    kinds = {name: kind for name, kind in KINDS.items() if name not in {"weekday", "tail"}}
    tables = [window(np.random.default_rng([1, day]), day) for day in range(8)]
    profile = build_reference(make_snapshot(tables), make_spec(**kinds), None, IMPORTANCE)
    report = check(profile, live)
    assert (report.method, report.verdict) == ("extrapolated", "ok")
    assert "only 8 reference windows, fewer than 20" in report.notes[0]
    warmer = set_column(live, "temp", live["temp"].to_numpy() + 4)
    assert check(profile, warmer).verdict == "consequential"


def test_windows_too_few_for_any_statement_still_show_an_outage(
    make_spec: Spec, make_snapshot: Snapshot, live: pa.Table
) -> None:
    kinds = {name: kind for name, kind in KINDS.items() if name not in {"weekday", "tail"}}
    tables = [window(np.random.default_rng([1, day]), day) for day in range(7)]
    profile = build_reference(make_snapshot(tables), make_spec(**kinds), None, IMPORTANCE)
    warmer = set_column(live, "temp", live["temp"].to_numpy() + 40)
    report = check(profile, warmer)
    assert (report.method, report.verdict, report.p_value) == ("none", "ok", None)
    assert "Only 7 reference windows, 8 are needed" in report.sentence
    gone = set_column(live, "temp", [None] * live.num_rows)
    assert check(profile, gone).verdict == "outage"


def test_a_rate_the_package_cannot_keep_is_refused(profile: bytes, live: pa.Table) -> None:
    with pytest.raises(DriftError, match="60 reference windows can't resolve a false-alarm rate"):
        check(profile, live, false_alarm_rate=0.01)


def test_a_missing_feature_is_refused(profile: bytes, live: pa.Table) -> None:
    with pytest.raises(DriftError, match="lacks features"):
        check(profile, live.drop_columns(["temp"]))


def test_weekends_are_compared_with_weekends(make_spec: Spec, make_snapshot: Snapshot) -> None:
    def day_of(day: int, generator: np.random.Generator) -> pa.Table:
        table = window(generator, day, 200)
        weekend = (datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day)).weekday() >= 5
        return set_column(table, "temp", table["temp"].to_numpy() + (8 if weekend else 0)).select(
            ["event_time", "temp", "delay"]
        )

    tables = [day_of(day, np.random.default_rng([1, day])) for day in range(90)]
    profile = build_reference(make_snapshot(tables), make_spec(temp="numeric", delay="numeric"), None, {})
    strange = day_of(95, np.random.default_rng(9))  # a Friday
    strange = set_column(strange, "temp", strange["temp"].to_numpy() + 8)  # as warm as a Saturday
    assert check(profile, strange, strata="none").verdict == "ok"
    report = check(profile, strange, strata="weekday")
    assert report.verdict in {"drifted", "consequential"}
    assert (report.stratum, report.reference_windows) == ("weekday", 65)
    saturday = check(profile, day_of(96, np.random.default_rng(9)), strata="weekday")
    assert (saturday.stratum, saturday.reference_windows, saturday.verdict) == ("weekend", 25, "ok")
    with pytest.raises(DriftError, match="strata"):
        check(profile, strange.drop_columns(["event_time"]), strata="weekday")


@pytest.mark.slow
def test_wide_tables_small_windows_and_odd_values(make_spec: Spec, make_snapshot: Snapshot) -> None:
    generator = np.random.default_rng(1)
    kinds = {f"x{i}": "numeric" for i in range(600)}

    def wide(rows: int) -> pa.Table:
        values = generator.normal(size=(600, rows))
        values[0], values[1, 0], values[2, :3] = np.nan, np.inf, [1e308, -1e308, 5e-324]
        return pa.table({name: values[i] for i, name in enumerate(kinds)})

    profile = build_reference(make_snapshot([wide(50) for _ in range(20)]), make_spec(**kinds), None, {})
    report = check(profile, wide(50))
    assert len(report.features) == 600
    assert not report.outages
    assert feature(report, "x1").note == "infinite in 1 row"


def test_most_drifted_is_ordered_for_people(profile: bytes, live: pa.Table) -> None:
    broken = set_column(set_column(live, "built", [None] * ROWS), "temp", live["temp"].to_numpy() + 4)
    report = check(profile, broken)
    assert [one.name for one in report.worst_first[:2]] == ["built", "temp"]
    assert report.model_copy(update={"features": ()}).worst_first == []


def test_a_feature_that_training_never_had_asks_for_another_training(
    make_spec: Spec, make_snapshot: Snapshot
) -> None:
    generator = np.random.default_rng(8)

    def day(*, born: bool) -> pa.Table:
        values = generator.choice(["cat", "dog"], 200).tolist() if born else [None] * 200
        sizes = generator.normal(size=200) if born else np.full(200, np.nan)
        return pa.table(
            {"x": generator.normal(size=200), "pet": pa.array(values, pa.string()), "size": sizes}
        )

    snapshot = make_snapshot([day(born=False) for _ in range(30)])
    profile = build_reference(snapshot, make_spec(x="numeric", pet="categorical", size="numeric"), None, {})
    report = compare(profile, day(born=True), None, DriftSpec())
    assert report.verdict == "outage"
    assert "pet is there, but missing in all of training: train again, or drop it" in report.sentence
    assert report.remedy == "train again on a window that has pet, or drop it from the features"
    size = report.feature("size")
    assert size is not None and size.distance is None
    assert "missing in all of training: train again, or drop it" in size.note
