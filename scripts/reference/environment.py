"""The page on environment variables: what the docstring of the settings says of each."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping

from rescore.local import SINGLE_THREADED
from rescore.settings import Settings
from scripts.reference.markdown import code, prose, table

__all__ = ["environment", "variables"]

#: A variable and what is said of it, up to the next line that is less indented or names another.
_ITEM = re.compile(
    r"^[ ]*``(RESCORE_[A-Z_]+(?:<ID>)?)``:(.*(?:\n[ ]+(?!``RESCORE_[A-Z_]+``:)\S.*)*)", re.MULTILINE
)


def environment() -> str:
    """The page."""
    rows = [[code(name), meaning] for name, meaning in variables().items()]
    return "\n\n".join(
        [
            "# Environment variables",
            "Where things are, read once by every command and every task. Airflow's components need the "
            "same ones: [Install into an Airflow that exists](../guides/install-into-airflow.md).",
            table(["Variable", "Meaning"], rows),
            "## Threads",
            "Each is `1`, set before Python starts, on every component that trains or scores: "
            + ", ".join(code(name) for name in SINGLE_THREADED)
            + ". Numbers must not depend on the number of cores.",
        ]
    )


def variables() -> Mapping[str, str]:
    """Each variable with its meaning."""
    found = {}
    for name, meaning in _ITEM.findall(inspect.cleandoc(Settings.__doc__ or "")):
        text = prose(" ".join(meaning.split()))
        found[name] = text[:1].upper() + text[1:]
    return found
