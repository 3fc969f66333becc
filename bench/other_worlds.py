"""False alarms of verdicts: few and many features, few and many windows, windows of other sizes.

    python bench/other_worlds.py                  # some six minutes
    python bench/other_worlds.py --short          # a quarter of the draws
    python bench/other_worlds.py --write docs/guides/drift.md

The features of ``bench/drift_calibration.py``, as often as are needed, compared as a run's are; .05 is
declared. *Sizes x.5 to x3*: each window has so many times its usual rows, any ratio being as likely. Ten live
windows a reference, which they share; half-widths are by references.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from docs_tables import replace_table
from drift_calibration import SHAPES
from memory_and_few_windows import half_width

from rescore.drift import build_reference, compare
from rescore.spec import DriftSpec, ModelSpec

SEED, RATE, LIVE = 20_130_401, 0.05, 10
START = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class World:
    """How windows come about; levels wander by standard deviations of a row."""

    name: str
    references: int
    features: int = 20
    windows: int = 60
    rows: int = 300
    wander: float = 0.1
    sizes: tuple[float, float] = (1.0, 1.0)
    weekends: float = 0.0


WORLDS = [
    World("as usual", 24),
    World("3 features", 40, features=3),
    World("200 features", 12, features=200),
    World("sizes x.5 to x3", 24, sizes=(0.5, 3.0)),
    World("sizes x.5 to x3, independent rows", 24, sizes=(0.5, 3.0), wander=0.0),
    World(
        "3 features, sizes x.5 to x3, weekends off by .3 sd", 20, features=3, sizes=(0.5, 3.0), weekends=0.3
    ),
    World("12 windows", 20, windows=12),
    World("12 windows, 3 features, sizes x.5 to x3", 30, features=3, windows=12, sizes=(0.5, 3.0)),
    World("120 windows", 8, windows=120),
]


def shapes(features: int) -> list[tuple[str, str, int]]:
    """Name, kind and place among the shapes of each feature."""
    kinds = [(SHAPES[place % len(SHAPES)], place) for place in range(features)]
    return [(f"{name}_{place}", kind, place % len(SHAPES)) for (name, kind, _), place in kinds]


def table(z: npt.NDArray[np.float64]) -> pa.Table:
    """Rows as a model sees them, from latent values of shape (n_rows, n_features)."""
    columns = {}
    for place, (name, kind, shape) in enumerate(shapes(z.shape[1])):
        values = SHAPES[shape][2](z[:, place])
        columns[name] = pa.array(values.tolist() if kind == "categorical" else values, from_pandas=True)
    return pa.table(columns)


def model(world: World) -> ModelSpec:
    return ModelSpec.model_validate(
        {
            "name": "simulated",
            "version": "1.0",
            "owner": "bench",
            "source": {"connection": "none", "key": ["id"], "known_by": "none"},
            "features": [{"name": name, "kind": kind} for name, kind, _ in shapes(world.features)],
            "target": {"name": "y", "kind": "binary"},
            "output": {"unit": "probability", "meaning": "none"},
            "schedule": {"cron": "0 0 * * *", "timezone": "UTC", "start": START},
            "training": {"intervals": world.windows, "seed": 1, "from": "frozen_inputs"},
        }
    )


def alarms(world: World, seed: list[int]) -> list[float]:
    """Whether each live window of one reference alarms; a verdict that says nothing does not."""
    generator = np.random.default_rng(seed)
    every = world.windows + LIVE
    # A live window is a day of any time of the week, after training.
    days = np.r_[np.arange(world.windows), world.windows + 8 * np.arange(LIVE)]
    sizes = np.rint(world.rows * generator.uniform(*world.sizes, size=every)).astype(np.int64)
    level = world.wander * generator.standard_normal((every, world.features))
    level += world.weekends * (days % 7 >= 5)[:, None]
    drawn = [
        generator.standard_normal((size, world.features)) + off
        for size, off in zip(sizes, level, strict=True)
    ]
    starts = np.repeat(
        [START + timedelta(days=int(day)) for day in range(world.windows)], sizes[: world.windows]
    )
    training = table(np.concatenate(drawn[: world.windows]))
    training = training.append_column("interval_start", pa.array(starts, pa.timestamp("us", tz="UTC")))
    profile = build_reference(training, model(world), None, {})
    reports = [
        compare(profile, table(one), None, DriftSpec(false_alarm_rate=max(RATE, 1 / (world.windows + 1))))
        for one in drawn[world.windows :]
    ]
    return [float(one.p_value is not None and one.p_value <= RATE + 1e-12) for one in reports]


def lines(part: float) -> list[str]:
    found = ["| world | windows | features | live windows | false alarms | ± |", "|---|--:|--:|--:|--:|--:|"]
    for place, world in enumerate(WORLDS):
        references = max(round(part * world.references), 2)
        said = np.asarray([alarms(world, [SEED, place, number]) for number in range(references)])
        assert math.isfinite(said.mean())
        found.append(
            f"| {world.name} | {world.windows} | {world.features} | {said.size} | {said.mean():.3f} "
            f"| {half_width(said):.3f} |"
        )
        print(found[-1], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a quarter of the draws")
    parser.add_argument("--write", type=Path, help="the page whose table is replaced")
    options = parser.parse_args()
    made = lines(0.25 if options.short else 1.0)
    if options.write:
        replace_table(options.write, "other-worlds", Path(__file__).name, made)


if __name__ == "__main__":
    main()
