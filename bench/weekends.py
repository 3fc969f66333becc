"""False alarms where weekends are unlike weekdays, with and without strata of their own.

    python bench/weekends.py                  # some three minutes
    python bench/weekends.py --short          # a tenth of the references
    python bench/weekends.py --write docs/guides/drift.md

Four features of 200 rows a day are off by a day's own .1 standard deviations, and at weekends by what is said
besides; .05 is declared. References are made and live days are compared by what packages and runs go through.
Live days are drawn from the year after. Half-widths are of the references' own means.
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

from rescore.drift import build_reference, compare
from rescore.spec import ModelSpec

SEED = 20_130_401
RATE = 0.05
ROWS, FEATURES = 200, 4
LIVE_PER_KIND = 8
START = datetime(2024, 1, 1, 12, tzinfo=UTC)  # a Monday

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """Days of training, how far weekends are off, and what is declared."""

    days: int
    weekends: float
    strata: str


WORLDS = [
    World(60, 0.0, "weekday"),
    World(60, 0.5, "none"),
    World(60, 0.5, "weekday"),
    World(120, 0.5, "none"),
    World(120, 0.5, "weekday"),
]


def spec_of(world: World) -> ModelSpec:
    return ModelSpec.model_validate(
        {
            "name": "weekly",
            "version": "1.0",
            "owner": "bench",
            "source": {
                "connection": "none",
                "key": ["id"],
                "event_time": "at",
                "known_by": {"column": "recorded_at"},
            },
            "features": [{"name": f"x{number}", "kind": "numeric"} for number in range(FEATURES)],
            "target": {"name": "y", "kind": "binary"},
            "output": {"unit": "probability", "meaning": "of y"},
            "schedule": {"cron": "0 4 * * *", "timezone": "UTC", "start": "2024-01-01"},
            "training": {"intervals": world.days, "seed": 1},
            "drift": {"false_alarm_rate": RATE, "strata": world.strata},
        }
    )


def day(number: int, world: World, generator: np.random.Generator) -> pa.Table:
    """The rows of one day, counted from the first of training."""
    at = START + timedelta(days=number)
    off = 0.1 * generator.standard_normal(FEATURES) + (world.weekends if at.weekday() >= 5 else 0.0)
    values = generator.standard_normal((ROWS, FEATURES)) + off
    columns = {f"x{place}": values[:, place] for place in range(FEATURES)}
    moments = pa.array([at] * ROWS, pa.timestamp("us", tz="UTC"))
    return pa.table({**columns, "at": moments, "interval_start": moments})


def alarms(world: World, references: int, seed: list[int]) -> dict[str, tuple[Floats, str]]:
    """Of each kind of day: the share of days that alarmed, by reference, and how p-values were made."""
    generator, spec = np.random.default_rng(seed), spec_of(world)
    weekends = [number for number in range(world.days, world.days + 365) if number % 7 >= 5]
    weekdays = [number for number in range(world.days, world.days + 365) if number % 7 < 5]
    found: dict[str, list[float]] = {"weekday": [], "weekend": []}
    methods: dict[str, set[str]] = {"weekday": set(), "weekend": set()}
    for _ in range(references):
        trained = pa.concat_tables(day(number, world, generator) for number in range(world.days))
        profile = build_reference(trained, spec, None, {})
        for kind, days in (("weekday", weekdays), ("weekend", weekends)):
            said = []
            for number in generator.choice(days, LIVE_PER_KIND, replace=False):
                report = compare(profile, day(int(number), world, generator), None, spec.drift)
                methods[kind].add(report.method)
                said.append(report.p_value is not None and report.p_value <= RATE + 1e-12)
            found[kind].append(float(np.mean(said)))
    return {kind: (np.asarray(rates), ", ".join(sorted(methods[kind]))) for kind, rates in found.items()}


def lines(references: int) -> list[str]:
    """One line for each world and kind of day."""
    table = [
        "| days | weekends off by, sd | strata | live days | p-values | false alarms | ± |",
        "|--:|--:|---|---|---|--:|--:|",
    ]
    for place, world in enumerate(WORLDS):
        for kind, (rates, methods) in alarms(world, references, [SEED, place]).items():
            chance = math.sqrt(RATE * (1 - RATE) / LIVE_PER_KIND)
            width = 1.96 * max(float(rates.std()), chance) / math.sqrt(references)
            table.append(
                f"| {world.days} | {world.weekends:g} | {world.strata} | {kind}s | {methods} "
                f"| {rates.mean():.3f} | {width:.3f} |"
            )
            print(table[-1], flush=True)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a tenth of the references")
    parser.add_argument("--write", type=Path, help="the page whose table is replaced")
    options = parser.parse_args()
    made = lines(6 if options.short else 60)
    if options.write:
        replace_table(options.write, "weekends", Path(__file__).name, made)


if __name__ == "__main__":
    main()
