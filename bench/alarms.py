"""False alarms in a year of many models, and how long a change takes to be told.

    python bench/alarms.py                  # some minutes
    python bench/alarms.py --short          # a tenth of the models
    python bench/alarms.py --write docs/guides/drift.md

A model is its windows' statistic: 60 of reference, then 365 days, each a normal number. *Memory* is an
AR(1)'s, as far as it is left in the statistic; a change is in standard deviations of the statistic. Every
line is a world of its own.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
from docs_tables import replace_table
from scipy.signal import lfilter

from rescore.evidence import Evidence, Look, limit_of

SEED = 20_130_401
REFERENCE, DAYS = 60, 365
CHANGE_ON, LOOKED_FOR = 30, 120

Floats = npt.NDArray[np.float64]


def statistics(generator: np.random.Generator, windows: int, memory: float, weekly: float) -> Floats:
    """The statistic of each window."""
    drawn = generator.standard_normal(windows)
    drawn[1:] *= math.sqrt(1 - memory**2)
    series = lfilter([1.0], [1.0, -memory], drawn)
    return np.asarray(series + weekly * (np.arange(windows) % 7 >= 5))


def looks(drawn: Floats) -> list[Look]:
    """The windows after those of reference."""
    reference = drawn[:REFERENCE].tolist()
    return [Look(str(day), float(one), reference) for day, one in enumerate(drawn[REFERENCE:])]


def alarms_in(drawn: Floats, limit: float) -> int:
    """How many alarms are raised in a year."""
    evidence = Evidence()
    count = 0
    for look in looks(drawn):
        evidence.see(look, limit)
        count += evidence.new
    return count


def delay(drawn: Floats, limit: float) -> float:
    """Windows from the change to the alarm; infinite if there is none."""
    evidence = Evidence()
    for count, look in enumerate(looks(drawn), 1):
        evidence.see(look, limit)
        if count > CHANGE_ON and evidence.raised:
            return float(count - CHANGE_ON)
    return math.inf


def lines(models: int) -> list[str]:
    """One line for each world and budget."""
    head = "| windows | budget a stream and year | false alarms | ± | delay at 4 sd | 2 sd | 1 sd |"
    found = [head, "|---|--:|--:|--:|--:|--:|--:|"]
    worlds = [("independent", 0.0, 0.0), ("weekends off by 1 sd", 0.0, 1.0), ("memory .5", 0.5, 0.0),
              ("memory .8", 0.8, 0.0)]  # fmt: skip
    for place, (name, memory, weekly) in enumerate(worlds):
        for budget in (1.0, 0.1):
            generator = np.random.default_rng([SEED, place])
            limit = limit_of(365, 1, budget)
            years = [statistics(generator, REFERENCE + DAYS, memory, weekly) for _ in range(models)]
            raised = [alarms_in(year, limit) for year in years]
            waited = []
            for change in (4.0, 2.0, 1.0):
                told = []
                for _ in range(models):
                    drawn = statistics(generator, REFERENCE + LOOKED_FOR, memory, weekly)
                    drawn[REFERENCE + CHANGE_ON :] += change
                    told.append(delay(drawn, limit))
                waited.append(float(np.median(told)))
            width = 1.96 * max(float(np.std(raised)), 1 / math.sqrt(models)) / math.sqrt(models)
            shown = " | ".join("–" if math.isinf(one) else f"{one:.0f}" for one in waited)
            found.append(f"| {name} | {budget:g} | {np.mean(raised):.2f} | {width:.2f} | {shown} |")
            print(found[-1], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a tenth of the models")
    parser.add_argument("--write", type=Path, help="the page whose table is replaced")
    options = parser.parse_args()
    made = lines(4 if options.short else 40)
    if options.write:
        replace_table(options.write, "alarms", Path(__file__).name, made)


if __name__ == "__main__":
    main()
