"""The messages about published scores: alarms, verdicts at which the model acts, and how they came true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rescore.errors import SettingsError
from rescore.shown_text import number_of
from rescore_airflow.notify.messages import Message, tell

__all__ = ["tell_of_alarms", "tell_of_performance", "tell_of_scores", "tell_of_verdicts"]


def tell_of_scores(state: Mapping[str, Any], context: Any) -> int:
    """Tell people of alarms, verdicts and performance; gives how many notifiers were told.

    Takes what :func:`tell_of_verdicts` takes.

    Raises
    ------
    SettingsError
        At least one notifier failed; raised after all were told.
    """
    told, failed = 0, []
    for tell_of in (tell_of_alarms, tell_of_verdicts, tell_of_performance):
        try:
            told += tell_of(state, context)
        except SettingsError as error:
            failed.append(error)
    if failed:
        raise failed[0]
    return told


def tell_of_alarms(state: Mapping[str, Any], context: Any) -> int:
    """Tell people of the new runs that raised an alarm, whatever the model declares about drift.

    Takes and gives what :func:`tell_of_verdicts` does.
    """
    runs = [run for run in state["runs"] if run.get("alarm")] if state["new"] else []
    if not runs:
        return 0
    lines = [f"{run['interval']}: {run['alarm']}\n{run['verdict']}: {run['sentence']}" for run in runs]
    subject = f"{state['model']}: alarm at the scores of {runs[-1]['interval']}"
    return tell(Message("alarm", state["model"], subject, "\n".join(lines), state), context)


def tell_of_verdicts(state: Mapping[str, Any], context: Any) -> int:
    """Tell people of the new runs at whose verdict or alarm the model acts; gives how many were told.

    The daily look at labels brings no new run, and repeats nothing. Of a run that raised an alarm those hear
    who do not listen to ``alarm``: the others have heard of it.

    Parameters
    ----------
    state : mapping
        What ``measure`` of the monitor gave.
    context : mapping
        The task's context; templates of notifiers see it.
    """
    runs = [run for run in state["runs"] if run["acts"]] if state["new"] else []
    of_alarms = [run for run in runs if run.get("alarm")]
    others = [run for run in runs if not run.get("alarm")]
    told = _tell_of_verdicts(state, others, context) if others else 0
    return told + (_tell_of_verdicts(state, of_alarms, context, unless="alarm") if of_alarms else 0)


def _tell_of_verdicts(
    state: Mapping[str, Any], runs: Sequence[Mapping[str, Any]], context: Any, *, unless: str | None = None
) -> int:
    last = runs[-1]
    more = f", and {len(runs) - 1} more" if len(runs) > 1 else ""
    lines = [f"{run['interval']}: {run['verdict']}: {run['sentence']}" for run in runs]
    if performance := state["performance"]:
        value = "not judged" if performance["value"] is None else f"{performance['value']:.4g}"
        lines.append(
            f"{performance['metric']} of the week until {performance['until']}: {value}, "
            f"{number_of(performance['rows'], 'labelled row')}"
        )
    what = f"scores of {last['interval']} are {last['verdict']}"
    if last["verdict"] == "ok":  # the model acts at alarms, and this day alone is as usual
        what = f"alarm at the scores of {last['interval']}"
    message = Message("verdict", state["model"], f"{state['model']}: {what}{more}", "\n".join(lines), state)
    return tell(message, context, unless=unless)


def tell_of_performance(state: Mapping[str, Any], context: Any) -> int:
    """Tell people that the model does worse than its training promised, or that labels have strange codes.

    An alarm is told once, when it is raised; a declared bound at each measurement that breaks it. A look that
    measured nothing repeats nothing. Gives how many notifiers were told. Takes what :func:`tell_of_verdicts`
    takes.
    """
    performance = state["performance"]
    if not state["tells"]:
        return 0
    what = {"unknown_labels": "can't be judged", "worse": "is worse than it may be"}.get(
        performance["verdict"]
    )
    subject = f"{state['model']}: realised {performance['metric']} {what}"
    if what is None:  # the alarm is of all windows together, and of other measures too
        subject = f"{state['model']}: does worse than in training"
    return tell(Message("performance", state["model"], subject, performance["sentence"], state), context)
