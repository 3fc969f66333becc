"""What a declaration is made of: lengths of time with units, names, time zones; keys that are known."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import croniter
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

__all__ = [
    "NAME_EXPECTED",
    "Declared",
    "Duration",
    "Moment",
    "Name",
    "duration_text",
    "is_cron",
    "is_name",
    "is_zone",
]

_DURATION = re.compile(r"^(\d+(?:\.\d+)?)\s*([smhdw])$")
_MAX_DURATION = timedelta(days=100 * 365)  # what can be added to any moment that data has
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _duration(value: Any) -> Any:
    if isinstance(value, str) and (match := _DURATION.match(value.strip())):
        unit = timedelta(**{_UNITS[match[2]]: 1})
        if float(match[1]) > _MAX_DURATION / unit:
            raise ValueError(f"{value!r} is longer than {_MAX_DURATION.days // 365} years")
        return float(match[1]) * unit
    if isinstance(value, timedelta):
        return value
    raise ValueError("expected a duration like 90s, 30m, 24h, 7d or 2w")


def duration_text(length: timedelta) -> str:
    """A duration as model.yaml writes it."""
    seconds = length.total_seconds()
    for unit in ("d", "h", "m"):
        whole = timedelta(**{_UNITS[unit]: 1}).total_seconds()
        if seconds % whole == 0:
            return f"{seconds / whole:.0f}{unit}"
    return f"{seconds:g}s"


Duration = Annotated[timedelta, BeforeValidator(_duration)]


def _not_a_number(value: Any) -> Any:
    # pydantic takes a number for seconds since 1970, so a bare year would be an hour of that day.
    if isinstance(value, int | float) or (isinstance(value, str) and not re.search(r"\d[-W]", value)):
        raise ValueError(f"{value!r} is not a date, expected one like 2024-01-31 or 2024-01-31T06:00:00Z")
    return value


Moment = Annotated[datetime, BeforeValidator(_not_a_number)]


#: 48: Postgres cuts names at 63 bytes, and tables and views add a prefix or a suffix.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
NAME_EXPECTED = "lower-case letters, digits and _, at most 48, starting with a letter"


def is_name(value: str) -> bool:
    """Whether models, features and the like may have this name."""
    return _NAME.fullmatch(value) is not None


def _identifier(value: str) -> str:
    if not is_name(value):
        raise ValueError(f"expected {NAME_EXPECTED}")
    return value


Name = Annotated[str, AfterValidator(_identifier)]


class Declared(BaseModel):
    """A part of a declaration: unknown keys are refused, values can't be set."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def is_zone(name: str) -> bool:
    """Whether the data base has a zone of this name, under the rules that everybody keeps."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError, ValueError):  # no such name, a folder, no relative path
        return False
    return not name.startswith(("right/", "posix/")) and name not in {"localtime", "posixrules"}


def is_cron(text: str) -> bool:
    """Whether a text is a cron expression of five fields, none of them drawn by chance.

    ``R`` in a field is a number that each reader of the expression draws anew, ``H`` one that hangs on who
    reads.
    """
    drawn = re.search(r"(?:^|[\s,])[rh]", text, re.IGNORECASE)
    return len(text.split()) == 5 and drawn is None and bool(croniter.is_valid(text))
