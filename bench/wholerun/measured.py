"""What was measured: its form, what several rounds say together, and the file that keeps it."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import NamedTuple, Self

import psutil

from wholerun.meter import Cost, total

PACKAGES = ("numpy", "pandas", "pyarrow", "scikit-learn", "adbc-driver-postgresql", "psycopg2-binary")


class Case(NamedTuple):
    """What is scored: a day of ``rows`` rows of a shape of table, by a kind of model."""

    shape: str
    model: str
    rows: int


@dataclass(frozen=True)
class Measured:
    """One way to score one day. Rounds tell repetitions apart.

    Attributes
    ----------
    costs : list of Cost
        Of its parts, in order.
    frozen, stored : float or None
        Bytes that ours keeps of a row: in the frozen input, and in the tables of scores with their indexes.
    """

    case: Case
    way: str
    round: int
    costs: list[Cost]
    frozen: float | None = None
    stored: float | None = None

    @property
    def all(self) -> Cost:
        """All parts as one."""
        return total(self.costs, "all")

    @property
    def processor(self) -> float:
        """Processor seconds of ours and of Postgres."""
        return self.all.ours + self.all.server

    @property
    def busy_elsewhere(self) -> float:
        """How many processors other work had meanwhile, on average."""
        return self.all.others / self.all.wall


@dataclass(frozen=True)
class Spread:
    """The median of several rounds, and the least and the greatest of them."""

    middle: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        values = list(values)
        return cls(median(values), min(values), max(values))

    def text(self, digits: int = 1) -> str:
        """As ``2.1 (1.9 to 2.3)``; the median alone if there was one round."""
        if self.least == self.greatest:
            return f"{self.middle:.{digits}f}"
        return f"{self.middle:.{digits}f} ({self.least:.{digits}f} to {self.greatest:.{digits}f})"


def machine(server: str) -> list[str]:
    """Lines that say on what and with what it is measured."""
    model = platform.machine()
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    memory = psutil.virtual_memory().total / 1024**3
    system = f"{platform.system()} {platform.release().split('-')[0]}"
    return [
        f"{psutil.cpu_count()} processors ({model}), {memory:.0f} GB, {system}",
        f"Python {platform.python_version()}, {', '.join(_installed())}",
        f"Postgres {server} on the same machine, as it comes (`fsync` on) but for autovacuum, which is off,"
        " since it starts by chance",
    ]


def _installed() -> Iterable[str]:
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            yield f"{name} {version(name)}"


@dataclass
class Kept:
    """All that was measured on one machine with one set of versions.

    Attributes
    ----------
    machine : list of str
        See :func:`machine`.
    measured : dict of tuple to tuple
        What was measured, and on which day.
    """

    machine: list[str]
    measured: dict[tuple[Case, str, int], tuple[Measured, str]]

    @classmethod
    def read(cls, path: Path, on: list[str]) -> Self:
        """What the file has of this machine; nothing, if it is another's or there is none."""
        if not path.exists():
            return cls(on, {})
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["machine"] != on:
            return cls(on, {})
        kept = cls(on, {})
        for one in document["measured"]:
            costs = [Cost(**cost) for cost in one["costs"]]
            case, day = Case(*one.pop("case")), one.pop("day")
            kept._put(Measured(**one | {"case": case, "costs": costs}), day)
        return kept

    def add(self, measured: Sequence[Measured], path: Path) -> None:
        """Take these in place of what there was of the same case, way and round; write the file."""
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        for one in measured:
            self._put(one, today)
        rows = [asdict(one) | {"day": day} for one, day in self.measured.values()]
        lines = ",\n  ".join(json.dumps(row, default=str) for row in rows)
        head = f'{{"machine": {json.dumps(self.machine)}, "measured": [\n  '
        path.write_text(f"{head}{lines}\n]}}\n", encoding="utf-8")

    def cases(self) -> dict[Case, dict[str, list[Measured]]]:
        """The rounds of each way of each case, both in order."""
        found: dict[Case, dict[str, list[Measured]]] = {}
        for _, one in sorted(self.measured.items(), key=lambda item: item[0]):
            found.setdefault(one[0].case, {}).setdefault(one[0].way, []).append(one[0])
        return found

    def days(self) -> list[str]:
        """When it was measured."""
        return sorted({day for _, day in self.measured.values()})

    def _put(self, one: Measured, day: str) -> None:
        self.measured[one.case, one.way, one.round] = (one, day)
