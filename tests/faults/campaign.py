"""Rounds of faults, one after the other, until as many were done as were asked for; then the account."""

from __future__ import annotations

import ctypes
import math
import random
import re
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import psutil

from rescore import pipeline
from rescore.sha256 import file_sha256
from tests.faults import warm
from tests.faults.account import Account
from tests.faults.acts import ACTS, State
from tests.faults.attempts import Attempt, Break
from tests.faults.clocks import MOVABLE
from tests.faults.history import Acknowledged, Counts, Erased, Publication, check, read_seen
from tests.faults.isolation import elsewhere
from tests.faults.points import END, Point
from tests.faults.world import DAYS, KEEPERS, MODEL, Expected, World, cut_small_leaves

__all__ = ["Campaign"]

_FUNCTION = re.compile(r": (\w+)\(\)$")
_READER = Path(__file__).with_name("reader.py")
#: More retries than this, without a fault, and the round is stuck.
_RETRIES = 8
#: So many rounds that are stuck, and there is no use in going on.
_STUCK = 5
#: How often each act is broken, compared with the others.
_SHARES = {
    "score": 8,
    "shards": 6,
    "release": 4,
    "pin": 2,
    "retention": 4,
    "erase": 4,
    "look back": 1,
    "train": 1,
}
#: Ways other than a kill, which every point gets.
_OTHER_WAYS = ("server stopped", "connections cut", "disk full", "store's disk full")
_CLOCKS = ("clock set ahead", "clock set back", "server's clock set ahead", "server's clock set back")
#: How many attempts start their interpreters from nothing, beside those whose fault concerns these.
_COLD = 0.15


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
    lane : tuple of int
        Which of how many campaigns beside each other: points that were not tried yet are shared out.
    ways : sequence of str
        Break attempts at points in these ways alone; default: in all.
    """

    def __init__(
        self,
        home: Path,
        *,
        seed: int,
        acts: Collection[str] = (),
        packages: int = 2,
        lane: tuple[int, int] = (0, 1),
        ways: Sequence[str] = (),
    ) -> None:
        self.world = World(home, packages)
        self.account = Account()
        self._draw = random.Random(seed)
        self._lane = lane
        self._ways = tuple(ways)
        self._acts = tuple(acts or _SHARES)
        self._acknowledged: list[Acknowledged] = []
        self._erased: dict[str, Erased] = {}
        self._keepers = [f"keeper-{number}" for number in range(KEEPERS)]
        self._points: dict[str, list[Point]] = {}
        self._untried: dict[str, list[Point]] = {}
        self._typical: dict[str, float] = {}

    def run(self, faults: int, minutes: float = math.inf, say: Callable[[str], None] = print) -> Account:
        """Break ``faults`` attempts, or as many as ``minutes`` allow; see what came of it."""
        began = time.monotonic()
        _adopt_orphans()
        cut_small_leaves()
        world = self.world
        world.server.start()
        try:
            elsewhere(world.prepare)
            expected: Expected = elsewhere(world.expected)
            say(f"prepared after {time.monotonic() - began:.0f} s")
            seen = world.home / "seen.jsonl"
            reader = subprocess.Popen([sys.executable, "-P", str(_READER), world.reader_url, str(seen)])
            try:
                warm.begin()
                self._find_points()
                typical = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self._typical.items())
                say(f"{len(self.account.known)} points after {time.monotonic() - began:.0f} s: {typical}")
                self._break(faults, began + 60 * minutes, say)
            finally:
                reader.terminate()
                reader.wait(30)
            for look in (lambda: self._look(expected, seen), self._prove, self._look_for_remains):
                self._in_any_case(look)
        finally:
            world.server.stop()
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
            warm.load(attempt.modules)
            # The first of equal points, and the last: the steps of a loop are alike.
            last = {point[0]: point for point in attempt.points}
            self._points[name] = sorted({*(p for p in attempt.points if p[1] == 1), *last.values(), END})
            ours = self._points[name][self._lane[0] :: self._lane[1]]
            self._untried[name] = self._draw.sample(ours, len(ours))
            self.account.known |= {*self._points[name]}
            called |= {said[1] for point in attempt.points if (said := _FUNCTION.search(point[0]))}
        self.account.functions = sorted(called)

    def _break(self, faults: int, until: float, say: Callable[[str], None]) -> None:
        names = [name for name in self._acts if self._points.get(name)]
        weights = [_SHARES[name] for name in names]
        told, began = 0, time.monotonic()
        while self.account.faults < faults and time.monotonic() < until and len(self.account.stuck) < _STUCK:
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
                took = time.monotonic() - began
                say(f"{told} faults in {self.account.rounds} rounds, {took / told:.1f} s each")

    def _one_after_another(self, name: str) -> None:
        """One to three attempts that are broken, then as many as it takes."""
        state, first = self._state(name), 0
        for _ in range(self._draw.randint(1, 3)):
            if self._draw.random() < 0.15:
                attempt = Attempt(self.world, name, state, first, cold=self._cold())
                self._kill_some_time(attempt)
            else:
                how = self._any_break(name)
                # Whatever it starts is on the same full disk.
                cold = how.way == "disk full" or self._cold()
                attempt = Attempt(self.world, name, state, first, how=how, cold=cold)
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
        kinds = [("killed",), _OTHER_WAYS, _CLOCKS if MOVABLE else ("killed",)]
        [ways] = [self._ways] if self._ways else self._draw.choices(kinds, [6, 3, 1])
        return Break(self._point(name), self._draw.choice(ways))

    def _cold(self) -> bool:
        return self._draw.random() < _COLD

    def _point(self, name: str) -> Point:
        """One that was not tried yet, as long as there is one."""
        return self._untried[name].pop() if self._untried[name] else self._draw.choice(self._points[name])

    def _kill_some_time(self, attempt: Attempt) -> None:
        if not attempt.ended_within(self._draw.uniform(0, self._typical[attempt.act])):
            attempt.signal(signal.SIGKILL)

    def _state(self, name: str) -> State:
        state: State = {"day": self._draw.choice(DAYS)}
        if name == "erase":
            # Half of them stay, or there is nothing left to score; somebody may be erased again.
            state["keeper"] = self._keepers.pop() if len(self._keepers) > KEEPERS // 2 else self._keepers[0]
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
                self.account.tried.add(attempt.how.point)
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

    def _in_any_case(self, look: Callable[[], None]) -> None:
        """What one look stumbles over is a finding, and keeps nobody from the others."""
        try:
            look()
        except Exception:
            self.account.stuck.append(f"no account: {traceback.format_exc()}")

    def _look(self, expected: Expected, seen: Path) -> None:
        account, publications = self.account, elsewhere(self._publications)
        known: Expected = elsewhere(lambda: self.world.with_every_package(expected))
        counts: Counts = check(read_seen(seen), publications, self._acknowledged, self._erased, known)
        account.publications, account.polls = len(publications), counts.polls
        account.wrong, account.torn = counts.wrong, counts.torn
        account.lost, account.duplicated = counts.lost, counts.duplicated

    def _prove(self) -> None:
        self.account.reproduced += elsewhere(self._reproduce)

    def _look_for_remains(self) -> None:
        self.account.left += self._left_behind()

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
        warm.end()
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
