"""Rounds of faults, one after the other, until as many were done as were asked for; then the account."""

from __future__ import annotations

import ctypes
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import psutil

from rescore import pipeline
from rescore.sha256 import file_sha256
from tests.faults.acts import ACTS, State
from tests.faults.attempts import Attempt, Break
from tests.faults.history import Acknowledged, Counts, Erased, Publication, check, read_seen
from tests.faults.isolation import elsewhere
from tests.faults.points import END, Point
from tests.faults.world import DAYS, KEEPERS, MODEL, Expected, World

__all__ = ["Account", "Campaign"]

_FUNCTION = re.compile(r": (\w+)\(\)$")
_READER = Path(__file__).with_name("reader.py")
#: More retries than this, without a fault, and the round is stuck.
_RETRIES = 8
#: How often each act is broken, compared with the others.
_SHARES = {"score": 10, "release": 4, "pin": 2, "retention": 4, "erase": 4, "look back": 1, "train": 1}
#: Ways other than a kill, which every point gets.
_OTHER_WAYS = ("server stopped", "connections cut", "disk full", "store's disk full")


@dataclass
class Account:
    """What was done, and what was found; every list has to stay empty.

    Attributes
    ----------
    faults : int
        Attempts that were broken.
    ways, acts : dict of str to int
        The same by way and by act.
    points : int
        At how many different points, of ``points_known``.
    missed : int
        Attempts that ended before they came to their point.
    publications : int
        Made by all rounds.
    polls : int
        Readings of the consumers' views.
    reproduced : dict of str to int
        Verdicts over every run that is current at the end.
    wrong, torn, lost, duplicated : list of str
        As ``history.check`` finds them.
    stuck : list of str
        Rounds that did not end as they should, however often they were tried again.
    left : list of str
        What was left behind.
    functions : list of str
        The functions of the store's protocol that the acts call.
    """

    faults: int = 0
    ways: Counter[str] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)
    points: int = 0
    points_known: int = 0
    missed: int = 0
    rounds: int = 0
    publications: int = 0
    polls: int = 0
    seconds: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)
    reproduced: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)

    def findings(self) -> list[str]:
        """All that should not be."""
        return [*self.wrong, *self.torn, *self.lost, *self.duplicated, *self.stuck, *self.left]

    def to_dict(self) -> dict[str, Any]:
        """For a script."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in values.items()}


class Campaign:
    """A world, a reader, and rounds of faults.

    Parameters
    ----------
    home : Path
        An empty folder.
    seed : int
        Decides what is broken where; not when a process gets to run.
    acts : collection of str
        The acts that are broken; default: all.
    packages : int
        How many are trained first.
    """

    def __init__(self, home: Path, *, seed: int, acts: Collection[str] = (), packages: int = 2) -> None:
        self.world = World(home, packages)
        self.account = Account()
        self._draw = random.Random(seed)
        self._acts = tuple(acts or _SHARES)
        self._acknowledged: list[Acknowledged] = []
        self._erased: dict[str, Erased] = {}
        self._keepers = [f"keeper-{number}" for number in range(KEEPERS)]
        self._points: dict[str, list[Point]] = {}
        self._untried: dict[str, list[Point]] = {}
        self._tried: set[Point] = set()
        self._typical: dict[str, float] = {}

    def run(self, faults: int, say: Callable[[str], None] = print) -> Account:
        """Break ``faults`` attempts; see what came of it."""
        began = time.monotonic()
        _adopt_orphans()
        world = self.world
        world.server.start()
        try:
            elsewhere(world.prepare)
            expected: Expected = elsewhere(world.expected)
            say(f"prepared after {time.monotonic() - began:.0f} s")
            seen = world.home / "seen.jsonl"
            reader = subprocess.Popen([sys.executable, "-P", str(_READER), world.reader_url, str(seen)])
            try:
                self._find_points()
                say(f"{self.account.points_known} points after {time.monotonic() - began:.0f} s")
                self._break(faults, say)
            finally:
                reader.terminate()
                reader.wait(30)
            self._look(elsewhere(self._publications), expected, seen)
            for verdict, count in elsewhere(self._reproduce).items():
                self.account.reproduced[verdict] += count
            self.account.left += self._left_behind()
        finally:
            world.server.stop()
        self.account.points = len(self._tried)
        self.account.seconds = time.monotonic() - began
        return self.account

    # -- rounds -------------------------------------------------------------------------------

    def _find_points(self) -> None:
        """Do each act once, unbroken, and note what it passes."""
        called: set[str] = set()
        for name in self._acts:
            began = time.monotonic()
            # All on one day: what is superseded there is deleted.
            attempt = Attempt(self.world, name, self._state(name) | {"day": DAYS[0]}, trace=True).wait()
            self._note(attempt)
            if not attempt.complete:
                self.account.stuck.append(f"{name}, unbroken: {attempt.error}")
            self._typical[name] = time.monotonic() - began
            # The first of equal points, and the last: the steps of a loop are alike.
            last = {point[0]: point for point in attempt.points}
            self._points[name] = sorted({*(p for p in attempt.points if p[1] == 1), *last.values(), END})
            self._untried[name] = self._draw.sample(self._points[name], len(self._points[name]))
            self.account.points_known += len(self._points[name])
            called |= {said[1] for point in attempt.points if (said := _FUNCTION.search(point[0]))}
        self.account.functions = sorted(called)

    def _break(self, faults: int, say: Callable[[str], None]) -> None:
        names = [name for name in self._acts if self._points.get(name)]
        weights = [_SHARES[name] for name in names]
        told = 0
        while self.account.faults < faults and not self.account.stuck:
            [name] = self._draw.choices(names, weights)
            kind = self._draw.random()
            self.account.rounds += 1
            if ACTS[name].publishes and kind < 0.1:
                self._five_at_once(name)
            elif ACTS[name].publishes and kind < 0.25:
                self._zombie(name)
            else:
                self._one_after_another(name)
            if self.account.faults >= told + 25:
                told = self.account.faults
                say(f"{told} faults in {self.account.rounds} rounds")

    def _one_after_another(self, name: str) -> None:
        """One to three attempts that are broken, then as many as it takes."""
        state, first = self._state(name), 0
        for _ in range(self._draw.randint(1, 3)):
            if self._draw.random() < 0.15:
                attempt = Attempt(self.world, name, state, first)
                self._kill_some_time(attempt)
            else:
                attempt = Attempt(self.world, name, state, first, how=self._any_break(name))
            self._note(attempt.wait())
            if attempt.complete:
                return
            state, first = self._go_on_from(attempt, state)
        self._finish(name, state, first)

    def _zombie(self, name: str) -> None:
        """One stops in the middle, another one publishes, the first wakes and goes on."""
        state = self._state(name)
        zombie = Attempt(self.world, name, state, how=Break(self._point(name), "paused"))
        asleep = zombie.stopped()
        self._finish(name, state, 0)
        if asleep:
            zombie.signal(signal.SIGCONT)
        self._note(zombie.wait())

    def _five_at_once(self, name: str) -> None:
        state = self._state(name)
        rivals = [Attempt(self.world, name, state) for _ in range(4)]
        rivals.append(Attempt(self.world, name, state, how=Break(self._point(name), "killed")))
        self._kill_some_time(rivals[0])
        for rival in rivals:
            self._note(rival.wait())
        self._finish(name, state, 0)

    def _finish(self, name: str, state: State, first: int) -> None:
        """Try again, unbroken, until it is done."""
        said = []
        for _ in range(_RETRIES):
            attempt = Attempt(self.world, name, state, first).wait()
            self._note(attempt)
            if attempt.complete:
                return
            said.append(str(attempt.error))
            state, first = self._go_on_from(attempt, state)
        self.account.stuck.append(f"{name} {state}: {said}")

    def _go_on_from(self, attempt: Attempt, begun_with: State) -> tuple[State, int]:
        """As a task that is retried, or as a DAG run that is cleared."""
        if not attempt.broken or self._draw.random() < 0.4:
            return {key: begun_with[key] for key in ("day", "keeper") if key in begun_with}, 0
        return attempt.state, attempt.done

    def _any_break(self, name: str) -> Break:
        other = self._draw.random() < 0.3
        return Break(self._point(name), self._draw.choice(_OTHER_WAYS) if other else "killed")

    def _point(self, name: str) -> Point:
        """One that was not tried yet, as long as there is one."""
        return self._untried[name].pop() if self._untried[name] else self._draw.choice(self._points[name])

    def _kill_some_time(self, attempt: Attempt) -> None:
        if not attempt.ended_within(self._draw.uniform(0, self._typical[attempt.act])):
            attempt.signal(signal.SIGKILL)

    def _state(self, name: str) -> State:
        state: State = {"day": self._draw.choice(DAYS)}
        if name == "erase":
            state["keeper"] = self._keepers.pop() if len(self._keepers) > 1 else self._keepers[0]
            self._erased.setdefault(state["keeper"], Erased(time.monotonic(), None))
        if name == "look back":
            state["day"] = DAYS[0]  # which is published
        return state

    def _note(self, attempt: Attempt) -> None:
        """Count it, and start the server again if it was stopped."""
        if attempt.broken:
            way = attempt.how.way if attempt.how is not None else "killed at any time"
            self.account.faults += 1
            self.account.ways[way] += 1
            self.account.acts[attempt.act] += 1
            if attempt.how is not None:
                self._tried.add(attempt.how.point)
        elif attempt.how is not None:
            self.account.missed += 1
        if attempt.error is not None:
            self.account.errors[attempt.error.split(":")[0]] += 1
            if "hung" in attempt.error:
                self.account.stuck.append(f"{attempt.act}: {attempt.error}")
        if attempt.complete and attempt.acknowledged is not None:
            if ACTS[attempt.act].publishes:
                day = int(self.world.day(attempt.state["day"]).start.timestamp())
                self._acknowledged.append(Acknowledged(attempt.acknowledged, day, attempt.state["run"]))
            if attempt.act == "erase":
                keeper = attempt.state["keeper"]
                unsearched = frozenset(attempt.state["unsearched"])
                self._erased[keeper] = Erased(self._erased[keeper].begun, attempt.acknowledged, unsearched)
        if not self.world.server.running():
            self.world.server.start()

    # -- the account --------------------------------------------------------------------------

    def _look(self, publications: dict[str, Publication], expected: Expected, seen: Path) -> None:
        account = self.account
        counts: Counts = check(read_seen(seen), publications, self._acknowledged, self._erased, expected)
        account.publications, account.polls = len(publications), counts.polls
        account.wrong, account.torn = counts.wrong, counts.torn
        account.lost, account.duplicated = counts.lost, counts.duplicated

    def _publications(self) -> dict[str, Publication]:
        rows = self.world.execute(
            "SELECT r.run_id::text, extract(epoch FROM r.interval_start)::bigint, package_sha256, sequence"
            " FROM rescore.publication p JOIN rescore.run r ON r.run_id = p.run_id"
        )
        return {run: Publication(day, package, sequence) for run, day, package, sequence in rows}

    def _reproduce(self) -> Counter[str]:
        verdicts: Counter[str] = Counter()
        with self.world.context() as ctx:
            for run in ctx.store.runs.published(MODEL):
                verdicts[pipeline.reproduce_run(ctx, run.run_id).verdict] += 1
        return verdicts

    def _left_behind(self) -> list[str]:
        """Temporary files, files that are not what their name says, locks, connections, processes."""
        last = Attempt(self.world, "retention", {"day": DAYS[0]}).wait()
        left = [] if last.complete else [f"the last sweep: {last.error}"]
        home = self.world.rescore_home
        left += [str(path.relative_to(home)) for path in home.rglob("*.partial")]
        left += [str(path.relative_to(home)) for path in home.rglob(".*.deleted")]
        for path in (home / "archive").rglob("*"):
            named = path.stem if path.suffix == ".parquet" else path.parent.name
            if path.is_file() and path.suffix in {".parquet", ".whl"} and file_sha256(path).hex != named:
                left.append(f"{path.relative_to(home)} is not what its name says")
        left += [
            f"a connection of {user}: {state}"
            for user, state in self.world.execute(
                "SELECT usename, state FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid()"
            )
        ]
        server = self.world.server.process()
        mine = psutil.Process().children(recursive=True)
        family = set() if server is None else {server.pid, *(one.pid for one in server.descendants())}
        gone, alive = psutil.wait_procs([one for one in mine if one.pid not in family], timeout=20)
        left += [f"process {' '.join(one.cmdline()) or one.name()}" for one in alive if one not in gone]
        return left


def _adopt_orphans() -> None:
    """What a killed attempt leaves running becomes our child, so that it is seen."""
    ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
