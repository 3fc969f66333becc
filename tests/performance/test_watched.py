"""Windows that came true otherwise than training's are unusual, and no others more often than by chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rescore.performance import CameTrue, Outcomes, ScoreCalibration, measure, unusual, watched
from rescore.spec import ModelSpec

WINDOWS = 60


def spec_of(kind: str) -> ModelSpec:
    """As much of a declaration as a measurement looks at."""
    target = {"name": "y", "kind": kind}
    return ModelSpec.model_validate(
        {
            "name": "watched",
            "version": "1.0",
            "owner": "nobody",
            "source": {"connection": "c", "key": ["id"], "event_time": "at", "known_by": {"column": "at"}},
            "features": [{"name": "x", "kind": "numeric"}, {"name": "where", "kind": "categorical"}],
            "segments": ["where"],
            "target": target,
            "output": {"unit": "u", "meaning": "m"},
            "schedule": {"cron": "0 0 * * *", "timezone": "UTC", "start": "2024-01-01"},
            "training": {"intervals": 60, "seed": 1},
        }
    )


class World:
    """Windows of 150 to 600 rows with days of their own, and a model that knows what there is to know."""

    def __init__(self, seed: int, kind: str) -> None:
        self.random, self.kind, self.spec = np.random.default_rng(seed), kind, spec_of(kind)
        self.calibration: ScoreCalibration | None = None
        rows = [self.window() for _ in range(WINDOWS)]
        if kind != "regression":
            bounds = np.cumsum([0, *(len(one.score) for one in rows)]).tolist()
            scores, truth = (
                np.concatenate([getattr(one, name) for one in rows]) for name in ("score", "truth")
            )
            self.calibration = ScoreCalibration.fit(scores, truth == 1, bounds)
        trained = CameTrue.of([str(day) for day in range(WINDOWS)], [self.measured(one) for one in rows])
        assert trained is not None
        self.trained = trained

    def window(self, other: float = 0.0, *, only: str | None = None) -> Outcomes:
        """Outcomes follow another rule by ``other``, the features none; ``only`` in one place."""
        rows = int(self.random.integers(150, 600))
        known, changed = self.random.normal(size=(2, rows))
        where = self.random.choice(np.asarray(["pier", "lock", "buoy"], dtype=object), rows)
        here = np.ones(rows, dtype=bool) if only is None else where == only
        truth = 1.5 * known + 0.2 * self.random.normal() + np.where(here, other * (changed - known), 0.0)
        if self.kind == "regression":
            return Outcomes(1.5 * known, truth + self.random.normal(size=rows), {"where": where})
        score = 1 / (1 + np.exp(-1.5 * known))
        came_true = self.random.random(rows) < 1 / (1 + np.exp(-truth))
        if self.kind == "multiclass":
            came_true = came_true == (score >= 0.5)
            score = np.maximum(score, 1 - score)
        return Outcomes(score, came_true.astype(np.float64), {"where": where})

    def measured(self, rows: Outcomes) -> Any:
        return measure(rows, self.spec, self.calibration)

    def look(self, other: float = 0.0, *, only: str | None = None) -> tuple[float, tuple[str, ...]]:
        """The rank among training's windows as a p-value, and what is named."""
        found = unusual(self.trained, watched(self.measured(self.window(other, only=only))))
        assert found is not None
        above = sum(one >= found.statistic for one in found.reference)
        return (1 + above) / (1 + WINDOWS), found.measures


KINDS = ["binary", "multiclass", "regression"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_windows_like_trainings_are_ranked_like_them(seed: int, kind: str) -> None:
    found = []
    for draw in range(4):
        world = World(seed + draw, kind)
        found += [world.look()[0] for _ in range(25)]
    # 100 looks at a tenth, those of one training together: 3 to 20 in 99 % of trials.
    assert 2 <= sum(p <= 0.1 for p in found) <= 21
    assert 25 <= sum(p <= 0.5 for p in found) <= 75


@pytest.mark.parametrize("kind", KINDS)
def test_another_rule_under_the_same_features_is_found_and_named(seed: int, kind: str) -> None:
    world = World(seed, kind)
    looks = [world.look(1.2) for _ in range(8)]
    assert sum(p <= 2 / 61 for p, _ in looks) >= 6
    first = [named[0].partition(" ")[0] for p, named in looks if p <= 0.1]
    expected = {"binary": {"auc", "brier"}, "multiclass": {"accuracy"}, "regression": {"rmse"}}[kind]
    assert len(set(first) & expected) > 0


def test_another_rule_in_one_segment_is_named_as_that_segments(seed: int) -> None:
    world = World(seed, "regression")
    looks = [world.look(2.0, only="lock") for _ in range(5)]
    assert all(p <= 3 / 61 for p, _ in looks)
    assert [named[0] for _, named in looks].count("rmse of where lock") >= 3
    assert not any("pier" in name for _, named in looks for name in named[:1])


def test_what_training_knows_of_its_windows_is_kept_as_it_was_measured(seed: int) -> None:
    trained = World(seed, "binary").trained
    assert CameTrue.from_dict(trained.to_dict()).to_dict() == trained.to_dict()
    assert len(trained.starts) == WINDOWS
    assert {"auc", "brier", "base_rate against its estimate", "brier of where pier"} <= set(trained.values)
    assert set(trained.values) == set(trained.errors)


def test_few_labels_or_strange_ones_say_nothing(seed: int) -> None:
    world = World(seed, "binary")
    report = world.measured(world.window())
    assert watched(report.model_copy(update={"labelled": 19})) == {}
    assert watched(report.model_copy(update={"unknown_labels": {"ja": 3}})) == {}
    assert CameTrue.of([str(n) for n in range(7)], [report] * 7) is None
    assert unusual(world.trained, {}) is None


def test_a_window_without_a_segment_is_ranked_among_training_windows_in_all_of_theirs(seed: int) -> None:
    random = np.random.default_rng(seed)
    badly, lacking = range(0, WINDOWS, 10), range(1, WINDOWS, 3)  # windows that did so in a city, or lack it
    rmse, west = random.standard_normal((2, WINDOWS))
    west[badly] += 30.0
    kept = {
        "rmse": tuple(rmse.tolist()),
        "rmse of city west": tuple(
            None if place in lacking else one for place, one in enumerate(west.tolist())
        ),
    }
    errors = {name: tuple(None if one is None else 1.0 for one in column) for name, column in kept.items()}
    trained = CameTrue(starts=tuple(map(str, range(WINDOWS))), values=kept, errors=errors)
    found = unusual(trained, {"rmse": (2.0, 1.0)})
    assert found is not None
    # Were training's windows looked at in what this one has alone, none would be as unusual.
    assert sum(one >= found.statistic for one in found.reference) >= 4
    assert unusual(trained, {"auc": (4.0, 1.0)}) is None
