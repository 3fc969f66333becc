"""False alarms about performance in a year, and how long another rule under the same features goes untold.

    python bench/performance_alarms.py                  # some seven minutes
    python bench/performance_alarms.py --short          # three models instead of eight
    python bench/performance_alarms.py --write docs/guides/performance.md

A model is trained on 60 windows and looked at for a year of windows, each measured as it would be in
production: metrics with intervals, the estimate, segments. Features never change. In *another rule* the
weight of the first of three features is lower by what is said, of 1; the others stay. Every line is a world
of its own.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
from docs_tables import replace_table
from scipy.signal import lfilter

from rescore.evidence import Evidence, Look, limit_of
from rescore.performance import CameTrue, Outcomes, ScoreCalibration, measure, unusual, watched

SEED = 20_130_401
REFERENCE, DAYS = 60, 365
CHANGE_ON, LOOKED_FOR = 20, 100
WEIGHTS = np.asarray([1.0, 0.7, 0.5])
CHANGES = (0.5, 1.0, 2.0)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """What windows are like: days are off by ``days`` (target or logit), each like the last by ``memory``."""

    name: str
    kind: str
    rows: int = 300
    days: float = 0.2
    memory: float = 0.0
    sizes: float = 1.0
    segments: int = 0


WORLDS = [
    World("independent rows", "binary", days=0.0),
    World("days of their own", "binary"),
    World("days of their own", "regression"),
    World("days of their own", "multiclass"),
    World("3 segments", "binary", segments=3),
    World("sizes x.5 to x3", "regression", sizes=3.0),
    World("memory .5", "regression", memory=0.5),
    World("memory .8", "regression", memory=0.8),
]


class Model:
    """A trained model of a world, and the windows that it scores."""

    def __init__(self, world: World, seed: list[int], live: int) -> None:
        self._world, self._random = world, np.random.default_rng(seed)
        self._spec: Any = SimpleNamespace(target=SimpleNamespace(kind=world.kind))
        drawn = self._random.standard_normal(REFERENCE + live)
        drawn[1:] *= math.sqrt(1 - world.memory**2)
        self._days = world.days * lfilter([1.0], [1.0, -world.memory], drawn)
        self._calibration: ScoreCalibration | None = None
        rows = [self._window(day, 0.0) for day in range(REFERENCE)]
        if world.kind != "regression":
            bounds = np.cumsum([0, *(one.score.size for one in rows)]).tolist()
            scores = np.concatenate([one.score for one in rows])
            truth = np.concatenate([one.truth for one in rows])
            self._calibration = ScoreCalibration.fit(scores, truth == 1, bounds)
        reports = [measure(one, self._spec, self._calibration) for one in rows]
        trained = CameTrue.of([str(day) for day in range(REFERENCE)], reports)
        assert trained is not None
        self._trained = trained

    def look(self, day: int, change: float) -> Look:
        """What the window of a day after training says."""
        report = measure(self._window(REFERENCE + day, change), self._spec, self._calibration)
        found = unusual(self._trained, watched(report))
        assert found is not None
        return Look(str(day), found.statistic, found.reference, found.measures)

    def _window(self, day: int, change: float) -> Outcomes:
        world, random = self._world, self._random
        rows = (
            round(world.rows * math.exp(random.uniform(-math.log(2), math.log(3))))
            if world.sizes > 1
            else world.rows
        )
        features = random.standard_normal((rows, 3))
        known = features @ WEIGHTS
        truth = known - change * features[:, 0] + self._days[day]
        names = np.asarray([f"s{number}" for number in range(max(world.segments, 1))], dtype=object)
        segments = {"part": random.choice(names, rows)} if world.segments else {}
        if world.kind == "regression":
            return Outcomes(known, truth + random.standard_normal(rows), segments)
        score = 1 / (1 + np.exp(-known))
        came_true = random.random(rows) < 1 / (1 + np.exp(-truth))
        if world.kind == "multiclass":
            came_true, score = came_true == (score >= 0.5), np.maximum(score, 1 - score)
        return Outcomes(score, came_true.astype(np.float64), segments)


def alarms_in(model: Model, limit: float) -> int:
    """How many alarms are raised in a year."""
    evidence = Evidence()
    count = 0
    for day in range(DAYS):
        evidence.see(model.look(day, 0.0), limit)
        count += evidence.new
    return count


def delay(model: Model, change: float, limit: float) -> float:
    """Windows from the change to the alarm; infinite if there is none."""
    evidence = Evidence()
    for day in range(LOOKED_FOR):
        evidence.see(model.look(day, change if day >= CHANGE_ON else 0.0), limit)
        if day >= CHANGE_ON and evidence.raised:
            return float(day - CHANGE_ON + 1)
    return math.inf


def lines(models: int) -> list[str]:
    """One line for each world, at one false alarm a stream and year."""
    changes = " | ".join(f"delay, other by {change:g}" for change in CHANGES)
    found = [f"| target | windows | false alarms a year | ± | {changes} |", "|---|---|--:|--:|--:|--:|--:|"]
    limit = limit_of(365, 1, 1.0)
    for place, world in enumerate(WORLDS):
        raised = [alarms_in(Model(world, [SEED, place, number], DAYS), limit) for number in range(models)]
        waited = []
        for change in CHANGES:
            told = [
                delay(Model(world, [SEED, place, 1_000 + number], LOOKED_FOR), change, limit)
                for number in range(max(models // 2, 3))
            ]
            waited.append(float(np.median(told)))
        width = 1.96 * max(float(np.std(raised)), 1 / math.sqrt(models)) / math.sqrt(models)
        shown = " | ".join("–" if math.isinf(one) else f"{one:.0f}" for one in waited)
        found.append(f"| {world.kind} | {world.name} | {np.mean(raised):.2f} | {width:.2f} | {shown} |")
        print(found[-1], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--short", action="store_true", help="three models instead of eight")
    parser.add_argument("--write", type=Path, help="the page whose table is replaced")
    options = parser.parse_args()
    made = lines(3 if options.short else 8)
    if options.write:
        replace_table(options.write, "performance-alarms", Path(__file__).name, made)


if __name__ == "__main__":
    main()
