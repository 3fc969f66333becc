"""The first screen: every model as one line, the worst first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

from rescore.report import ModelState, concerns_said

__all__ = ["home_values"]

#: Of each column: what it can be sorted by, its heading, its class.
_COLUMNS = (
    ("urgency", "State", ""),
    ("name", "Model", ""),
    ("", "Verdict", ""),
    ("", "30 days", ""),
    ("reach", "Scores reach", ""),
    ("due", "Due", ""),
    ("pin", "Package, pinned", ""),
    ("waiting", "To approve", "number"),
)

_KEYS: dict[str, Callable[[ModelState], Any]] = {
    "urgency": lambda one: one.urgency,
    "name": lambda one: one.name,
    "reach": lambda one: (
        one.last_published is not None,
        one.last_published and one.last_published.interval.end,
    ),
    "due": lambda one: (one.due_at is None, one.due_at),
    "pin": lambda one: (one.pin is None, one.pin and one.pin.pinned_at),
    "waiting": lambda one: (-one.held - one.approvals, one.urgency),
}


def home_values(found: Sequence[ModelState], *, show: str, q: str, sort: str) -> dict[str, Any]:
    """What the template shows of the models that fit.

    Parameters
    ----------
    found : sequence of ModelState
        All models that may be seen, the worst first.
    show : str
        Only those with this concern; all if it is empty.
    q : str
        Only those with this in name or owner.
    sort : str
        One of the columns; anything else sorts by urgency.
    """
    sort = sort if sort in _KEYS else "urgency"
    words = q.lower().split()
    models = [
        one
        for one in found
        if (not show or show in one.concerns)
        and all(word in f"{one.name} {one.owner}".lower() for word in words)
    ]

    def link(**change: str) -> str:
        chosen = {"show": show, "q": q, "sort": "" if sort == "urgency" else sort, **change}
        if chosen["sort"] == "urgency":
            chosen["sort"] = ""
        return "?" + urlencode({name: value for name, value in chosen.items() if value})

    return {
        "models": sorted(models, key=_KEYS[sort]),
        "total": len(found),
        "counts": concerns_said(found),
        "columns": _COLUMNS,
        "show": show,
        "q": q,
        "sort": sort,
        "link": link,
    }
