"""CPU of the drift step beside a plain numpy pass over the same histograms, in one run.

    python bench/drift_speed.py [--rows 2000000]

Eighteen features: fourteen numbers of different shapes, two booleans, two categories. The plain pass
counts every column in the very cells of the profile (``searchsorted`` and ``bincount``; categories come
dictionary-encoded to both) and does nothing else: no distances, no ranks, no outages, no verdict.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from rescore.drift import build_reference, compare
from rescore.drift.binning import LevelCells
from rescore.drift.reference import Reference
from rescore.spec import DriftSpec, ModelSpec

SEED, WINDOWS, WINDOW_ROWS, REPEATS = 20_130_401, 60, 2_000, 3
KINDS = {
    **{f"x{i}": "numeric" for i in range(14)},
    **{f"b{i}": "boolean" for i in range(2)},
    **{f"c{i}": "categorical" for i in range(2)},
}


def table(rows: int, generator: np.random.Generator) -> pa.Table:
    """Numbers are normal, lognormal or half zeros; one in fifty is missing in every third."""
    columns: dict[str, pa.Array] = {}
    for place, (name, kind) in enumerate(KINDS.items()):
        values = generator.standard_normal(rows)
        if kind == "boolean":
            columns[name] = pa.array(values > 1)
        elif kind == "categorical":
            codes = np.minimum(np.abs(values) * 6, 19).astype(np.int32)
            columns[name] = pa.DictionaryArray.from_arrays(codes, [f"level {i}" for i in range(20)])
        else:
            shaped = (values, np.exp(values), np.maximum(values, 0.0))[place % 3]
            columns[name] = pa.array(shaped, mask=generator.random(rows) < 0.02 if place % 3 == 0 else None)
    return pa.table(columns)


def profile(generator: np.random.Generator) -> bytes:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    spec = ModelSpec.model_validate(
        {
            "name": "speed",
            "version": "1.0",
            "owner": "bench",
            "source": {"connection": "none", "key": ["id"], "known_by": "none"},
            "features": [{"name": name, "kind": kind} for name, kind in KINDS.items()],
            "target": {"name": "y", "kind": "binary"},
            "output": {"unit": "probability", "meaning": "none"},
            "schedule": {"cron": "0 0 * * *", "start": start},
            "training": {"intervals": WINDOWS, "seed": 1, "from": "frozen_inputs"},
        }
    )
    begins = np.repeat([start + timedelta(days=day) for day in range(WINDOWS)], WINDOW_ROWS)
    training = table(WINDOWS * WINDOW_ROWS, generator)
    training = training.append_column("interval_start", pa.array(begins, pa.timestamp("us", tz="UTC")))
    return build_reference(training, spec, None, {})


def plain(stored: Reference, window: pa.Table) -> None:
    """Count every column in its cells by numpy alone."""
    for one in stored.features:
        column = window[one.name]
        if not isinstance(one.cells, LevelCells):
            values = column.to_numpy()
            cells = np.searchsorted(one.cells.edges, values, side="left")
        elif pa.types.is_boolean(column.type):
            cells = column.to_numpy().astype(np.int64)
        else:
            cells = column.chunk(0).indices.to_numpy()
        np.bincount(cells, minlength=one.counts.shape[1])


def cpu(work: Callable[[], object]) -> float:
    """Seconds of CPU, of all threads; the best of several."""
    best = float("inf")
    for _ in range(REPEATS):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    options = parser.parse_args()
    generator = np.random.default_rng(SEED)
    reference = profile(generator)
    window, stored = table(options.rows, generator), Reference.from_bytes(reference)
    ours = cpu(lambda: compare(reference, window, None, DriftSpec()))
    theirs = cpu(lambda: plain(stored, window))
    print(f"{options.rows:,} rows x {len(KINDS)} features, CPU seconds, best of {REPEATS}, seed {SEED}")
    print(f"  the drift step, whole    {ours:6.2f}")
    print(f"  plain numpy pass         {theirs:6.2f}")
    print(f"  ratio                    {ours / theirs:6.2f}")


if __name__ == "__main__":
    main()
