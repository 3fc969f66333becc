"""The messages about published scores: at whose drift verdict the model acts, and how they came true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rescore.errors import SettingsError
from rescore_airflow.notify.messages import Message, tell

__all__ = ["tell_of_performance", "tell_of_scores", "tell_of_verdicts"]


def tell_of_scores(state: Mapping[str, Any], context: Any) -> int:
    """Tell people of verdicts and of performance; gives how many notifiers were told.

    Takes what :func:`tell_of_verdicts` takes.

    Raises
    ------
    SettingsError
        At least one notifier failed; raised after both were told.
    """
    told, failed = 0, []
    for tell_of in (tell_of_verdicts, tell_of_performance):
        try:
            told += tell_of(state, context)
        except SettingsError as error:
            failed.append(error)
    if failed:
        raise failed[0]
    return told


def tell_of_verdicts(state: Mapping[str, Any], context: Any) -> int:
    """Tell people of the new runs at whose verdict the model acts; gives how many notifiers were told.

    The daily look at labels brings no new run, and repeats nothing.

    Parameters
    ----------
    state : mapping
        What ``measure`` of the monitor gave.
    context : mapping
        The task's context; templates of notifiers see it.
    """
    runs = [run for run in state["runs"] if run["acts"]] if state["new"] else []
    if not runs:
        return 0
    last = runs[-1]
    more = f", and {len(runs) - 1} more" if len(runs) > 1 else ""
    lines = [f"{run['interval']}: {run['verdict']}: {run['sentence']}" for run in runs]
    if performance := state["performance"]:
        value = "not judged" if performance["value"] is None else f"{performance['value']:.4g}"
        lines.append(
            f"{performance['metric']} of the week until {performance['until']}: {value}, "
            f"{performance['rows']:,} labelled rows"
        )
    subject = f"{state['model']}: scores of {last['interval']} are {last['verdict']}{more}"
    return tell(Message("verdict", state["model"], subject, "\n".join(lines), state), context)


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
