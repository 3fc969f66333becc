"""False alarms and power of drift rules, side by side on windows whose truth is known.

    python bench/drift_calibration.py                  # a few minutes: up to 10,000 rows
    python bench/drift_calibration.py --full           # about an hour: more draws, up to 100,000 rows
    python bench/drift_calibration.py --table power --write docs/guides/drift.md

Twenty features of very different shapes, sixty reference windows, 5 % declared. Every feature is
a function of a latent normal variable, so that "a quarter of a standard deviation" means the same
for all of them. Each line draws fresh references and asks every rule about the same live windows.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from docs_tables import replace_table
from scipy.signal import lfilter
from scipy.special import ndtr
from scipy.stats import chi2, chi2_contingency, false_discovery_control, ks_2samp

from rescore.drift import DriftReport, build_reference, compare
from rescore.spec import DriftSpec, ModelSpec

SEED = 20_130_401
WINDOWS = 60
LIVE_PER_REFERENCE = 10
RATE = 0.05
#: Rows of training that KS is given; more would only make it slower.
KS_ROWS = 20_000
LEVELS = np.array(["north", "south", "east", "west", "centre", "coast", "hills", "isles"])
LEVEL_SHARES = np.cumsum(1 / np.arange(1, 9)) / np.sum(1 / np.arange(1, 9))

Floats = npt.NDArray[np.float64]
Column = Callable[[Floats], npt.NDArray[np.generic]]


def heavy(z: Floats) -> Floats:
    """Like Student's t with two degrees of freedom."""
    u = np.clip(ndtr(z), 1e-12, 1 - 1e-12)
    return (2 * u - 1) / np.sqrt(2 * u * (1 - u))


def zero_inflated(z: Floats) -> Floats:
    return np.where(z < 0.4, 0.0, np.expm1(np.maximum(z - 0.4, 0.0)) * 100)


def category(z: Floats) -> npt.NDArray[np.generic]:
    return LEVELS[np.minimum(np.searchsorted(LEVEL_SHARES, ndtr(z)), len(LEVELS) - 1)]


def pareto(z: Floats) -> Floats:
    """Tail index 1.1: the mean hardly exists, the variance does not."""
    return (1 - np.clip(ndtr(z), 0, 1 - 1e-12)) ** (-1 / 1.1)


def mostly_there(z: Floats) -> Floats:
    return np.where(np.abs(z) > 2.326, np.nan, z)


SHAPES: list[tuple[str, str, Column]] = [
    *[(f"normal_{i}", "numeric", lambda z: z) for i in range(6)],
    ("constant", "numeric", lambda z: np.full_like(z, 3.0)),
    ("wild", "numeric", lambda z: z),
    *[(f"lognormal_{i}", "numeric", lambda z: np.exp(1.5 * z)) for i in range(2)],
    *[(f"heavy_{i}", "numeric", heavy) for i in range(1)],
    ("pareto", "numeric", pareto),
    *[(f"zeros_{i}", "numeric", zero_inflated) for i in range(2)],
    ("often", "boolean", lambda z: z > 0.5),
    ("seldom", "boolean", lambda z: z > 1.645),
    *[(f"category_{i}", "categorical", category) for i in range(2)],
    ("count", "numeric", lambda z: np.floor(np.exp(1 + 0.5 * z))),
    ("gaps", "numeric", mostly_there),
]
#: The features that change when some do: one of each of three shapes.
CHANGED = (0, 8, 12)


@dataclass(frozen=True)
class World:
    """How windows come about; ``wander`` and ``wild`` are standard deviations between windows."""

    name: str
    wander: float = 0.0
    memory: float = 0.0  # of the wandering, from window to window
    rows_memory: float = 0.0  # from row to row within a window
    wild: float = 0.0  # heavy-tailed jumps of one single feature


@dataclass(frozen=True)
class Change:
    """What happens to the live window."""

    name: str
    shift: float = 0.0
    features: tuple[int, ...] = CHANGED
    missing: float = 0.0
    new_level: float = 0.0
    correlation: float = 0.0


NOTHING = Change("nothing")
CALM = World("independent rows")
NULLS = [
    CALM,
    World("rows resemble the row before (.9)", rows_memory=0.9),
    World("windows wander (sd .1)", wander=0.1),
    World("windows wander slowly (sd .1, memory .8)", wander=0.1, memory=0.8),
    World("one wild feature", wander=0.05, wild=0.5),
]
CHANGES = [
    (CALM, Change("quarter-sd shift, 3 of 20", shift=0.25)),
    (CALM, Change("quarter-sd shift, 1 of 20", shift=0.25, features=(0,))),
    (NULLS[4], Change("quarter-sd shift, 3 of 20, beside a wild feature", shift=0.25)),
    (NULLS[2], Change("half-sd shift, 3 of 20, windows wander", shift=0.5)),
    (CALM, Change("5 % more missing, 3 of 20", missing=0.05)),
    (CALM, Change("a new level in 3 % of rows", new_level=0.03)),
    (CALM, Change("correlation .6 instead of 0, margins equal", correlation=0.6)),
]


def latents(world: World, rows: int, windows: int, generator: np.random.Generator) -> Floats:
    """Latent values, shape (windows, rows, features)."""
    features = len(SHAPES)
    z = generator.standard_normal((windows, rows, features))
    if world.rows_memory:
        fresh = math.sqrt(1 - world.rows_memory**2)
        z[:, 1:] *= fresh
        z = lfilter([1.0], [1.0, -world.rows_memory], z, axis=1)
    if world.wander:
        level = generator.standard_normal((windows, features))
        level[1:] *= math.sqrt(1 - world.memory**2)
        z += world.wander * lfilter([1.0], [1.0, -world.memory], level, axis=0)[:, None, :]
    if world.wild:
        z[:, :, 7] += world.wild * generator.standard_t(1.5, size=(windows, 1))
    return z


def table(z: Floats, change: Change, generator: np.random.Generator) -> pa.Table:
    """Rows as a model sees them; ``z`` has shape (rows, features) and is changed in place."""
    rows = z.shape[0]
    if change.shift:
        z[:, change.features] += change.shift
    if change.correlation:
        z[:, 1] = change.correlation * z[:, 0] + math.sqrt(1 - change.correlation**2) * z[:, 1]
    columns = {}
    for place, (name, kind, column) in enumerate(SHAPES):
        values = column(z[:, place])
        gone = None
        if change.missing and place in change.features:
            gone = generator.random(rows) < change.missing
        if change.new_level and name == "category_0":
            values = np.where(generator.random(rows) < change.new_level, "abroad", values)
        kept = pa.array(values.tolist() if kind == "categorical" else values, mask=gone, from_pandas=True)
        columns[name] = kept
    return pa.table(columns)


def model() -> ModelSpec:
    return ModelSpec.model_validate(
        {
            "name": "simulated",
            "version": "1.0",
            "owner": "bench",
            "source": {"connection": "none", "key": ["id"], "known_by": "none"},
            "features": [{"name": name, "kind": kind} for name, kind, _ in SHAPES],
            "target": {"name": "y", "kind": "binary"},
            "output": {"unit": "probability", "meaning": "none"},
            "schedule": {"cron": "0 0 * * *", "start": datetime(2020, 1, 1, tzinfo=UTC)},
            "training": {"intervals": WINDOWS, "seed": 1, "from": "frozen_inputs"},
        }
    )


def other_rules(training: pa.Table, live: pa.Table, report: DriftReport) -> dict[str, bool]:
    """What people use: each says whether the window is to alarm."""
    p_values = []
    for name, kind, _ in SHAPES:
        before, now = training[name].drop_null(), live[name].drop_null()
        if kind == "categorical":
            counts: dict[str, list[int]] = {}
            for side, column in enumerate((before, now)):
                for one in column.value_counts().to_pylist():
                    counts.setdefault(one["values"], [0, 0])[side] = one["counts"]
            p_values.append(float(chi2_contingency(np.array(list(counts.values())).T)[1]))
            continue
        sides = [np.asarray(column.cast(pa.float64()).to_numpy()) for column in (before, now)]
        p_values.append(float(ks_2samp(sides[0], sides[1], method="asymp").pvalue))
    ks = np.array(p_values)
    psi = np.array([feature.psi for feature in report.features])
    cells = np.array([10 if feature.kind == "numeric" else 8 if feature.kind == "categorical" else 2
                      for feature in report.features])  # fmt: skip
    # Without drift PSI is (1/n + 1/m) times a chi-square with a degree of freedom less than cells.
    scale = (1 + 1 / WINDOWS) / report.rows
    of_psi = chi2.sf(psi / scale, cells - 1)
    return {
        "PSI > .1": bool((psi > 0.1).any()),
        "PSI > .2": bool((psi > 0.2).any()),
        "KS, p < .05": bool((ks < RATE).any()),
        "KS + BH": bool(false_discovery_control(ks).min() < RATE),
        "PSI χ² + BH": bool(false_discovery_control(of_psi).min() < RATE),
    }


def alarms(
    world: World, change: Change, rows: int, references: int, seed: int
) -> tuple[dict[str, float], int]:
    """Share of live windows on which each rule alarms, and how many windows that is of."""
    generator, spec = np.random.default_rng(seed), model()
    start = datetime(2020, 1, 1, tzinfo=UTC)
    begins = pa.array(
        np.repeat([start + timedelta(days=day) for day in range(WINDOWS)], rows), pa.timestamp("us", tz="UTC")
    )
    found: dict[str, list[bool]] = {}
    for _ in range(references):
        z = latents(world, rows, WINDOWS + LIVE_PER_REFERENCE, generator)
        training = table(z[:WINDOWS].reshape(-1, len(SHAPES)), NOTHING, generator)
        profile = build_reference(training.append_column("interval_start", begins), spec, None, {})
        some = generator.choice(training.num_rows, min(KS_ROWS, training.num_rows), replace=False)
        sample = training.take(pa.array(np.sort(some)))
        for one in range(LIVE_PER_REFERENCE):
            live = table(z[WINDOWS + one], change, generator)
            report = compare(profile, live, None, DriftSpec(false_alarm_rate=RATE))
            assert report.p_value is not None
            verdicts = other_rules(sample, live, report)
            verdicts["ours, p ≤ .05"] = report.p_value <= RATE
            verdicts["ours, flagged"] = any(feature.flagged for feature in report.features)
            for rule, alarm in verdicts.items():
                found.setdefault(rule, []).append(alarm)
    return {rule: float(np.mean(said)) for rule, said in found.items()}, references * LIVE_PER_REFERENCE


def half_width(rate: float, windows: int) -> float:
    """95 %, for windows that share a reference (intra-class correlation 1/61)."""
    effective = windows / (1 + (LIVE_PER_REFERENCE - 1) / (WINDOWS + 1))
    return 1.96 * math.sqrt(max(rate * (1 - rate), 0.25 / effective) / effective)


def run(lines: list[tuple[World, Change, int, int]]) -> list[str]:
    """Markdown rows, one a line, printed as they come."""
    head: list[str] = []
    printed = []
    for place, (world, change, rows, references) in enumerate(lines):
        began = time.perf_counter()
        rates, windows = alarms(world, change, rows, references, SEED + place)
        if not head:
            head = list(rates)
            printed += [
                f"| windows | rows × draws | {' | '.join(head)} | ± |",
                "|---|--:|" + "--:|" * (len(head) + 1),
            ]
            print("\n".join(printed))
        name = world.name if change is NOTHING else change.name
        shown = " | ".join(f"{rates[rule]:.3f}" for rule in head)
        width = half_width(rates["ours, p ≤ .05"], windows)
        printed.append(f"| {name} | {rows:,} × {windows} | {shown} | {width:.3f} |")
        print(printed[-1], f"   {time.perf_counter() - began:.0f} s", flush=True)
    return printed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--full", action="store_true", help="more draws, up to 100,000 rows")
    parser.add_argument("--table", choices=["false-alarms", "power"], help="only this one")
    parser.add_argument("--write", type=Path, help="the page whose tables are replaced")
    options = parser.parse_args()
    sizes = (
        {200: 200, 1_000: 120, 10_000: 60, 100_000: 8} if options.full else {200: 40, 1_000: 24, 10_000: 3}
    )
    nulls = [
        (world, NOTHING, n, k) for world in NULLS for n, k in sizes.items() if n < 100_000 or world is CALM
    ]
    powers = [
        (world, change, n, max(k // 3, 1))
        for world, change in CHANGES
        for n, k in sizes.items()
        if n <= 1_000
    ]
    wanted = {"false-alarms": nulls, "power": powers}
    tables = {name: run(lines) for name, lines in wanted.items() if options.table in (None, name)}
    if options.write:
        for name, rows in tables.items():
            replace_table(options.write, name, Path(__file__).name, rows)


if __name__ == "__main__":
    main()
