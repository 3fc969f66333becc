"""Small charts of characters, for a terminal. Pure text: no colour is needed to read them."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["bar", "sparkline", "strip"]

_STEPS = "▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉"


def sparkline(values: Sequence[float | None], *, most: float) -> str:
    """One character a value, from 0 to ``most`` and beyond; a blank where there is none."""
    return "".join(
        " " if value is None else _STEPS[min(int(max(value, 0.0) / most * len(_STEPS)), len(_STEPS) - 1)]
        for value in values
    )


def bar(share: float, *, most: float, width: int) -> str:
    """A bar as long as ``share`` is of ``most``, at most ``width`` characters, in eighths of one."""
    eighths = round(min(share / most, 1.0) * width * 8) if most > 0 else 0
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def strip(
    value: float | None,
    low: float | None,
    high: float | None,
    expected: float | None,
    *,
    between: tuple[float, float],
    width: int,
) -> str:
    """A value with its interval on a line from ``between[0]`` to ``between[1]``.

    ``●`` the value, ``─`` its interval, ``┊`` what was expected (``◉`` where the two meet).
    """
    least, most = between
    span = most - least

    def at(number: float) -> int:
        place = (number - least) / span if span > 0 else 0.5
        return min(max(int(place * (width - 1) + 0.5), 0), width - 1)

    line = [" "] * width
    if low is not None and high is not None:
        for place in range(at(low), at(high) + 1):
            line[place] = "─"
    if expected is not None:
        line[at(expected)] = "┊"
    if value is not None:
        line[at(value)] = "◉" if expected is not None and at(expected) == at(value) else "●"
    return "".join(line)
