"""Reading a DAG run's Params: typed values, or a typed error.

Airflow accepts any key in a run's conf, and any text where a moment is meant; here both are checked.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from airflow.sdk import Param
from airflow.sdk.definitions._internal.types import NOTSET
from airflow.sdk.exceptions import ParamValidationError

from rescore.errors import ParameterError
from rescore.interval import Interval, parse_moment

__all__ = [
    "CheckedParam",
    "check_conf",
    "interval_of",
    "moment_of",
    "moment_param",
    "person_behind",
    "run_type_of",
    "text_of",
    "text_param",
    "with_defaults",
]


#: Values with their schemas, as JSON, that were found right in this process.
_found_right: set[str] = set()


class CheckedParam(Param):
    """A Param that checks each value once in a process.

    Airflow's own checks its default, and the schema itself, whenever a DAG or task with it is built, copied,
    compared or stored, which was two thirds of the time that the DAGs of a model took.
    """

    def resolve(self, value: Any = NOTSET, suppress_exception: bool = False) -> Any:
        """The value given, else the default, once it is as the schema says.

        Raises
        ------
        ParamValidationError
            It is not, unless ``suppress_exception``: then the answer is None.
        """
        question = json.dumps([self.value if value is NOTSET else value, self.schema], default=repr)
        if question in _found_right:
            self.value = self.value if value is NOTSET else value
            return self.value
        try:
            resolved = super().resolve(value)
        except ParamValidationError:
            if suppress_exception:
                return None
            raise
        _found_right.add(question)
        return resolved

    def __copy__(self) -> CheckedParam:
        copied = CheckedParam.__new__(CheckedParam)
        vars(copied).update(vars(self))
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> CheckedParam:
        return self.__copy__()  # nobody changes a value or a schema in place


# Airflow tells by this name what it may store as a Param, with its schema.
CheckedParam.__module__, CheckedParam.__name__ = Param.__module__, Param.__name__


def moment_param(title: str, description: str) -> Param:
    """An optional moment; the UI shows a date picker."""
    return CheckedParam(
        None, type=["null", "string"], format="date-time", title=title, description=description
    )


def text_param(title: str, description: str, **schema: Any) -> Param:
    """An optional text."""
    return CheckedParam(None, type=["null", "string"], title=title, description=description, **schema)


def check_conf(conf: Mapping[str, Any] | None, known: Iterable[str]) -> None:
    """Refuse a key that is no Param: Airflow would ignore a misspelt one.

    Raises
    ------
    ParameterError
        Names the keys and the Params there are.
    """
    names = sorted(known)
    unknown = sorted(set(conf or {}) - set(names))
    if not unknown:
        return
    close = difflib.get_close_matches(unknown[0], names, n=1)
    raise ParameterError(
        f"unknown Param{'s' * (len(unknown) > 1)}: {', '.join(unknown)}",
        where="the conf of this DAG run",
        expected=f"any of: {', '.join(names)}",
        fix=f"did you mean {close[0]!r}?" if close else "take it out",
        data={"unknown": unknown},
    )


def with_defaults(context: Mapping[str, Any], ours: Mapping[str, Param]) -> dict[str, Any]:
    """The run's Params; those of ours that the DAG does not declare have their defaults.

    Raises
    ------
    ParameterError
        The run's conf has a key that is neither one of ours nor a Param of the DAG.
    """
    check_conf(context["dag_run"].conf, {*ours, *context["dag"].params})
    return {name: param.value for name, param in ours.items()} | dict(context["params"])


def text_of(params: Mapping[str, Any], name: str) -> str | None:
    """The text that Param ``name`` gives, without white space around it; None if it is empty."""
    return (params.get(name) or "").strip() or None


def run_type_of(dag_run: Any) -> str:
    """How the run was started, in Airflow's word."""
    return str(getattr(dag_run.run_type, "value", dag_run.run_type))


def person_behind(dag_run: Any, given: str, *, name: str, fix: str) -> str:
    """The person who started the run, and whose word Param ``name`` is.

    Raises
    ------
    ParameterError
        A schedule or another DAG started it. From 3.3 on, Airflow hands a person on to the runs that
        their run starts; what such a DAG wrote into the conf is not that person's word.
    """
    if dag_run.triggering_user_name and run_type_of(dag_run) != "operator_triggered":
        return str(dag_run.triggering_user_name)
    raise ParameterError(
        f"{given}, but no person started this run",
        where=f"Param {name}",
        expected="a run started by a person in the UI or through the API",
        fix=fix,
    )


def moment_of(params: Mapping[str, Any], name: str, *, now: datetime | None = None) -> datetime | None:
    """The moment that Param ``name`` gives, None if it is empty.

    Raises
    ------
    IntervalError
        Not a moment with a zone.
    ParameterError
        Later than ``now``, if that is given.
    """
    value = params.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ParameterError(
            f"{name} is {value!r}",
            where=f"Param {name}",
            expected="a moment like 2013-04-01T08:00:00Z",
            fix="write it as text",
        )
    moment = parse_moment(value, name=name)
    if now is not None and moment > now:
        raise ParameterError(
            f"{name} {moment.isoformat()} lies in the future",
            where=f"Param {name}",
            expected=f"a moment up to now, {now.isoformat(timespec='seconds')}",
            fix="leave it empty, or give an earlier one",
        )
    return moment


def interval_of(params: Mapping[str, Any], start: str, end: str) -> Interval | None:
    """The interval that two Params name, None if both are empty.

    Raises
    ------
    IntervalError
        Not moments with a zone, or in the wrong order.
    ParameterError
        One of the two is missing.
    """
    left, right = moment_of(params, start), moment_of(params, end)
    if left is None and right is None:
        return None
    if left is None or right is None:
        given, missing = (end, start) if left is None else (start, end)
        raise ParameterError(
            f"{given} is given, {missing} is not",
            where=f"Params {start} and {end}",
            expected="both or neither",
            fix=f"give {missing} too: an interval is named by both its bounds",
        )
    return Interval(left, right)
