"""How often live days promote a challenger that is no better, and how soon one that is better.

    python bench/shadow_challengers.py                  # under two minutes
    python bench/shadow_challengers.py --short          # a tenth of the pairs
    python bench/shadow_challengers.py --write docs/guides/champion-and-challenger.md

Daily differences of a loss that is 1 at most, with a hold-out of some days, then 90 live days that are looked
at every day, by what the first comparison of a year leaves to them. *Memory*: normal days (AR(1); *through
noise*: with as much noise again), which differ by .1. *Bad day, 1 in n*: the challenger is a little better on
all days but rare ones, on which it loses 1, and on average nothing. *Lognormal*: what it loses, with a spread
of .1.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from docs_tables import replace_table
from scipy.signal import lfilter

from rescore.comparison import error_of, evidence_by_day

SEED = 20_130_401
PAIRS, LIVE, SPREAD, WORST = 2_000, 90, 0.1, 1.0
GAINS = (0.1, 0.05)

Days = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


def normal(memory: float, noise: bool, generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Days with a memory."""
    pairs, days = shape
    news = generator.standard_normal((pairs, days + 60)) * math.sqrt(1 - memory**2)
    found = lfilter([1.0], [1.0, -memory], news, axis=1)[:, 60:]
    if noise:
        found = (found + generator.standard_normal(found.shape)) / math.sqrt(2)
    return SPREAD * found


def bad_days(one_in: int, generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Days that are a little better, but for rare ones that lose all that a day can lose."""
    usual = WORST / (one_in - 1)
    found = usual * (1 + generator.standard_normal(shape) / 2)
    return np.where(generator.random(shape) < 1 / one_in, -WORST, found)


def lognormal(sigma: float, generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Days whose losses are skewed; what is cut off at the worst day is given back to all of them."""
    mean = math.exp(sigma**2 / 2)
    spread = mean * math.sqrt(math.expm1(sigma**2))
    found = np.maximum(SPREAD / spread * (mean - generator.lognormal(0, sigma, shape)), -0.9 * WORST)
    return found - found.mean()


WORLDS: list[tuple[int, str, Days]] = [
    *(
        (holdout, f"memory {memory:g}{', through noise' if noise else ''}", partial(normal, memory, noise))
        for holdout in (15, 30)
        for memory, noise in ((0.0, False), (0.5, False), (0.8, False), (0.8, True))
    ),
    *((15, f"bad day, 1 in {one_in}", partial(bad_days, one_in)) for one_in in (100, 50, 20)),
    *((15, f"lognormal, {sigma:g}", partial(lognormal, sigma)) for sigma in (1.0, 1.5)),
]


def found_by_day(reached: np.ndarray) -> str:
    """Share of pairs that reached the limit, and the day by which half of them did."""
    first = np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, LIVE + 1)
    half = float(np.median(first))
    return f"{reached.any(axis=1).mean():.2f} | {f'{half:.0f}' if half <= LIVE else '–'}"


def lines(pairs: int) -> list[str]:
    """One line for each world."""
    limit = 1 / error_of(1, shadow=True)
    table = [
        "| hold-out | days | as good: a person asked | ± | pinned | ± | declared | "
        + " | ".join(f"better by {gain:g}: asked | half by day | pinned | half by day" for gain in GAINS)
        + " |",
        "|--:|---|--:|--:|--:|--:|--:|" + "--:|" * (4 * len(GAINS)),
    ]
    for place, (holdout, told, draw) in enumerate(WORLDS):
        days = draw(np.random.default_rng([SEED, place]), (pairs, holdout + LIVE))
        shown = []
        for reached in (one >= limit for one in evidence_by_day(days, holdout, WORST)):
            rate = float(reached.any(axis=1).mean())
            width = 1.96 * math.sqrt(max(rate * (1 - rate), 0.25 / pairs) / pairs)
            shown.append(f"{rate:.4f} | {width:.4f}")
        shown.append(f"{1 / limit:.4f}")
        for gain in GAINS:
            shown += [found_by_day(one >= limit) for one in evidence_by_day(days + gain, holdout, WORST)]
        table.append(f"| {holdout} | {told} | {' | '.join(shown)} |")
        print(table[-1], flush=True)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a tenth of the pairs")
    parser.add_argument("--write", type=Path, help="the page whose table is replaced")
    options = parser.parse_args()
    made = lines(PAIRS // 10 if options.short else PAIRS)
    if options.write:
        replace_table(options.write, "shadow-challengers", Path(__file__).name, made)


if __name__ == "__main__":
    main()
