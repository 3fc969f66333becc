"""Whether rows that a fit keeps are found before a package is made, and what is refused that keeps none.

    python bench/planted_rows.py                  # a minute
    python bench/planted_rows.py --short          # one seed
    python bench/planted_rows.py --write docs/guides/packages.md

The fits are those of ``tests/model/child/test_kept_rows.py``: transformers that keep rows of theirs in one of
many ways, as given and behind a scaling step; scikit-learn's estimators that do; and those that people use,
which don't. 600 rows of people. *Passed* are fits in which nothing was found.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from docs_tables import replace_table

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests' fits

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.model.child.test_kept_rows import CLEAN, KEEPERS, NUMBERS, REGRESSES, WAYS, Keeps, kept, people

SEED = 20_130_401


def planted(way: str, scaled: bool) -> Callable[[], Any]:
    steps = [StandardScaler()] if scaled else []
    return lambda: make_pipeline(*steps, Keeps(way), LogisticRegression())


def passed(fits: dict[str, Callable[[], Any]], seeds: int) -> list[str]:
    """Names of the fits, once for each seed, in which nothing was found."""
    found = []
    for seed in range(SEED, SEED + seeds):
        frame, risk, cost = people(seed)
        found += [
            name
            for name, made in fits.items()
            if not kept(made(), frame[NUMBERS], cost if name in REGRESSES else risk)
        ]
    return found


def lines(seeds: int) -> list[str]:
    """One line for each kind of fit."""
    table = ["| fits | tried | passed | should pass |", "|---|--:|--:|--:|"]
    kinds: list[tuple[str, dict[str, Callable[[], Any]], bool]] = [
        ("rows planted in a transformer", {way: planted(way, False) for way in WAYS}, False),
        ("… behind a scaling step", {way: planted(way, True) for way in WAYS}, False),
        ("estimators that keep rows", KEEPERS, False),
        ("what people use, without rows", CLEAN, True),
    ]
    for name, fits, clean in kinds:
        left = passed(fits, seeds)
        tried = seeds * len(fits)
        table.append(f"| {name} | {tried} | {len(left)} | {tried if clean else 0} |")
        print(table[-1], *([] if clean else left), flush=True)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--short", action="store_true", help="one seed")
    parser.add_argument("--write", type=Path, help="the page whose table is replaced")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    made = lines(1 if options.short else 3)
    if options.write:
        replace_table(options.write, "planted-rows", Path(__file__).name, made)


if __name__ == "__main__":
    main()
