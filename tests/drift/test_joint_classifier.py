"""Features compared jointly: what no feature alone shows is found, and nothing else alarms more."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from rescore.drift import DriftReport, TrainingRows, build_reference, compare, sample_rows
from rescore.drift.joint_columns import normal_scores
from rescore.spec import DriftSpec, ModelSpec

Spec = Callable[..., ModelSpec]
Snapshot = Callable[[list[pa.Table]], pa.Table]

KINDS = {**{f"x{i}": "numeric" for i in range(8)}, "c": "categorical", "b": "boolean", "built": "datetime"}
JOINTLY = DriftSpec(jointly=True)


def day(generator: np.random.Generator, rows: int, correlation: float = 0.0, **changed: Any) -> pa.Table:
    """Features of several shapes; ``x0`` and ``x1`` go together by ``correlation``, each as ever."""
    z = generator.normal(size=(8, rows))
    z[1] = correlation * z[0] + np.sqrt(1 - correlation**2) * z[1]
    z[2], z[3] = np.exp(z[2]), np.where(z[3] < 0.5, 0.0, z[3])
    event = datetime(2024, 1, 1, 12, tzinfo=UTC)
    columns = {
        "event_time": pa.array([event] * rows, pa.timestamp("us", tz="UTC")),
        **{f"x{i}": pa.array(values, mask=generator.random(rows) < 0.01 * i) for i, values in enumerate(z)},
        "c": pa.array(generator.choice(["AA", "UA", "DL"], rows)).dictionary_encode(),
        "b": generator.random(rows) < 0.3,
        "built": pa.array([event - timedelta(days=int(n)) for n in generator.integers(1, 9999, rows)]),
    }
    return pa.table({**columns, **changed})


@pytest.fixture
def reference(make_spec: Spec, make_snapshot: Snapshot) -> Callable[..., tuple[bytes, TrainingRows]]:
    def make(windows: int, rows: int, seed: int = 0, **importance: float) -> tuple[bytes, TrainingRows]:
        days = [day(np.random.default_rng([seed, 1, one]), rows) for one in range(windows)]
        snapshot = make_snapshot(days)
        profile = build_reference(snapshot, make_spec(**KINDS, drift={"jointly": True}), None, importance)
        return profile, TrainingRows(sample_rows(snapshot, 1), seed=1)

    return make


def check(given: tuple[bytes, TrainingRows], live: pa.Table, drift: DriftSpec = JOINTLY) -> DriftReport:
    report = compare(given[0], live, None, drift, training=given[1])
    json.dumps(report.to_dict(), allow_nan=False)
    return report


def test_a_correlation_that_changed_while_every_margin_stayed_is_found(reference: Any, seed: int) -> None:
    given = reference(40, 1_000, x0=0.2, x5=0.8)
    live = day(np.random.default_rng([seed, 2]), 1_000, correlation=0.6)
    report = check(given, live)
    assert report.joint is not None
    assert (report.joint.flagged, report.joint.method) == (True, "classifier_rank")
    assert report.joint.p_value == report.p_value == pytest.approx(1 / 41)
    assert report.joint.auc > report.joint.auc_reference_high > 0.5
    assert report.joint.features == ("x0", "x1")
    pair = report.joint.pairs[0]
    assert pair.correlation == pytest.approx(0.6, abs=0.1)
    assert pair.correlation_reference == pytest.approx(0.0, abs=0.02)
    # x0 carries a fifth of the importance.
    assert report.verdict == "consequential"
    assert "x0 and x1 go together unlike in training (correlation 0." in report.sentence
    assert "It matters: 20 % of the model's importance" in report.sentence
    assert compare(given[0], live, None, DriftSpec()).joint is None


def test_levels_and_numbers_that_go_together_are_found(reference: Any, seed: int) -> None:
    given = reference(40, 400)
    live = day(np.random.default_rng([seed, 3]), 400)
    wanted = live["b"].to_numpy()
    values = np.sort(np.random.default_rng(seed).normal(size=400))
    # As many of either as ever, but the largest values are all where the flag is set.
    x4 = np.empty(400)
    x4[~wanted], x4[wanted] = values[: (~wanted).sum()], values[(~wanted).sum() :]
    place = live.column_names.index("x4")
    report = check(given, live.set_column(place, "x4", pa.array(x4)))
    assert report.joint is not None
    assert report.joint.features == ("x4", "b")
    assert report.verdict == "drifted"


def test_the_same_window_and_seed_give_the_same_report(reference: Any) -> None:
    given = reference(25, 100)
    live = day(np.random.default_rng(4), 70)  # smaller than any: all are thinned to its size
    report = check(given, live)
    assert report.joint is not None
    assert report.joint.rows == 70
    assert report.joint.reference_rows == 25 * 70
    assert check(given, live) == report
    assert sample_rows(given[1].rows, 1).num_rows == given[1].rows.num_rows


def test_few_windows_are_judged_jointly_too(reference: Any, seed: int) -> None:
    given = reference(12, 400, seed)
    calm = check(given, day(np.random.default_rng([seed, 5]), 400))
    assert calm.joint is not None
    assert (calm.method, calm.joint.method) == ("extrapolated", "classifier_rank")
    report = check(given, day(np.random.default_rng([seed, 6]), 400, correlation=0.6))
    assert report.joint is not None
    assert report.joint.flagged
    assert report.verdict == "drifted"


def test_an_effect_floor_holds_for_features_together_too(reference: Any) -> None:
    given = reference(25, 400)
    live = day(np.random.default_rng(7), 400, correlation=0.6)
    report = check(given, live, DriftSpec(jointly=True, effect_floor=5.0))
    assert report.joint is not None
    assert not report.joint.flagged
    assert report.verdict == "ok"


@pytest.mark.parametrize(
    ("training", "rows", "said"),
    [
        pytest.param(None, 60, "no training rows were given", id="nothing given"),
        pytest.param(TrainingRows(None, why_none="it is gone"), 60, "it is gone", id="gone"),
        pytest.param(TrainingRows(pa.table({"x": [1.0]})), 60, "the training rows lack b, built", id="other"),
        pytest.param("real", 12, "30 rows are needed; 12 here", id="few rows"),
    ],
)
def test_a_report_says_why_features_were_not_compared_jointly(
    reference: Any, training: Any, rows: int, said: str
) -> None:
    given = reference(20, 60)
    live = day(np.random.default_rng(8), rows)
    report = check((given[0], given[1] if training == "real" else training), live)
    assert report.joint is None
    assert any(note.startswith(f"features were not compared jointly: {said}") for note in report.notes)
    alone = compare(given[0], live, None, DriftSpec())
    assert (report.p_value, report.features) == (alone.p_value, alone.features)


def test_a_sample_holds_as_many_rows_of_every_window(make_snapshot: Snapshot) -> None:
    days = [pa.table({"x": np.arange(rows, dtype=float)}) for rows in (4_000, 900, 2_500)]
    many = make_snapshot(days * 20)  # 60 windows: 833 rows each
    sample = sample_rows(many, 3)
    assert set(np.unique(sample["interval_start"].to_numpy(), return_counts=True)[1]) == {833}
    assert sample.equals(sample_rows(many, 3))
    assert not sample.equals(sample_rows(many, 4))
    assert sample_rows(many.slice(0, 0), 3).num_rows == 0


def test_normal_scores_are_by_ranks_within_each_window(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.normal(size=200)
    window = np.repeat([0, 1], 100)
    moved = np.where(window == 1, np.exp(values + 3), values)
    scores = normal_scores(np.stack([values, moved], axis=1), window)
    assert scores[:, 0] == pytest.approx(scores[:, 1])
    wanted = stats.norm.ppf((stats.rankdata(values[:100]) - 0.5) / 100)
    assert scores[:100, 0] == pytest.approx(wanted / wanted.std())
    gaps = normal_scores(
        np.array([[np.nan], [2.0], [2.0], [5.0], [7.0], [7.0]]), np.array([0, 0, 0, 0, 1, 1])
    )
    assert gaps[[0, 4, 5], 0].tolist() == [0.0, 0.0, 0.0]
    assert gaps[1, 0] == gaps[2, 0] < gaps[3, 0]


@pytest.mark.slow
def test_false_alarms_stay_as_declared(reference: Any, seed: int) -> None:
    alarms, draws = 0, 0
    for one in range(20):
        given = reference(40, 150, seed=1_000 * seed + one)
        for live in range(10):
            report = check(given, day(np.random.default_rng([seed, 9, one, live]), 150))
            alarms += (report.p_value or 0.0) <= 0.05
            draws += 1
    # 2 of 41 ranks alarm; one reference has a rate of its own, spread around that by .033.
    low, high = stats.betabinom.ppf([5e-5, 1 - 5e-5], draws, 2 * 10, 39 * 10)
    assert low <= alarms <= high, f"{alarms} of {draws} windows without drift alarmed"
