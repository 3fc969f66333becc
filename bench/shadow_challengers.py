"""How often live days promote a challenger that is no better, and how soon one that is better.

    python bench/shadow_challengers.py                  # some two minutes
    python bench/shadow_challengers.py --short          # a tenth of the pairs
    python bench/shadow_challengers.py --write docs/guides/champion-and-challenger.md

Daily differences of loss with a memory (AR(1); *through noise*: with as much noise again), a hold-out of some
days, then 90 live days that are looked at every day, by what the first comparison of a year leaves to them. A
gain is in standard deviations of a day's difference.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from docs_tables import replace_table
from scipy.signal import lfilter

from rescore.comparison import error_of, evidence_by_day

SEED = 20_130_401
PAIRS, LIVE = 2_000, 90
#: Days of the hold-out, their memory, and whether noise hides it.
WORLDS = [
    (15, 0.0, False),
    (15, 0.5, False),
    (15, 0.8, False),
    (15, 0.8, True),
    (30, 0.0, False),
    (30, 0.5, False),
    (30, 0.8, False),
    (30, 0.8, True),
]
GAINS = (1.0, 0.5, 0.25)


def days_of(generator: np.random.Generator, pairs: int, days: int, memory: float, noise: bool) -> np.ndarray:
    """Standardised daily differences of many pairs, shape (pairs, days)."""
    news = generator.standard_normal((pairs, days + 60)) * math.sqrt(1 - memory**2)
    found = lfilter([1.0], [1.0, -memory], news, axis=1)[:, 60:]
    if noise:
        found = (found + generator.standard_normal(found.shape)) / math.sqrt(2)
    return found


def lines(pairs: int) -> list[str]:
    """One line for each world."""
    limit = 1 / error_of(1, shadow=True)
    table = [
        "| hold-out | memory of days | as good: promoted | ± | declared | "
        + " | ".join(f"better by {gain:g}: found in {LIVE} days | half of them by day" for gain in GAINS)
        + " |",
        "|--:|--:|--:|--:|--:|" + "--:|--:|" * len(GAINS),
    ]
    for place, (holdout, memory, noise) in enumerate(WORLDS):
        days = days_of(np.random.default_rng([SEED, place]), pairs, holdout + LIVE, memory, noise)
        rate = float((evidence_by_day(days, holdout) >= limit).any(axis=1).mean())
        width = 1.96 * math.sqrt(max(rate * (1 - rate), 0.25 / pairs) / pairs)
        shown = []
        for gain in GAINS:
            reached = evidence_by_day(days + gain, holdout) >= limit
            first = np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, LIVE + 1)
            half = float(np.median(first))
            shown.append(
                f"{reached.any(axis=1).mean():.2f} | {half:.0f}"
                if half <= LIVE
                else f"{reached.any(axis=1).mean():.2f} | –"
            )
        told = f"{memory:g}{', through noise' if noise else ''}"
        table.append(
            f"| {holdout} | {told} | {rate:.4f} | {width:.4f} | {1 / limit:.4f} | {' | '.join(shown)} |"
        )
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
