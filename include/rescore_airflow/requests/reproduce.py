"""Which published runs a run of ``reproduce`` is to derive again."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param

from rescore.errors import ParameterError
from rescore.interval import Interval
from rescore_airflow.requests.typed_params import (
    CheckedParam,
    check_conf,
    interval_of,
    moment_param,
    text_param,
)

if TYPE_CHECKING:
    from rescore.pipeline import Context

__all__ = ["ReproduceRequest", "chosen_runs", "reproduce_params", "reproduce_request"]

#: Airflow maps one task to each chosen run and refuses more than ``core.max_map_length``.
MAX_SAMPLE = 1000
#: A sample is drawn from so many intervals of each model, the latest.
SAMPLED_FROM = 10_000


def reproduce_params(models: Sequence[str]) -> dict[str, Param]:
    """The Params of ``reproduce``, for the models there are."""
    return {
        "run_id": text_param("Run", "The id of one run, as in scores.runs. Leave the rest empty then."),
        "model": text_param("Model", "Only runs of this model.", enum=[None, *models]),
        "interval_start": moment_param(
            "Interval start", "The model's published run of this interval; give interval_end too."
        ),
        "interval_end": moment_param("Interval end", "End of that interval."),
        "day": text_param(
            "Day due",
            "The model's published runs that were due on this day, in the schedule's time zone.",
            format="date",
        ),
        "sample": CheckedParam(
            5,
            type="integer",
            minimum=1,
            maximum=MAX_SAMPLE,
            title="Sample",
            description="Without run, interval or day: how many published runs to draw.",
        ),
    }


@dataclass(frozen=True)
class ReproduceRequest:
    """One run, a model's interval, a model's day, or a sample of ``sample`` runs."""

    run_id: str | None
    model: str | None
    interval: Interval | None
    day: date | None
    sample: int


def reproduce_request(conf: Mapping[str, Any] | None, params: Mapping[str, Any]) -> ReproduceRequest:
    """Read the Params of a run of ``reproduce``.

    Raises
    ------
    ParameterError
        An unknown Param, two ways of naming runs at once, or an interval or day without a model.
    """
    # Airflow adds unknown keys of the conf to the params, so those can't say what is known.
    check_conf(conf, reproduce_params([]))
    run_id, model = params.get("run_id") or None, params.get("model") or None
    interval, day = interval_of(params, "interval_start", "interval_end"), _day(params.get("day"))
    ways = [name for name, value in [("run_id", run_id), ("interval", interval), ("day", day)] if value]
    if len(ways) > 1:
        raise ParameterError(
            f"{' and '.join(ways)} both name runs",
            where="the Params of this run",
            expected="one of: run_id, interval_start with interval_end, day, or none of them for a sample",
            fix="leave the others empty",
        )
    if (interval or day) and model is None:
        raise ParameterError(
            f"{ways[0]} is given without a model",
            where="Param model",
            expected="the model whose runs are meant",
            fix="choose it",
        )
    return ReproduceRequest(run_id, model, interval, day, int(params["sample"]))


def _day(value: Any) -> date | None:
    if not value:
        return None
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise ParameterError(
            f"day {value!r} is not a date",
            where="Param day",
            expected="a date like 2013-04-01",
            fix="write year, month and day with dashes",
        ) from None


def chosen_runs(ctx: Context, request: ReproduceRequest, *, seed: str) -> list[str]:
    """The ids of the runs that ``request`` names, or a sample of those published.

    Parameters
    ----------
    ctx : Context
        The store and the model folders.
    request : ReproduceRequest
        What to derive again.
    seed : str
        Decides the sample, so that a retry draws the same runs.

    Raises
    ------
    NotFoundError
        An interval or a day was named, but no run of it is published.
    """
    if request.run_id is not None:
        return [ctx.store.runs.get(request.run_id).run_id]
    from rescore import pipeline

    if request.model is not None and (request.interval or request.day):
        return pipeline.published_run_ids(ctx, request.model, interval=request.interval, day=request.day)
    models = [request.model] if request.model is not None else ctx.models()
    ids = sorted(
        run_id for name in models for run_id in pipeline.published_run_ids(ctx, name, last=SAMPLED_FROM)
    )
    return random.Random(seed).sample(ids, min(request.sample, len(ids)))  # noqa: S311 (no secret)
