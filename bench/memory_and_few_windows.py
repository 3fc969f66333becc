"""False alarms where windows are few or resemble the ones before, and promotions where days do.

    python bench/memory_and_few_windows.py                 # some five minutes
    python bench/memory_and_few_windows.py --short         # a tenth of the draws
    python bench/memory_and_few_windows.py --write docs

Windows are drawn as counts, which is what the statistic sees; .05 is declared. Days of a comparison are drawn
as rows. Each line is a world of its own, with its 95 % half-width; there is no average over worlds.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from docs_tables import replace_table
from scipy import stats
from scipy.signal import lfilter

from rescore.comparison.resampling import MIN_BLOCKS, MIN_EFFECTIVE, Resampled, metric_of
from rescore.drift import calibration, distances
from rescore.drift.binning import OrderedCells
from rescore.drift.standardise import shape_standing, shift_standing, unusualness
from rescore.evidence import effective_windows, without_memory

SEED = 20_130_401
RATE = 0.05
LIVE_PER_REFERENCE = 4
#: Where more are silent, a rate of the others would be of a dozen windows.
MOSTLY_SILENT = 0.95
#: The live windows come so many windows after the last one of training, and after each other.
APART, NEXT = 20, 1
CELLS = OrderedCells.fit(stats.norm.ppf((np.arange(60_000) + 0.5) / 60_000), min_rows=10)

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """Windows whose levels wander, in standard deviations, each like the one before by ``memory``."""

    windows: int
    features: int
    rows: int
    memory: float
    wander: float = 0.1
    apart: int = APART


WORLDS = [
    World(60, 20, 10_000, 0.0),
    World(60, 20, 10_000, 0.5),
    World(60, 20, 10_000, 0.8),
    World(60, 20, 1_000, 0.8),
    World(60, 3, 10_000, 0.8),
    World(30, 20, 10_000, 0.8),
    World(120, 20, 10_000, 0.8),
    World(8, 20, 1_000, 0.0),
    World(12, 20, 1_000, 0.0),
    World(12, 3, 1_000, 0.0),
    World(17, 20, 1_000, 0.0),
    World(12, 20, 1_000, 0.3),
    World(12, 20, 1_000, 0.5),
    World(12, 20, 1_000, 0.8),
    World(12, 3, 1_000, 0.5),
    World(20, 20, 10_000, 0.0),
    World(20, 20, 10_000, 0.5),
    World(20, 20, 10_000, 0.8),
    World(120, 20, 10_000, 0.5),
    World(60, 20, 200, 0.8, apart=NEXT),
    World(60, 20, 1_000, 0.8, apart=NEXT),
    World(60, 20, 10_000, 0.8, apart=NEXT),
]


def wandered(generator: np.random.Generator, steps: int, features: int, memory: float) -> Floats:
    """An AR(1) of standard deviation 1, shape (n_steps, n_features)."""
    level = generator.standard_normal((steps, features))
    level[1:] *= math.sqrt(1 - memory**2)
    return np.asarray(lfilter([1.0], [1.0, -memory], level, axis=0))


def drawn(levels: Floats, rows: int, generator: np.random.Generator) -> Counts:
    """Rows in each cell, shape (n_windows, n_features, n_cells)."""
    shares = np.diff(stats.norm.cdf(CELLS.edges - levels[..., None]), axis=-1, prepend=0, append=1)
    return generator.multinomial(rows, shares)


def standings(counts: Counts) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """How far out each window is in each statistic, the live one last; and which of them have two sides."""
    firsts = np.flatnonzero(np.diff(CELLS.groups, prepend=-1))
    standing = []
    for feature in range(counts.shape[1]):
        own = np.ascontiguousarray(counts[:, feature])
        others = calibration.others_of(own)
        shift = distances.shift(own, others, CELLS.places)[:, None]
        standing.append(shift_standing(shift, distances.shift_noise(own, others, CELLS.places)[:, None]))
        grouped, rest = (np.add.reduceat(one, firsts, axis=1) for one in (own, others))
        measures = (distances.psi, distances.psi_noise, distances.psi_freedom)
        standing.append(shape_standing(*(measure(grouped, rest)[:, None] for measure in measures)))
    return np.hstack(standing), np.tile([True, False], counts.shape[1])


def p_values(levels: Floats, rows: int, generator: np.random.Generator) -> tuple[float, float, float]:
    """Of the last window: as it is judged, as if windows had no memory, and what they are worth.

    Windows that are worth too few say nothing: NaN.
    """
    windows = levels.shape[0]
    every, two_sided = standings(drawn(levels, rows, generator))
    worth = float(effective_windows(every[:-1, two_sided]).mean())
    method = calibration.method_of(windows - 1, worth)
    p_of = calibration.conformal_p if windows > calibration.MIN_RANKED else calibration.extrapolated_p
    found = []
    for one in (without_memory(every, two_sided), every):
        greatest = unusualness(one, two_sided).max(axis=1)
        found.append(float(p_of(greatest[:-1], greatest[-1])))
    return math.nan if method == "none" else found[0], found[1], worth


def half_width(alarms: Floats) -> float:
    """95 %, of alarms of shape (n_references, n_live): what shares a reference is no independent draw."""
    means = alarms.mean(axis=1)
    chance = math.sqrt(max(float(means.mean()), 1 / alarms.size) / alarms.shape[1])
    return 1.96 * max(float(means.std()), chance) / math.sqrt(means.size)


def false_alarms(references: int) -> list[str]:
    """One line for each world."""
    lines = [
        "| windows | features | rows | memory | after | worth | silent | false alarms | ± "
        "| of those that speak | uncorrected |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for place, world in enumerate(WORLDS):
        generator = np.random.default_rng([SEED, place])
        found = []
        for _ in range(references):
            steps = world.windows + world.apart * LIVE_PER_REFERENCE
            levels = world.wander * wandered(generator, steps, world.features, world.memory)
            for live in range(LIVE_PER_REFERENCE):
                last = levels[world.windows + world.apart * (live + 1) - 1]
                window = np.vstack([levels[: world.windows], last])
                found.append(p_values(window, world.rows, generator))
        ours, plain, worth = np.asarray(found).T
        rate, before = (float((p <= RATE + 1e-12).mean()) for p in (ours, plain))
        said = (ours <= RATE + 1e-12).astype(np.float64)
        width = half_width(said.reshape(references, LIVE_PER_REFERENCE))
        silent = float(np.isnan(ours).mean())
        speaking = f"{rate / (1 - silent):.3f}" if silent < MOSTLY_SILENT else "–"
        lines.append(
            f"| {world.windows} | {world.features} | {world.rows:,} | {world.memory:g} "
            f"| {world.apart} | {worth.mean():.0f} | {silent:.2f} | {rate:.3f} | {width:.3f} "
            f"| {speaking} | {before:.3f} |"
        )
        print(lines[-1], flush=True)
    return lines


def rivals(
    generator: np.random.Generator, days: int, memory: float, gain: float, rows: int = 120
) -> tuple[npt.NDArray[np.int64], Floats, Floats, npt.NDArray[np.int64]]:
    """Truth and the scores of two models, each with good and bad days of its own; and the day of each row."""
    block = np.repeat(np.arange(days), rows)
    signal = generator.standard_normal(days * rows)
    hard = generator.normal(0, 0.5, days)[block]
    truth = (signal + generator.logistic(size=len(signal)) > hard).astype(np.int64)
    raws = []
    for better in (0.0, gain):
        moods = wandered(generator, days, 2, memory)[block]
        seen = (0.6 + better + 0.3 * moods[:, 0]) * signal + 0.6 * moods[:, 1]
        score = 1 / (1 + np.exp(-(seen + generator.standard_normal(len(signal)))))
        raws.append(np.column_stack([1 - score, score]))
    return truth, raws[0], raws[1], block


def promotions(pairs: int) -> list[str]:
    """How often a challenger's gain is beyond chance, by the rule; one line for each world."""
    lines = [
        "| days | memory of days | challenger | metric | days are worth | promoted | ± |",
        "|--:|--:|---|---|--:|--:|--:|",
    ]
    worlds = [(15, 0.0, 0.0), (30, 0.0, 0.0), (15, 0.8, 0.0), (30, 0.5, 0.0), (30, 0.8, 0.0), (15, 0.0, 1.5),
              (30, 0.0, 0.7)]  # fmt: skip
    for place, (days, memory, gain) in enumerate(worlds):
        for metric in ("auc", "brier"):
            generator = np.random.default_rng([SEED, place])
            promoted, worth = [], []
            for _ in range(pairs):
                truth, old, new, block = rivals(generator, days, memory, gain)
                one, other = (metric_of(metric, truth, raw, None, block, days) for raw in (new, old))
                sign = 1 if metric == "auc" else -1
                resampled = Resampled(days)

                def difference(counts, one=one, other=other, sign=sign):  # type: ignore[no-untyped-def]
                    return sign * (one(counts) - other(counts))

                low = resampled.interval(difference)[1]
                worth.append(resampled.effective_blocks(difference))
                enough = days >= MIN_BLOCKS and worth[-1] >= MIN_EFFECTIVE
                promoted.append(enough and low is not None and low > 0)
            rate = float(np.mean(promoted))
            width = 1.96 * math.sqrt(max(rate * (1 - rate), 0.25 / pairs) / pairs)
            name = "better" if gain else "as good"
            lines.append(
                f"| {days} | {memory:g} | {name} | {metric} | {np.median(worth):.0f} "
                f"| {rate:.3f} | {width:.3f} |"
            )
            print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a tenth of the draws")
    parser.add_argument("--table", choices=["memory", "promotions"], help="only this one")
    parser.add_argument("--write", type=Path, help="the folder docs, whose tables are replaced")
    options = parser.parse_args()
    tables = {
        "memory": ("drift.md", lambda: false_alarms(8 if options.short else 60)),
        "promotions": ("champion-and-challenger.md", lambda: promotions(30 if options.short else 300)),
    }
    for name, (page, made) in tables.items():
        if options.table not in (None, name):
            continue
        lines = made()
        if options.write:
            replace_table(options.write / "guides" / page, name, Path(__file__).name, lines)


if __name__ == "__main__":
    main()
