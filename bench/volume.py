"""How often windows alarm where the number of rows is ranked beside their features, by kind of business.

    python bench/volume.py                 # some two minutes
    python bench/volume.py --short         # a tenth of the draws
    python bench/volume.py --write docs

Training has 60 days; live days come up to a year later, all days between were published. Twenty features that
are as they were in training; .05 is declared. Each line is a world of its own, with its 95 % half-width.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
from docs_tables import replace_table
from scipy.signal import lfilter

from rescore.drift import WindowRows
from rescore.drift.calibration import conformal_p
from rescore.drift.standardise import classifier_standing, unusualness
from rescore.drift.verdict import SMALL_EFFECT
from rescore.drift.volume import compare_volume

SEED = 20_130_401
RATE = 0.05
TRAINING, YEAR, FEATURES = 60, 365, 20
START = datetime(2024, 1, 1, tzinfo=UTC)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """How a business's number of rows goes: everything in logarithms, growth for a year."""

    name: str
    spread: float = 0.1
    memory: float = 0.0
    weekend: float = 0.0
    growth: float = 0.0
    walk: float = 0.0
    holidays: float = 0.0

    def draw(self, generator: np.random.Generator) -> npt.NDArray[np.int64]:
        """Rows of each day."""
        day = np.arange(TRAINING + YEAR)
        chance = generator.standard_normal(day.size)
        chance[1:] *= math.sqrt(1 - self.memory**2)
        logs = math.log(5_000) + self.spread * lfilter([1.0], [1.0, -self.memory], chance)
        logs += self.walk * np.cumsum(generator.standard_normal(day.size)) + self.growth * day / YEAR
        logs += np.where(day % 7 >= 5, self.weekend, 0.0)
        logs -= np.where(generator.random(day.size) < self.holidays, 0.5, 0.0)
        return np.maximum(np.rint(np.exp(logs)), 1).astype(np.int64)


WORLDS = [
    World("alike"),
    World("weekends have 40 %", weekend=math.log(0.4)),
    World("twice as many in a year", weekend=math.log(0.4), growth=math.log(2)),
    World("half as many in a year", weekend=math.log(0.4), growth=-math.log(2)),
    World("each day like the one before (.5)", spread=0.2, memory=0.5),
    World("each day like the one before (.8)", spread=0.2, memory=0.8),
    World("a random walk of 3 % a day", walk=0.03),
    World("ten holidays a year with 40 % fewer", weekend=math.log(0.4), holidays=10 / 365),
]


@dataclass(frozen=True)
class Found:
    """Of one live day: whether the window alarms, without the number of rows too, what is said of it."""

    alarms: bool
    alarms_without: bool
    flagged: bool
    outage: bool
    half_is_outage: bool


def look(rows: npt.NDArray[np.int64], day: int, generator: np.random.Generator) -> Found:
    """Judge a day by training and the days since."""
    windows = [WindowRows(START + timedelta(days=one), int(n)) for one, n in enumerate(rows[:day])]
    live = WindowRows(START + timedelta(days=day), int(rows[day]))
    half = WindowRows(live.start, live.rows // 2)
    places = np.arange(TRAINING)
    found, halved = (
        compare_volume(windows[:TRAINING], places, windows[TRAINING:], one, "UTC") for one in (live, half)
    )
    assert found is not None and halved is not None
    features = generator.standard_normal((TRAINING + 1, FEATURES))
    standing = classifier_standing(features, np.zeros_like(features))
    two_sided = np.ones(FEATURES + 1, dtype=bool)
    each = unusualness(np.hstack([standing, found.standing]), two_sided)
    greatest, without = each.max(axis=1), each[:, :-1].max(axis=1)
    p, p_without = (float(conformal_p(one[:-1], one[-1])) for one in (greatest, without))
    own = float(conformal_p(greatest[:-1], each[-1, -1]))
    return Found(
        alarms=p <= RATE + 1e-12,
        alarms_without=p_without <= RATE + 1e-12,
        flagged=own <= RATE + 1e-12 and found.effect >= SMALL_EFFECT,
        outage=found.outage,
        half_is_outage=halved.outage,
    )


def half_width(rate: float, draws: int) -> float:
    """95 %, as of independent draws."""
    return 1.96 * math.sqrt(max(rate * (1 - rate), 0.25 / draws) / draws)


def table(draws: int) -> list[str]:
    """One line for each world."""
    lines = [
        "| number of rows | false alarms | ± | by features alone | number flagged | outage | half a table |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for place, world in enumerate(WORLDS):
        generator = np.random.default_rng([SEED, place])
        found = []
        for _ in range(draws // 4):
            rows = world.draw(generator)
            days = generator.integers(TRAINING + 1, TRAINING + YEAR, 4)
            found += [look(rows, int(day), generator) for day in days]
        names = ("alarms", "alarms_without", "flagged", "outage", "half_is_outage")
        rates = {name: float(np.mean([getattr(one, name) for one in found])) for name in names}
        lines.append(
            f"| {world.name} | {rates['alarms']:.3f} | {half_width(rates['alarms'], len(found)):.3f} "
            f"| {rates['alarms_without']:.3f} | {rates['flagged']:.3f} | {rates['outage']:.3f} "
            f"| {rates['half_is_outage']:.2f} |"
        )
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a tenth of the draws")
    parser.add_argument("--write", type=Path, help="the folder docs, whose table is replaced")
    options = parser.parse_args()
    lines = table(160 if options.short else 1_600)
    if options.write:
        replace_table(options.write / "guides" / "drift.md", "volume", Path(__file__).name, lines)


if __name__ == "__main__":
    main()
