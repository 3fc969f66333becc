"""How often a year of weekly challengers, none of them better, promotes one.

    python bench/year_of_challengers.py                  # some four minutes
    python bench/year_of_challengers.py --short          # a tenth of the years
    python bench/year_of_challengers.py --write docs/guides/champion-and-challenger.md

Each week another challenger is compared with the champion on labelled rows that nobody has seen, by the rule:
enough days, worth enough, and a gain that is above chance by what the year's budget leaves to it. *By itself*
takes each comparison for the only one (its interval of 95 %). 52 challengers a year, 40 rows a day, Brier
score.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from docs_tables import replace_table
from memory_and_few_windows import rivals

from rescore.comparison import error_of
from rescore.comparison.resampling import MIN_BLOCKS, MIN_EFFECTIVE, Resampled, metric_of

SEED = 20_130_401
WEEKS, ROWS = 52, 40
WORLDS = [(15, 0.0), (30, 0.0), (30, 0.5), (30, 0.8), (60, 0.8)]


def year(days: int, memory: float, generator: np.random.Generator) -> tuple[bool, bool]:
    """Whether any challenger is promoted: by the rule, and if each were the only one."""
    resampled = Resampled(days)
    by_rule = by_itself = False
    for week in range(1, WEEKS + 1):
        truth, old, new, block = rivals(generator, days, memory, 0.0, rows=ROWS)
        one, other = (metric_of("brier", truth, raw, None, block, days) for raw in (new, old))

        def gain(counts, one=one, other=other):  # type: ignore[no-untyped-def]
            return other(counts) - one(counts)

        low = resampled.interval(gain)[1]
        if low is None or low <= 0:  # the rule asks for no less than the interval, so neither promotes
            continue
        if days < MIN_BLOCKS or resampled.effective_blocks(gain) < MIN_EFFECTIVE:
            continue
        floor = resampled.floor(gain, error_of(week))
        by_itself = True
        by_rule = by_rule or (floor is not None and floor > 0)
    return by_rule, by_itself


def lines(years: int) -> list[str]:
    """One line for each world."""
    table = [
        "| days | memory of days | years | promoted one | ± | each by itself | ± |",
        "|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for place, (days, memory) in enumerate(WORLDS):
        generator = np.random.default_rng([SEED, place])
        found = np.asarray([year(days, memory, generator) for _ in range(years)], dtype=np.float64)
        shown = []
        for rate in found.mean(axis=0):
            width = 1.96 * math.sqrt(max(rate * (1 - rate), 0.25 / years) / years)
            shown.append(f"{rate:.3f} | {width:.3f}")
        table.append(f"| {days} | {memory:g} | {years} | {shown[0]} | {shown[1]} |")
        print(table[-1], flush=True)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a tenth of the years")
    parser.add_argument("--write", type=Path, help="the page whose table is replaced")
    options = parser.parse_args()
    made = lines(20 if options.short else 200)
    if options.write:
        replace_table(options.write, "year-of-challengers", Path(__file__).name, made)


if __name__ == "__main__":
    main()
