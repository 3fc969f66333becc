"""A year of 1, 40 and 400 stable models under one budget of false alarms, and a broken table under forty.

    python bench/year_of_models.py                  # some seven minutes
    python bench/year_of_models.py --short          # a tenth of the models
    python bench/year_of_models.py --write docs/guides/drift.md

A model has 60 windows of training and 365 of a year, and two streams as in production. *Features*: three,
drawn as counts of 1,000 rows a window, compared and ranked window by window. *Outcomes*: RMSE and bias of
each window with their errors, ranked by the package's own windows. Each model lives in one of five worlds;
the installation's budget is 4 a year. 100 models are simulated, and looked at as parts of each fleet: with
its limit. *A broken table*: five models each read one of eight tables; on the 30th day one column of the
first table moves, for good, and 60 days are looked at.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from docs_tables import replace_table
from memory_and_few_windows import drawn, standings, wandered
from scipy.stats import chi2

from rescore.drift.standardise import unusualness
from rescore.evidence import Alarm, Evidence, Look, accumulate, limit_of, without_memory
from rescore.performance import CameTrue, unusual
from rescore.pipeline.monitoring.standing_alarms import StandingAlarm, incidents_of

SEED = 20_130_401
REFERENCE, DAYS, ROWS, FEATURES = 60, 365, 1_000, 3
BUDGET, STREAMS = 4.0, 2
FLEETS, SIMULATED = (1, 40, 400), 100
#: Models that read one table, the day on which the first breaks, the days looked at, fleets that are drawn.
SHARE, BREAKS_ON, LOOKED_FOR, DRAWN = 5, 30, 60, 4

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """How levels of features and outcomes differ between windows, in standard deviations of a row."""

    name: str
    days: float = 0.1
    memory: float = 0.0
    weekends: float = 0.0


WORLDS = [
    World("independent rows", days=0.0),
    World("days of their own"),
    World("weekends off by .2 sd", weekends=0.2),
    World("memory .5", memory=0.5),
    World("memory .8", memory=0.8),
]


@dataclass(frozen=True)
class Stream:
    """One stream of a model: the world that it lives in, and its alarms by the fleet's size."""

    world: World
    alarms: dict[int, int] = field(default_factory=dict)


def off(world: World, windows: int, columns: int, generator: np.random.Generator) -> Floats:
    """What each window is off by, shape (n_windows, n_columns)."""
    weekend = (np.arange(windows) % 7 >= 5)[:, None]
    return world.days * wandered(generator, windows, columns, world.memory) + world.weekends * weekend


def of_features(levels: Floats, generator: np.random.Generator) -> list[Look]:
    """What the live windows say, by the statistic of a run."""
    counts = drawn(levels, ROWS, generator)
    looks = []
    for live in range(REFERENCE, len(levels)):
        every, two_sided = standings(np.concatenate([counts[:REFERENCE], counts[live : live + 1]]))
        each = unusualness(without_memory(every, two_sided), two_sided)
        greatest = each.max(axis=1)
        worst = f"x{int(each[-1].argmax()) // 2}"
        looks.append(Look(str(live), float(greatest[-1]), greatest[:-1].tolist(), (worst,)))
    return looks


def of_outcomes(levels: Floats, generator: np.random.Generator) -> list[Look]:
    """The same of RMSE and bias, by the statistic of a measurement."""
    error = 1 / math.sqrt(ROWS)
    seen = levels + error * generator.standard_normal(levels.shape)
    names = ("rmse", "bias")
    trained = CameTrue(
        starts=tuple(str(window) for window in range(REFERENCE)),
        values={name: tuple(seen[:REFERENCE, place].tolist()) for place, name in enumerate(names)},
        errors=dict.fromkeys(names, (error,) * REFERENCE),
    )
    looks = []
    for live in range(REFERENCE, len(levels)):
        found = unusual(trained, {name: (float(seen[live, i]), error) for i, name in enumerate(names)})
        assert found is not None
        looks.append(Look(str(live), found.statistic, found.reference, found.measures))
    return looks


def limit(models: int) -> float:
    return limit_of(365, STREAMS * models, BUDGET)


def alarms_in(looks: Sequence[Look], models: int) -> int:
    evidence, count = Evidence(), 0
    for look in looks:
        evidence.see(look, limit(models))
        count += evidence.new
    return count


def year(number: int) -> list[Stream]:
    """Both streams of one model."""
    world, generator = WORLDS[number % len(WORLDS)], np.random.default_rng([SEED, number])
    streams = []
    for columns, looks_of in ((FEATURES, of_features), (2, of_outcomes)):
        looks = looks_of(off(world, REFERENCE + DAYS, columns, generator), generator)
        stream = Stream(world)
        for models in FLEETS:  # until evidence comes to a limit it does not hang on it
            before = [stream.alarms[one] for one in FLEETS if one in stream.alarms]
            stream.alarms[models] = 0 if before and not before[0] else alarms_in(looks, models)
        streams.append(stream)
    return streams


def interval(counts: npt.NDArray[np.int64]) -> tuple[float, float]:
    """95 % for the sum of counts: Poisson's, exact, widened where models differ by more (quasi-Poisson)."""
    raised = int(counts.sum())
    spread = max(float(counts.var() / counts.mean()), 1.0) if raised else 1.0
    low = chi2.ppf(0.025, 2 * raised / spread) / 2 if raised else 0.0
    return spread * float(low), spread * float(chi2.ppf(0.975, 2 * raised / spread + 2)) / 2


def false_alarms(years: list[list[Stream]]) -> list[str]:
    """Of each fleet, by the worlds of its models and of all together; the budget is that of all."""
    table = [
        "| models | windows | model-years | alarms | a year of the installation | 95 % | budget |",
        "|--:|---|--:|--:|--:|--:|--:|",
    ]
    kinds = len(WORLDS)
    for models in FLEETS:
        every = np.asarray([sum(stream.alarms[models] for stream in one) for one in years])
        parts = [(world.name, every[place::kinds]) for place, world in enumerate(WORLDS)]
        for name, counts in [*parts, ("of all these worlds", every)]:
            raised, times = int(counts.sum()), models / counts.size
            low, high = (times * end for end in interval(counts))
            table.append(
                f"| {models} | {name} | {counts.size} | {raised} | {raised * times:.2f} "
                f"| {low:.2f} to {high:.2f} | {BUDGET:g} |"
            )
            print(table[-1], flush=True)
    return table


def standing(alarm: Alarm, model: int) -> StandingAlarm:
    """As ``status`` has it: tables and columns of models that read another table have other names."""
    table = model // SHARE
    features = tuple(f"{name}_of_{table}" for name in alarm.features)
    named = alarm.model_copy(update={"features": features})
    return StandingAlarm(f"m{model}", alarm.since or "", named, frozenset({f"shop.public.t{table}"}))


def of_fleet(fleet: int, models: Sequence[int], change: float) -> tuple[list[StandingAlarm], list[int]]:
    """Alarms that stand after the last day, and the days from the break until each model was told first."""
    found, days = [], []
    for model in models:
        world, generator = WORLDS[model % len(WORLDS)], np.random.default_rng([SEED, fleet, model])
        levels = off(world, REFERENCE + LOOKED_FOR, FEATURES, generator)
        levels[REFERENCE + BREAKS_ON :, 0] += change * math.hypot(world.days, 1 / math.sqrt(ROWS))
        looks = of_features(levels, generator)
        evidence, told = Evidence(), []
        for place, look in enumerate(looks):
            evidence.see(look, limit(40))
            told += [place - BREAKS_ON + 1] if evidence.new and place >= BREAKS_ON else []
        alarm = accumulate(looks, limit(40))
        found += [standing(alarm, model)] if alarm.raised else []
        days += told[:1]
    return found, days


def broken_table(fleets: int) -> list[str]:
    """What is told when a table breaks under five of forty models: of how many, how soon, as what."""
    table = [
        "| moved by, sd of windows | fleets | of the five told | days until the first | until the last "
        "| incidents of the five | sound models told |",
        "|--:|--:|--:|--:|--:|--:|--:|",
    ]
    sound = [of_fleet(fleet, range(SHARE, 40), 0.0)[0] for fleet in range(fleets)]
    for change in (2.0, 4.0, 10.0):
        seen = [of_fleet(fleet, range(SHARE), change) for fleet in range(fleets)]
        told = [days for _, days in seen]
        incidents = [
            sum(any(int(one.model[1:]) < SHARE for one in incident.alarms) for incident in incidents_of(both))
            for both in (broken + others for (broken, _), others in zip(seen, sound, strict=True))
        ]
        ends = [(min(days), max(days)) for days in told if days] or [(0, 0)]
        first, last = (f"{np.median(side):g}" if any(told) else "-" for side in zip(*ends, strict=True))
        table.append(
            f"| {change:g} | {fleets} | {np.mean([len(days) for days in told]):.1f} | {first} | {last} "
            f"| {np.mean(incidents):.2f} | {np.mean([len(one) for one in sound]):.2f} |"
        )
        print(table[-1], flush=True)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a tenth of the models")
    parser.add_argument("--table", choices=["year", "broken-table"], help="only this one")
    parser.add_argument("--write", type=Path, help="the page whose tables are replaced")
    options = parser.parse_args()
    made: dict[str, Callable[[], list[str]]] = {
        "year": lambda: false_alarms([year(number) for number in range(20 if options.short else SIMULATED)]),
        "broken-table": lambda: broken_table(1 if options.short else DRAWN),
    }
    for name in [options.table] if options.table else made:
        rows = made[name]()
        if options.write:
            replace_table(options.write, name, Path(__file__).name, rows)


if __name__ == "__main__":
    main()
