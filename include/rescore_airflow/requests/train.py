"""What a run of ``train_<model>`` is to train on, and what becomes of the package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow.sdk import Param

from rescore.errors import FourEyesError, IntervalError, ParameterError
from rescore.interval import Interval, parse_moment
from rescore.shown_text import number_of
from rescore.spec import ModelSpec
from rescore.who import SCHEDULE
from rescore_airflow.requests.typed_params import (
    CheckedParam,
    interval_of,
    moment_of,
    moment_param,
    person_behind,
    text_of,
    text_param,
    with_defaults,
)

__all__ = ["TrainRequest", "train_params", "train_request"]


_APPROVALS = {
    "required": "A person has to approve it first",
    "four_eyes": "A person who did not train it has to approve it first",
    "auto": "The rule in model.yaml decides",
}


def train_params(spec: ModelSpec) -> dict[str, Param]:
    """The Params of ``train_<model>``."""
    approval = _APPROVALS[spec.promotion.approval]
    return {
        "start": moment_param(
            "Window start",
            f"First moment of the training window; give end too. Leave both empty for the last "
            f"{number_of(spec.training.intervals, 'interval')} whose labels are known.",
        ),
        "end": moment_param("Window end", "End of the training window, not part of it."),
        "as_of": moment_param(
            "Labels known by",
            "Labels are those known by this moment. Empty: the schedule's last boundary before now.",
        ),
        "pin": CheckedParam(
            True,
            type="boolean",
            title="Promote",
            description=f"Whether scoring is to use the new package. {approval}, unless approve says now. "
            "Off: it is kept as a challenger.",
        ),
        "approve": CheckedParam(
            "ask",
            type="string",
            enum=["ask", "now"],
            title="Approval",
            description="now: you, who start this run, approve the package already; the reason is stored "
            "with your name.",
        ),
        "reason": text_param("Reason", "Why it is promoted; needed when approve is now.", maxLength=2000),
        "asked_by": text_param(
            "Asked by", "Leave it empty: a DAG that starts the training names whoever started that DAG."
        ),
    }


@dataclass(frozen=True)
class TrainRequest:
    """The window to train on, and what to do with the package.

    ``window`` None means the model's own; ``approved_by`` is the person who approved by starting
    the run. ``trained_by`` is who started it, or the DAG that did; ``schedule`` if nobody did in person.
    """

    window: Interval | None
    as_of: datetime
    promote: bool
    approved_by: str | None
    reason: str | None
    trained_by: str = SCHEDULE


def train_request(spec: ModelSpec, context: Mapping[str, Any], *, now: datetime) -> TrainRequest:
    """What a run of ``train_<model>``, or of a DAG with its tasks, is to do.

    Without Param ``as_of``, labels are those known at the schedule's last boundary before the run
    was started: the same moment for every retry.

    Raises
    ------
    ParameterError
        An unknown Param, half a window, or an approval without a person or a reason.
    """
    dag_run, params = context["dag_run"], with_defaults(context, train_params(spec))
    window = interval_of(params, "start", "end")
    as_of = moment_of(params, "as_of", now=now)
    if as_of is None:
        as_of = spec.schedule.schedule().floor(parse_moment(dag_run.run_after, name="run_after"))
    if window is not None and window.end > as_of:
        raise IntervalError(
            f"the training window {window} ends after {as_of.isoformat()}",
            where="Params end and as_of",
            expected="a window that has ended by as_of",
            fix="give an earlier end, or a later as_of",
        )
    promote, reason = bool(params["pin"]), text_of(params, "reason")
    trained_by = _trained_by(dag_run, params)
    if params["approve"] != "now":
        return TrainRequest(window, as_of, promote, None, reason, trained_by)
    if not promote:
        raise ParameterError(
            "approve is now, but pin is off",
            where="Params approve and pin",
            expected="approve: ask, or pin on",
            fix="decide on one of them",
        )
    if reason is None:
        raise ParameterError(
            "approve is now, but no reason is given",
            where="Param reason",
            expected="why the package is promoted",
            fix="write it; it is stored with your name",
        )
    person = person_behind(dag_run, "approve is now", name="approve", fix="leave approve at ask")
    if spec.promotion.approval == "four_eyes":
        raise FourEyesError(
            f"{trained_by} trains {spec.name}, and {person} would approve it: approve is now",
            where="Param approve",
            expected="a person who did not train it, since the model declares promotion.approval: four_eyes",
            fix="leave approve at ask; somebody else answers under Required Actions",
            data={"trained_by": [trained_by], "approved_by": person},
        )
    return TrainRequest(window, as_of, promote, person, reason, trained_by)


def _trained_by(dag_run: Any, params: Mapping[str, Any]) -> str:
    """Who started the run, or the run that started it; a person who starts one speaks for nobody else.

    From 3.3 on, Airflow itself hands the person on to the runs that a run starts.
    """
    started_by, asked_by = dag_run.triggering_user_name, text_of(params, "asked_by")
    if started_by and asked_by not in (None, started_by):
        raise ParameterError(
            f"asked_by is {asked_by}, but {started_by} started this run",
            where="Param asked_by",
            expected="nothing: it is for DAGs that start a training",
            fix="leave it empty",
        )
    return str(started_by or asked_by or SCHEDULE)
