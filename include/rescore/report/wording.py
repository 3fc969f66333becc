"""Numbers and moments as people read them: in the terminal, in a notebook and on the page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from rescore.interval import Interval
from rescore.shown_text import number_of

__all__ = ["age", "duration", "evenly", "percent", "plain", "short", "span", "with_interval"]


_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))


def plain(value: Any) -> str:  # noqa: PLR0911 - one per type
    """Any value: thousands separated, four decimals, moments as ISO 8601, lengths of time, ``-`` for None.

    What a mapping holds is exact, as ``name=value``; parts of a list stand apart by a semicolon.
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:,.4f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return _in_two_units(value)
    if isinstance(value, Mapping):
        return ", ".join(
            f"{name}={plain(held) if _is_made_up(held) else held}" for name, held in value.items()
        )
    if isinstance(value, list | tuple):
        return "; ".join(map(plain, value)) or "-"
    return str(value)


def _is_made_up(value: Any) -> bool:
    return value is None or isinstance(value, bool | datetime | Mapping | list | tuple)


def percent(share: float | None, decimals: int = 0) -> str:
    """A share as per cent; empty for None."""
    return "" if share is None else f"{100 * share:.{decimals}f} %"


def short(value: float) -> str:
    """A metric in three decimals, in four digits from 10 on, without decimals from 1,000 on."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.4g}" if abs(value) < 1_000 else f"{value:,.0f}"


def evenly(low: float, high: float, count: int) -> tuple[str, ...]:
    """``count`` numbers from ``low`` to ``high``, with as many decimals as tell them apart."""
    step = (high - low) / (count - 1)
    decimals = max(0, 1 - math.floor(math.log10(step))) if step > 0 else 3
    # Rounded first, and 0 added: a hair below 0 is no "-0.000".
    return tuple(f"{round(low + step * part, decimals) + 0.0:,.{decimals}f}" for part in range(count))


def with_interval(value: float | None, low: float | None, high: float | None) -> str:
    """A metric with its interval, ``0.712 (0.690 – 0.734)``; empty for None."""
    if value is None:
        return ""
    return short(value) if low is None or high is None else f"{short(value)} ({short(low)} – {short(high)})"


def span(interval: Interval, timezone: str = "UTC") -> str:
    """An interval's bounds to the minute, in a time zone."""
    start, end = (bound.astimezone(ZoneInfo(timezone)) for bound in (interval.start, interval.end))
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"


def age(elapsed: timedelta) -> str:
    """How long ago, in the largest unit that fits."""
    seconds = int(elapsed.total_seconds())
    for unit, length in _UNITS:
        if seconds >= length:
            return f"{number_of(seconds // length, unit)} ago"
    return "just now"


def duration(length: timedelta) -> str:
    """A length of time in the largest unit that counts it whole: ``7 days``, ``90 minutes``."""
    seconds = length.total_seconds()
    for unit, in_seconds in _UNITS:
        if seconds and seconds % in_seconds == 0:
            return number_of(int(seconds // in_seconds), unit)
    return f"{seconds:g} seconds"


def _in_two_units(length: timedelta) -> str:
    """A length of time in the largest unit that fits and the next: ``2 days, 3 hours``."""
    if length < timedelta(0):
        return f"-{_in_two_units(-length)}"
    seconds = int(length.total_seconds())
    parts: list[str] = []
    for unit, in_seconds in (*_UNITS, ("second", 1)):
        count, seconds = divmod(seconds, in_seconds)
        if count or parts or unit == "second":
            parts.append(number_of(count, unit))
    return ", ".join(part for part in parts[:2] if not part.startswith("0 ") or len(parts) == 1)
