"""The reference of the documentation, written from the code: one module a page, each gives Markdown.

Nothing here says what a key, an option or a column means: that stands beside it in the code.
"""

from __future__ import annotations

from collections.abc import Callable

from scripts.reference.command_line import command_line
from scripts.reference.consumer_views import consumer_views
from scripts.reference.dag_params import dag_params
from scripts.reference.environment import environment
from scripts.reference.errors import errors
from scripts.reference.model_yaml import model_yaml

__all__ = ["PAGES", "consumer_views"]

#: File name to what writes the page; the page of views is written from a store, by ``consumer_views``.
PAGES: dict[str, Callable[[], str]] = {
    "model-yaml.md": model_yaml,
    "command-line.md": command_line,
    "errors.md": errors,
    "environment.md": environment,
    "dag-params.md": dag_params,
}
