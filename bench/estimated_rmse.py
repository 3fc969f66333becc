"""How often the band of a regression's estimated error holds what comes true, with and without a shift.

    python bench/estimated_rmse.py                 # some three minutes
    python bench/estimated_rmse.py --short         # a fifth of the draws
    python bench/estimated_rmse.py --write docs

Six features, one of which moves; windows of 400 rows. Each line is a world of its own; ± is 95 %.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from docs_tables import replace_table

from rescore.drift.binning import OrderedCells
from rescore.drift.expected_loss import CodedFeature, ExpectedLoss

SEED = 20_130_401
FEATURES, ROWS, LIVE = 6, 400, 20
SHIFTS = (0.0, 0.5, 1.0, 2.0)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """How errors come about.

    Attributes
    ----------
    windows : int
        Of training.
    depends : float
        What a standard deviation of the first feature does to the logarithm of the error's spread.
    days : float
        By how much days differ, in bias and in the logarithm of the spread.
    tail : float
        Degrees of freedom of the errors' Student's t; infinite for normal ones.
    """

    name: str
    windows: int
    depends: float = 0.4
    days: float = 0.0
    tail: float = math.inf

    def draw(self, generator: np.random.Generator, windows: int, shift: float) -> tuple[Floats, Floats]:
        """Features and scores, shape (n_windows, n_rows, n_features + 1), and squared errors."""
        values = generator.standard_normal((windows, ROWS, FEATURES))
        values[..., 0] += shift
        spread = np.exp(self.depends * (values[..., 0] + 0.3 * values[..., 1]))
        chance = generator.standard_normal((windows, ROWS))
        if math.isfinite(self.tail):
            chance = generator.standard_t(self.tail, (windows, ROWS)) * math.sqrt(1 - 2 / self.tail)
        of_day = self.days * generator.standard_normal((2, windows, 1))
        scores = values[..., 1] + 0.3 * values[..., 2]
        squares = (spread * chance * np.exp(of_day[0]) + of_day[1]) ** 2
        return np.concatenate([values, scores[..., None]], axis=-1), squares


WORLDS = [
    World("errors alike", 60, depends=0.0),
    World("errors depend on the feature", 60),
    World("errors depend on the feature", 20),
    World("… and days differ", 60, days=0.2),
    World("… and tails are heavy (t, 5)", 60, days=0.2, tail=5.0),
    World("… and tails are heavy (t, 5)", 20, days=0.2, tail=5.0),
]


def held(world: World, shift: float, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Per live window of one reference: the band held, the band of training's own error held."""
    values, squares = world.draw(generator, world.windows, 0.0)
    every = values.reshape(-1, FEATURES + 1)
    cells = [OrderedCells.fit(column, min_rows=10) for column in every.T]
    coded = [
        CodedFeature(str(place), one.codes(column), np.append(one.places, np.nan))
        for place, (one, column) in enumerate(zip(cells, every.T, strict=True))
    ]
    fitted = ExpectedLoss.fit(coded, squares.ravel(), np.arange(world.windows + 1) * ROWS)
    assert fitted is not None
    usual = fitted.estimate(_counts(cells, every))["rmse"]
    live, truth = world.draw(generator, LIVE, shift)
    found, own = np.empty(LIVE), np.empty(LIVE)
    for place in range(LIVE):
        expected = fitted.estimate(_counts(cells, live[place]))["rmse"]
        realised = math.sqrt(truth[place].mean())
        assert expected.low is not None and expected.high is not None
        assert usual.value is not None and expected.value is not None
        found[place] = expected.low <= realised <= expected.high
        scale = usual.value / expected.value
        own[place] = expected.low * scale <= realised <= expected.high * scale
    return found, own


def _counts(cells: list[OrderedCells], values: Floats) -> dict[str, npt.NDArray[np.int64]]:
    return {str(place): one.tally([values[:, place]]).counts for place, one in enumerate(cells)}


def table(references: int) -> list[str]:
    """One line for each world and shift."""
    lines = [
        "| errors | windows | moved by, sd | band held | ± | training's own |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for place, world in enumerate(WORLDS):
        for shift in SHIFTS:
            generator = np.random.default_rng([SEED, place])
            found, own = (
                np.concatenate(one)
                for one in zip(*(held(world, shift, generator) for _ in range(references)), strict=True)
            )
            rate, draws = float(found.mean()), found.size / (1 + (LIVE - 1) / world.windows)
            width = 1.96 * math.sqrt(max(rate * (1 - rate), 0.25 / draws) / draws)
            lines.append(
                f"| {world.name} | {world.windows} | {shift:g} "
                f"| {rate:.2f} | {width:.2f} | {own.mean():.2f} |"
            )
            print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a fifth of the draws")
    parser.add_argument("--write", type=Path, help="the folder docs, whose table is replaced")
    options = parser.parse_args()
    lines = table(3 if options.short else 15)
    if options.write:
        replace_table(
            options.write / "guides" / "performance.md", "estimated-rmse", Path(__file__).name, lines
        )


if __name__ == "__main__":
    main()
