"""What encoders of categories cost a block of rows: as they are, and as look-ups.

Run: ``.venv/bin/python bench/lookups.py [repeats]``. Both give the same bits (tests); they are asked
alternately for blocks of 16,384 rows. Results: docs/decisions/0045.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.preprocessing import OneHotEncoder

from rescore.model.runtime.lookups import with_lookups
from rescore.model.runtime.scoring import BLOCK_ROWS

#: Numbers, categories, levels of each: a table as most are, and one of texts.
SHAPES = {"13 numbers, 4 x 12 levels": (13, 4, 12), "3 numbers, 15 x 60 levels": (3, 15, 60)}


def frame(rows: int, numbers: int, texts: int, levels: int) -> pd.DataFrame:
    random = np.random.default_rng(0)
    known = pd.Index([f"level {level}" for level in range(levels)], dtype=object)
    columns = {f"n{i}": random.normal(size=rows) for i in range(numbers)}
    codes = {f"t{i}": random.integers(-1, levels, rows) for i in range(texts)}
    return pd.DataFrame(
        columns | {name: pd.Categorical.from_codes(code, known) for name, code in codes.items()}
    )


def main(repeats: int) -> None:
    print(
        "| table | step | ms a block | with look-ups | times | first block, ms |\n|---|---|---|---|---|---|"
    )
    for shape, (numbers, texts, levels) in SHAPES.items():
        rows = frame(BLOCK_ROWS, numbers, texts, levels)
        categories = [name for name in rows if name.startswith("t")]
        few, labels = rows[:3_000], np.arange(3_000) % 2
        steps = {
            f"one-hot, {kind}": make_column_transformer(
                ("passthrough", [name for name in rows if name.startswith("n")]),
                (OneHotEncoder(handle_unknown="ignore", sparse_output=kind == "sparse"), categories),
            ).fit(few)
            for kind in ("sparse", "dense")
        }
        # One tree: what is measured is how it reads the categories.
        steps["boosted, 1 tree"] = HistGradientBoostingClassifier(max_iter=1).fit(few, labels)
        for name, step in steps.items():
            looked_up = with_lookups(step)
            asks = [
                getattr(one, "predict_proba" if "boosted" in name else "transform")
                for one in (step, looked_up)
            ]
            first = timed(asks[1], rows)
            taken = [[timed(ask, rows) for ask in asks] for _ in range(repeats)]
            plain, faster = (statistics.median(times) for times in zip(*taken, strict=True))
            print(f"| {shape} | {name} | {plain:.1f} | {faster:.1f} | {plain / faster:.1f} | {first:.0f} |")


def timed(ask: object, rows: pd.DataFrame) -> float:
    """Milliseconds of processor time."""
    begun = time.process_time()
    ask(rows)  # type: ignore[operator]
    return 1_000 * (time.process_time() - begun)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 11)
