"""What the options that name moments, intervals, runs and keys mean."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

from rescore.errors import ParameterError

if TYPE_CHECKING:
    from rescore.interval import Interval
    from rescore.spec import ModelSpec

__all__ = ["day_named", "intervals_named", "keys_named", "moment"]

_KEY_FORMS = '--key COLUMN=VALUE for each column, or --key \'{"COLUMN": "VALUE"}\''


def moment(text: str | None, name: str) -> datetime | None:
    """The moment that option ``name`` gives, aware; None if it is not given."""
    from rescore.interval import parse_moment

    return None if text is None else parse_moment(text, name=name)


def day_named(text: str) -> date:
    """The day that ``--day`` gives."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ParameterError(
            f"--day {text!r} is not a day",
            expected="year, month and day, like 2013-04-01",
            fix="write it like that",
        ) from None


def intervals_named(spec: ModelSpec, start: str | None, end: str | None, day: str | None) -> list[Interval]:
    """The schedule's intervals that the options name.

    ``--day`` names those whose runs are due on that day, ``--start`` and ``--end`` those that lie between.

    Raises
    ------
    ParameterError
        No interval is named, or twice, or the schedule has none there.
    """
    schedule = spec.schedule.schedule()
    if day is not None and (start or end):
        raise ParameterError(
            "--day and --start or --end name other intervals",
            expected="--day, or both --start and --end",
            fix="leave one of them out",
        )
    if day is not None:
        named = f"--day {day}"
        try:
            intervals = schedule.due_on(day_named(day))
        except OverflowError:
            intervals = []
    elif start is not None and end is not None:
        named = f"--start {start} --end {end}"
        bounds = [moment(start, "--start"), moment(end, "--end")]
        intervals = list(schedule.intervals(*(bound for bound in bounds if bound is not None)))
    else:
        raise ParameterError(
            "no interval is named",
            expected="--day, or both --start and --end",
            fix="name the day on which the run is due, or both bounds",
        )
    if not intervals:
        raise ParameterError(
            f"no run of {spec.name} is due within {named}",
            where=f"schedule '{schedule.cron}' in {schedule.timezone}",
            expected=f"runs due from {spec.schedule.start} until before {spec.schedule.end or 'now'}",
            fix="name a day on which a run is due, or bounds that hold a whole interval",
        )
    return intervals


def keys_named(spec: ModelSpec, texts: Sequence[str]) -> list[dict[str, str]]:
    """The keys that the options ``--key`` name; a column that comes again begins the next key.

    Each is ``column=value``, or several with commas between them; a value ends only where ``,COLUMN=`` with
    a column of the key follows. A JSON object names any value.

    Raises
    ------
    ParameterError
        One is neither.
    """
    columns = [*spec.source.key, "event_time"]
    keys: list[dict[str, str]] = [{}]
    for text in texts:
        for column, value in _pairs(text, columns):
            if column in keys[-1]:
                keys.append({})
            keys[-1][column] = value
    return keys


def _pairs(text: str, columns: Sequence[str]) -> list[tuple[str, str]]:
    if text.lstrip().startswith("{"):
        try:
            pairs = [(column, str(value)) for column, value in json.loads(text).items()]
        except ValueError:
            pairs = []
    else:
        names = "|".join(map(re.escape, columns))
        parts = re.split(rf"(?:^|,)\s*({names})\s*=", text)
        pairs = [] if parts[0].strip() else list(zip(parts[1::2], parts[2::2], strict=True))
    if not pairs or not {column for column, _ in pairs} <= set(columns):
        raise ParameterError(
            f"--key {text!r} names no key",
            expected=f"{_KEY_FORMS}; the columns are {', '.join(columns)}",
            fix="write it like that",
        )
    return pairs
