"""The page of what was measured: tables, ratios, plots, and on what; every number of it is measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import altair as alt
import numpy as np
import numpy.typing as npt

from wholerun.measured import Kept, Measured, Spread

HEAD = """\
# Benchmarks

Written by `bench/whole_run.py`; nothing here is typed by hand, and `benchmarks.json` beside it has every
single measure. `bench/wholerun/ways.py` says what each way does: *ours* is `rescore score` with every
guarantee; the *floor* is psql copying rows out and ready scores in, and a prediction of a frame that is in
memory already; *by hand* is `read_sql`, `predict_proba`, `to_sql`. All run on one machine, one after another,
each in an interpreter of its own. With several rounds the ways are taken alternately; the median is given,
and in brackets the least and the greatest. What follows for more rows: [Scaling](scaling.md).
"""
RUNS = """\
## Whole runs

Processor seconds are ours and Postgres' together. A ratio is that to the floor of the same round. *Busy
elsewhere* says how many processors other work had while ours was measured: where that is not near zero the
clock tells little, and processor seconds are too high as well (shared caches, memory and threads of a core).

| shape | model | rows | wall s | floor: wall s | processor s | floor: processor s | ratio: wall | processor | busy elsewhere |
|---|---|---|---|---|---|---|---|---|---|
"""  # noqa: E501
HAND = """\
## Beside what is written by hand

How many times as much it takes as ours.

| shape | model | rows | by hand: wall s | processor s | peak MB | times ours: wall | processor | memory |
|---|---|---|---|---|---|---|---|---|
"""
MEMORY = """\
## Memory and disk

Peak of all processes of a way (MB), Postgres' left out; and the bytes that stay of each row: in the frozen
input, and in the tables of scores with their indexes.

| shape | model | rows | ours | floor | frozen | stored |
|---|---|---|---|---|---|---|
"""
STAGES = """\
## By part

Medians of the rounds.

| shape | model | rows | way | part | wall s | our processor s | Postgres' s | peak MB |
|---|---|---|---|---|---|---|---|---|
"""
COSTS = """\
## Cost model

Processor seconds = fixed + per million rows x million rows: a line through the medians, by least squares.

| shape | model | stage | ours: fixed | per million rows | Postgres': fixed | per million rows |
|---|---|---|---|---|---|---|
"""
Ways = dict[str, list[Measured]]


def write(page: Path, kept: Kept) -> None:
    """Write the page, and its plots beside it."""
    cases = kept.cases()
    pictures = page.parent / "images"
    sections = [
        HEAD,
        "".join(f"- {line}\n" for line in [f"measured on {', '.join(kept.days())}", *kept.machine]),
        _draw(cases, pictures),
        RUNS + "".join(_run_line(case, ways) for case, ways in cases.items()),
        HAND + "".join(_hand_line(case, ways) for case, ways in cases.items() if "users" in ways),
        MEMORY + "".join(_memory_line(case, ways) for case, ways in cases.items()),
        COSTS + "".join(_cost_lines(cases)),
        STAGES + "".join(_part_lines(cases)),
    ]
    page.write_text("\n".join(sections), encoding="utf-8")


def _line(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |\n"


def _ratio(over: Sequence[Measured], under: Sequence[Measured], what: str) -> str:
    """Of the rounds that both have."""
    below = {one.round: one for one in under}
    ratios = [_of(one, what) / _of(below[one.round], what) for one in over if one.round in below]
    return Spread.of(ratios).text(2) if ratios else ""


def _of(one: Measured, what: str) -> float:
    return one.processor if what == "processor" else float(getattr(one.all, what))


def _spread(rounds: Sequence[Measured], what: str, digits: int = 1) -> str:
    return Spread.of(_of(one, what) for one in rounds).text(digits)


def _run_line(case: tuple[str, str, int], ways: Ways) -> str:
    shape, model, rows = case
    ours, floor = ways.get("ours"), ways.get("floor")
    if ours is None or floor is None:
        return ""
    walls = [_spread(way, "wall") for way in (ours, floor)]
    processors = [_spread(way, "processor") for way in (ours, floor)]
    ratios = [_ratio(ours, floor, what) for what in ("wall", "processor")]
    busy = f"{median(one.busy_elsewhere for one in ours):.1f}"
    return _line(shape, model, f"{rows:,}", *walls, *processors, *ratios, busy)


def _hand_line(case: tuple[str, str, int], ways: Ways) -> str:
    shape, model, rows = case
    users, ours = ways["users"], ways["ours"]
    own = [_spread(users, "wall"), _spread(users, "processor"), _spread(users, "peak", 0)]
    return _line(
        shape,
        model,
        f"{rows:,}",
        *own,
        *(_ratio(users, ours, what) for what in ("wall", "processor", "peak")),
    )


def _memory_line(case: tuple[str, str, int], ways: Ways) -> str:
    shape, model, rows = case
    peaks = [_spread(ways[way], "peak", 0) if way in ways else "" for way in ("ours", "floor")]
    ours = ways.get("ours", [])
    frozen = [f"{one.frozen:.0f}" for one in ours[-1:] if one.frozen is not None] or [""]
    stored = [f"{one.stored:.0f}" for one in ours[-1:] if one.stored is not None] or [""]
    return _line(shape, model, f"{rows:,}", *peaks, *frozen, *stored)


def _medians(rounds: Sequence[Measured], part: int, what: str) -> float:
    return median(float(getattr(one.costs[part], what)) for one in rounds)


def _part_lines(cases: dict[tuple[str, str, int], Ways]) -> list[str]:
    lines = []
    for (shape, model, rows), ways in cases.items():
        for way, rounds in ways.items():
            for number, cost in enumerate(rounds[0].costs):
                seconds = [f"{_medians(rounds, number, what):.2f}" for what in ("wall", "ours", "server")]
                peak = f"{_medians(rounds, number, 'peak'):.0f}"
                lines.append(_line(shape, model, f"{rows:,}", way, cost.part, *seconds, peak))
    return lines


def _cost_lines(cases: dict[tuple[str, str, int], Ways]) -> list[str]:
    lines = []
    for shape, model in dict.fromkeys((case[0], case[1]) for case in cases):
        rounds = {case[2]: ways["ours"] for case, ways in cases.items()
                  if case[:2] == (shape, model) and "ours" in ways}  # fmt: skip
        if len(rounds) < 2:
            continue
        millions = np.asarray(list(rounds), dtype=np.float64) / 1e6
        sums = np.zeros((2, 2))
        for number, stage in enumerate(cost.part for cost in next(iter(rounds.values()))[0].costs):
            fits = [
                _fit(millions, [_medians(some, number, whose) for some in rounds.values()])
                for whose in ("ours", "server")
            ]
            sums += fits
            lines.append(_line(shape, model, stage, *_four(fits)))
        lines.append(_line(shape, model, "**all**", *_four(sums)))
    return lines


def _fit(millions: npt.NDArray[np.float64], seconds: Sequence[float]) -> npt.NDArray[np.float64]:
    """The fixed part and the slope, shape (2,)."""
    slope, fixed = np.polyfit(millions, seconds, 1)
    return np.asarray([fixed, slope])


def _four(fits: Sequence[npt.NDArray[np.float64]] | npt.NDArray[np.float64]) -> list[str]:
    return [f"{value:.2f}" for fit in fits for value in fit]


def _draw(cases: dict[tuple[str, str, int], Ways], folder: Path) -> str:
    """Save the plots; the lines that show them."""
    named = {"ours": "ours", "floor": "floor", "users": "by hand"}
    points = [
        {
            "rows": rows / 1e6,
            "way": named[way],
            "model": model,
            "seconds": Spread.of(one.processor for one in rounds).middle,
            "peak": Spread.of(one.all.peak for one in rounds).middle,
        }
        for (shape, model, rows), ways in cases.items()
        if shape == "wide20"
        for way, rounds in ways.items()
    ]
    folder.mkdir(parents=True, exist_ok=True)
    base = alt.Chart(alt.Data(values=points)).properties(width=260, height=200)
    lines = ""
    for name, field, title in (
        ("bench_seconds", "seconds", "processor seconds, ours and Postgres'"),
        ("bench_memory", "peak", "peak memory (MB)"),
    ):
        chart = base.mark_line(point=True).encode(
            x=alt.X("rows:Q", title="million rows"),
            y=alt.Y(f"{field}:Q", title=title, scale=alt.Scale(type="log")),
            color=alt.Color("way:N", title=None),
            column=alt.Column("model:N", title=None),
        )
        chart.save(folder / f"{name}.svg")
        lines += f"![{title} by rows of the day, 20 columns](images/{name}.svg)\n\n"
    return lines.rstrip("\n") + "\n"
