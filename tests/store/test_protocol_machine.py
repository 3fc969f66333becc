"""The publish protocol against a model of it that knows no SQL: what is refused, and what consumers see.

Hypothesis interleaves attempts at one interval: claims, retries, steps in order and out of it, holds,
releases and publications, by attempts that are current and by those that a later one overtook.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine
from sqlalchemy import text

from rescore.errors import HeldError, StaleFenceError, StoreError
from rescore.interval import Interval
from rescore.store import RunHandle, Store
from tests.store.builders import Walk, day, make_scores
from tests.store.logins import as_superuser

ROWS = 5
#: Mostly the latest attempt, else nothing would get far.
WHICH = st.sampled_from([0, 0, 0, 0, 1, 2, 3])
STATES = ("claimed", "extracted", "validated", "scored", "checked")


@dataclass
class ModelledRun:
    """What is known of a run: how far it is, whose scores it has, and whether it is held."""

    state: str = "claimed"
    validated: bool = False
    extracted: bool = False
    staged_by: int | None = None
    held: bool = False


class Protocol(RuleBasedStateMachine):
    """Attempts at one interval; ``walk`` is the real thing."""

    walk: Walk
    intervals = iter(range(10_000))

    @initialize()
    def begin(self) -> None:
        self.interval: Interval = day(next(self.intervals))
        self.attempts: list[RunHandle] = []
        self.runs: dict[str, ModelledRun] = {}
        self.newest = 0
        self.forked_from: dict[str, str] = {}
        self.current = ""
        self.published: list[str] = []
        self.claim()

    # -- what may be done -----------------------------------------------------------------------

    @precondition(lambda self: self.runs[self.attempts[-1].run_id].state != "claimed")
    @rule()
    def claim_again(self) -> None:
        self.claim()

    def claim(self) -> None:
        self._begun(self.walk.claim(self.interval), ModelledRun())

    @rule(which=WHICH, state=st.sampled_from(["extracted", "validated"]))
    def retry_any(self, which: int, state: str) -> None:
        self.retry(which, state)

    def retry(self, which: int, state: str) -> None:
        run_id = self._attempt(which).run_id
        origin = self.runs[run_id]
        if not self._newest_descends_from(run_id):  # another run took the interval over
            with pytest.raises(StaleFenceError):
                self.walk.store.runs.resume(run_id, state)
            return
        again = self.walk.store.runs.resume(run_id, state)
        goes_on = origin.state == state and (state == "extracted" or origin.staged_by is None)
        assert (again.run_id in self.runs) == goes_on
        if goes_on:
            self.attempts.append(again)
            self.newest += 1
            assert again.fence == self.newest
        elif not origin.extracted:
            self._begun(again, ModelledRun())
        elif state == "validated" and origin.validated:
            self._begun(again, ModelledRun("validated", validated=True, extracted=True))
        else:
            self._begun(again, ModelledRun("extracted", extracted=True))
        if not goes_on:
            self.forked_from[again.run_id] = run_id

    @rule(which=WHICH, times=st.integers(1, 4))
    def steps(self, which: int, times: int) -> None:
        attempt, run = self._attempt(which), self.runs[self._attempt(which).run_id]
        for _ in range(times):
            self._step(attempt, run)

    @precondition(lambda self: self.runs[self.attempts[-1].run_id].state in {"extracted", "validated"})
    @rule()
    def retry_what_is_under_way(self) -> None:
        self.retry(0, self.runs[self.attempts[-1].run_id].state)

    def _step(self, attempt: RunHandle, run: ModelledRun) -> None:
        if run.state == "failed":
            with pytest.raises(StaleFenceError):
                self.walk.store.runs.advance(attempt, "checked")
        if run.state not in STATES[:4]:
            return
        if self._try(attempt, lambda: self._work(attempt, run)):
            run.state = STATES[STATES.index(run.state) + 1]
            run.extracted |= run.state == "extracted"
            run.validated |= run.state == "validated"

    @rule(which=WHICH)
    def skip_a_state(self, which: int) -> None:
        attempt, run = self._attempt(which), self.runs[self._attempt(which).run_id]
        if run.state not in STATES[:3] or (run.state == "validated" and run.staged_by is None):
            return
        after = STATES[STATES.index(run.state) + 2]
        with pytest.raises(StoreError):
            self.walk.store.runs.advance(attempt, after)

    @rule(which=WHICH)
    def stage_and_die(self, which: int) -> None:
        attempt, run = self._attempt(which), self.runs[self._attempt(which).run_id]
        if run.state == "validated" and run.staged_by is None:
            self._try(attempt, lambda: self._stage(attempt, run))

    @rule(which=WHICH)
    def hold(self, which: int) -> None:
        attempt, run = self._attempt(which), self.runs[self._attempt(which).run_id]
        if run.state == "scored" and self._try(attempt, lambda: self.walk.store.runs.hold(attempt, "held")):
            run.held = True

    @rule(which=WHICH, released=st.booleans())
    def publish(self, which: int, released: bool) -> None:
        attempt, run = self._attempt(which), self.runs[self._attempt(which).run_id]
        how = {"reason": "looked at it", "released_by": "ada"} if released else {}

        def act() -> object:
            return self.walk.store.publications.publish(attempt, **how)

        if run.state == "published":
            act()  # and nothing changes
        elif run.state != "checked" or attempt.fence != self.newest:
            with pytest.raises(StoreError):
                act()
        elif run.held and not released:
            with pytest.raises(HeldError):
                act()
        else:
            act()
            run.state = "published"
            self.current = attempt.run_id
            self.published.append(attempt.run_id)

    # -- what must hold -------------------------------------------------------------------------

    @precondition(lambda self: hasattr(self, "interval"))
    @invariant()
    def consumers_see_the_last_publication_and_nothing_else(self) -> None:
        store = self.walk.store
        with as_superuser(store) as connection:
            rows = connection.execute(
                text(
                    "SELECT run_id::text, score FROM scores.loans WHERE interval_start = :s ORDER BY loan_id"
                ),
                {"s": self.interval.start},
            ).all()
        shown = [(row.run_id, row.score) for row in rows]
        by = None if not self.current else self.runs[self.current].staged_by
        assert shown == [(self.current, float(by or 0))] * ROWS * bool(self.current)

    def teardown(self) -> None:
        if hasattr(self, "interval"):
            made = [p for p in self.walk.store.publications.of_model("loans") if p.interval == self.interval]
            assert [p.run_id for p in sorted(made, key=lambda one: one.sequence)] == self.published
            for run_id, run in self.runs.items():
                assert self.walk.store.runs.get(run_id).state == run.state

    # -- how it is done -------------------------------------------------------------------------

    def _attempt(self, which: int) -> RunHandle:
        return self.attempts[-1 - which % len(self.attempts)]

    def _newest_descends_from(self, run_id: str) -> bool:
        line = self.attempts[-1].run_id
        while line != run_id and line in self.forked_from:
            line = self.forked_from[line]
        return line == run_id

    def _begun(self, attempt: RunHandle, run: ModelledRun) -> None:
        """A new run takes the interval over: what was open and waits for nobody has failed."""
        for other in self.runs.values():
            if other.state in STATES and not other.held:
                other.state = "failed"
        self.runs[attempt.run_id] = run
        self.attempts.append(attempt)
        self.newest += 1
        assert attempt.fence == self.newest

    def _try(self, attempt: RunHandle, act: Callable[[], Any]) -> bool:
        """Whether the attempt may do it: if and only if it is the latest."""
        if attempt.fence == self.newest:
            act()
            return True
        with pytest.raises(StaleFenceError):
            act()
        return False

    def _work(self, attempt: RunHandle, run: ModelledRun) -> None:
        if run.state == "claimed":
            self.walk.extract(attempt, ROWS)
        elif run.state == "extracted":
            self.walk.validate(attempt)
        elif run.state == "validated":
            if run.staged_by is None:
                self._stage(attempt, run)
            self.walk.store.runs.advance(attempt, "scored")
        else:
            self.walk.check(attempt)

    def _stage(self, attempt: RunHandle, run: ModelledRun) -> None:
        scores = make_scores(self.interval, rows=ROWS, values=[float(attempt.fence)] * ROWS)
        self.walk.store.scores.stage(attempt, scores, **self.walk.package)
        run.staged_by = attempt.fence


def test_attempts_do_what_a_model_of_the_protocol_says(walk: Walk, store: Store) -> None:
    machine = type("Machine", (Protocol,), {"walk": walk})
    how = settings(
        max_examples=8, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_machine(machine, settings=how)
