"""What a run of ``score_<model>`` is to score.

Airflow calls a logical date what people call an interval; here the run's Params and its own data
interval become one interval of the schedule, or a typed error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow.sdk import Param

from rescore.errors import ParameterError
from rescore.interval import Interval, parse_moment
from rescore.spec import ModelSpec
from rescore_airflow.requests.typed_params import (
    CheckedParam,
    interval_of,
    moment_of,
    moment_param,
    run_type_of,
    with_defaults,
)

__all__ = ["ScoreRequest", "score_params", "score_request"]

#: Runs that no Param may turn to another interval: the scheduler keeps account of theirs.
OWN_INTERVAL = ("scheduled", "backfill")


def score_params(spec: ModelSpec) -> dict[str, Param]:
    """The Params of ``score_<model>``."""
    first = spec.schedule.schedule().first_interval()
    like = f" The first one is {first}." if first else ""
    return {
        "interval_start": moment_param(
            "Interval start",
            "Start of the one schedule interval to score; give interval_end too. Leave both empty to "
            f"score the interval of the run itself.{like}",
        ),
        "interval_end": moment_param("Interval end", "End of that interval, not part of it."),
        "as_of": moment_param(
            "Known by",
            "Only rows recorded by this moment are seen. Empty: the interval's end, which is what the "
            "scheduled run sees.",
        ),
        "retrain": CheckedParam(
            "when_due" if spec.asks_for_retraining else "never",
            type="string",
            enum=["never", "when_due", "always"],
            title="Retrain",
            description=f"Whether to start train_{spec.name} first. Scoring goes on with the package "
            "that is pinned now, unless wait is on.",
        ),
        "wait": CheckedParam(
            False,
            type="boolean",
            title="Wait for the training",
            description="Score only after a training that was started has ended, approval included.",
        ),
    }


@dataclass(frozen=True)
class ScoreRequest:
    """One interval to score, and the moment by which its rows must have been recorded.

    ``as_of`` None means the interval's end. ``retrain`` is ``never``, ``when_due`` or ``always``; ``wait``
    says whether scoring waits for that training.
    """

    interval: Interval
    as_of: datetime | None
    retrain: str
    wait: bool

    @property
    def known_by(self) -> datetime:
        """The moment itself."""
        return self.as_of or self.interval.end


def score_request(spec: ModelSpec, context: Mapping[str, Any], *, now: datetime) -> ScoreRequest:
    """What a run of ``score_<model>``, or of a DAG with its tasks, is to score.

    Params come first; else it is the run's own data interval. A run that spans no time, as those of cron
    triggers and asset events, is for the schedule's last interval that had ended by then. One that another
    DAG started is for the interval that begins at its logical date, else the last that had ended by then. A
    run started by hand without a logical date has none.

    Parameters
    ----------
    spec : ModelSpec
        The model.
    context : mapping
        Airflow's: ``dag_run`` with ``conf``, ``run_type``, ``run_after`` and its data interval; ``params``;
        ``dag``, whose own Params a conf may name too.
    now : datetime
        The present moment; intervals that have not ended are refused.

    Raises
    ------
    ParameterError
        An unknown Param, half an interval, none at all, or an ``as_of`` that can't be.
    IntervalError
        Not one of the schedule's intervals, or one that has not ended.
    """
    dag_run = context["dag_run"]
    params = with_defaults(context, score_params(spec))
    named = interval_of(params, "interval_start", "interval_end")
    run_type = run_type_of(dag_run)
    own = _own_interval(spec, dag_run, run_type)
    if named and own and run_type in OWN_INTERVAL and named != own:
        raise ParameterError(
            f"the Params name {named}, but this {run_type} run is for {own}",
            where="Params interval_start and interval_end",
            expected="no interval: every run of a schedule or a backfill has its own",
            fix="leave both empty, or trigger one run by hand",
        )
    interval = named or own
    if interval is None:
        raise ParameterError(
            "this run names no interval: it was started by hand without a logical date",
            where="Params interval_start and interval_end",
            expected=f"one interval of the schedule '{spec.schedule.cron}' in {spec.schedule.timezone}",
            fix="trigger it again with both Params, or with a logical date",
        )
    spec.schedule.schedule().check(interval, now=now)
    as_of = moment_of(params, "as_of", now=now)
    if as_of is not None and as_of < interval.end:
        raise ParameterError(
            f"as_of {as_of.isoformat()} lies before the interval's end",
            where="Param as_of",
            expected=f"{interval.end.isoformat()} or later",
            fix="leave it empty, or give a later moment",
        )
    return ScoreRequest(interval, as_of, params["retrain"], bool(params["wait"]))


def _own_interval(spec: ModelSpec, dag_run: Any, run_type: str) -> Interval | None:
    """The interval of the run itself, which its timetable or its moment gives."""
    start, end = dag_run.data_interval_start, dag_run.data_interval_end
    schedule = spec.schedule.schedule()
    if run_type == "operator_triggered" and dag_run.logical_date:
        # Airflow 3.3 gives it the interval of the moment at which it was started, whatever its logical date.
        moment = parse_moment(dag_run.logical_date, name="logical_date")
        if start != end and schedule.floor(moment) == moment:
            return Interval(moment, schedule.next_boundary(moment))
        return next(iter(schedule.last_intervals(moment, 1)), None)
    if start and end and start != end:
        return Interval.parse(f"{start.isoformat()}/{end.isoformat()}")
    if not end and run_type != "asset_triggered":
        return None
    moment = parse_moment(end or dag_run.run_after, name="run_after")
    return next(iter(schedule.last_intervals(moment, 1)), None)
