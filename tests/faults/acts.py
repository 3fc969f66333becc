"""What is done in the world: each act in steps, as tasks of a DAG, that hand on what the next one needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from rescore import pipeline
from rescore.pipeline import Context
from tests.faults.world import DAYS, MODEL, World

__all__ = ["ACTS", "Act", "State"]

#: What steps hand on: values of JSON, as XCom's.
State = dict[str, Any]
Step = Callable[[World, Context, State], None]


@dataclass(frozen=True)
class Act:
    """Steps, one after the other; a retry begins with the step that was broken, or with the first.

    ``publishes`` says that the day's scores are published at its end.
    """

    steps: tuple[Step, ...]
    publishes: bool = False


def _extract(world: World, ctx: Context, state: State) -> None:
    state["run"] = pipeline.begin_extract(ctx, MODEL, world.day(state["day"]))


def _stage(run: Callable[[Context, str], str]) -> Step:
    def step(_: World, ctx: Context, state: State) -> None:
        state["run"] = run(ctx, state["run"])

    return step


def _split(_: World, ctx: Context, state: State) -> None:
    shards = pipeline.split_run(ctx, state["run"])
    state["run"], state["shards"] = shards[0].run.run_id, [shard.to_dict() for shard in shards]


def _shard(number: int) -> Step:
    """The last step scores all that are left: the more people are erased, the fewer shards there are."""

    def step(_: World, ctx: Context, state: State) -> None:
        theirs = state["shards"][number:] if number + 1 == _SHARDS else state["shards"][number : number + 1]
        for shard in theirs:
            pipeline.score_shard(ctx, pipeline.ShardHandle.from_dict(shard))

    return step


def _join(_: World, ctx: Context, state: State) -> None:
    state["run"] = pipeline.join_shards(ctx, pipeline.ShardHandle.from_dict(state["shards"][0]).run)


def _publish(_: World, ctx: Context, state: State) -> None:
    pipeline.publish_run(ctx, state["run"])


def _hold(_: World, ctx: Context, state: State) -> None:
    attempt = ctx.store.runs.resume(state["run"], "scored")
    state["run"] = attempt.run_id
    if ctx.store.runs.get(attempt).state == "scored":  # else an earlier attempt held it
        ctx.store.runs.hold(attempt, "held, so that a person releases it")


def _release(_: World, ctx: Context, state: State) -> None:
    pipeline.release_run(ctx, state["run"], "ada", "looked at it")


def _pin(_: World, ctx: Context, state: State) -> None:
    pinned = ctx.store.pins.current(MODEL)
    others = [one for one in ctx.store.packages.of_model(MODEL) if one.sha256 != pinned.sha256]
    state.setdefault("version", (others or [pinned])[0].version)
    pipeline.pin(ctx, MODEL, state["version"], who="ada", why="the other one")


def _train(world: World, ctx: Context, state: State) -> None:
    state["version"] = pipeline.train_model(ctx, MODEL, as_of=world.day(30 + state["day"] % 2).start).version


def _hold_others(world: World, ctx: Context, state: State) -> None:
    for number in DAYS:
        if number != state["day"]:
            ctx.store.holds.place(who="eve", reason="kept", model=MODEL, interval=world.day(number))


def _sweep(_: World, ctx: Context, __: State) -> None:
    pipeline.sweep(ctx, who="ada", now=pipeline.utc_now() + timedelta(days=500))


def _lift(_: World, ctx: Context, __: State) -> None:
    for hold in (one for one in ctx.store.holds.all() if one.lifted_at is None):
        ctx.store.holds.lift(hold.hold_id, who="eve", reason="over")


def _leave_source(world: World, _: Context, state: State) -> None:
    world.execute("DELETE FROM harbour.readings WHERE keeper = %s", state["keeper"])


def _erase(_: World, ctx: Context, state: State) -> None:
    report = pipeline.erase_subject(ctx, {"keeper": state["keeper"]}, ground="Art. 17", who="eve")
    state["unsearched"] = report.unsearched


def _look_back(world: World, ctx: Context, state: State) -> None:
    pipeline.measure_due(ctx, MODEL, world.day(DAYS.stop).end)
    [run] = ctx.store.runs.published(MODEL, interval=world.day(state["day"]))
    pipeline.reproduce_run(ctx, run.run_id)


_SCORED = (
    _extract,
    _stage(pipeline.validate_run),
    _stage(pipeline.score_run),
)
#: Steps that score shards, each a task that is retried by itself.
_SHARDS = 3
_DRIFT = _stage(pipeline.drift_run)

ACTS: Mapping[str, Act] = {
    "score": Act((*_SCORED, _DRIFT, _publish), publishes=True),
    "shards": Act(
        (*_SCORED[:2], _split, *(_shard(number) for number in range(_SHARDS)), _join, _DRIFT, _publish),
        publishes=True,
    ),
    "release": Act((*_SCORED, _hold, _DRIFT, _release), publishes=True),
    "pin": Act((_pin,)),
    "retention": Act((_hold_others, _sweep, _lift)),
    "erase": Act((_leave_source, _erase)),
    "train": Act((_train,)),
    "look back": Act((_look_back,)),
}
