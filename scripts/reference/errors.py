"""The page on errors: the tree, and what each says."""

from __future__ import annotations

from collections.abc import Iterator

from rescore.errors import RescoreError
from scripts.reference.markdown import code, prose, table

__all__ = ["errors", "tree"]


def errors() -> str:
    """The page."""
    rows = [
        [
            "&nbsp;" * 4 * depth + code(kind.__name__),
            prose(kind.__doc__).split("\n\n")[0],
            "yes" if kind.retryable else "",
        ]
        for depth, kind in tree(RescoreError)
    ]
    return "\n\n".join(
        [
            "# Errors",
            "Every error says what is wrong, where, what was expected and what to do; as values they are "
            "`what`, `where`, `expected`, `fix`, `examples` and `data`. All are in `rescore.errors`, "
            "each below the one that it is a kind of. *Tried again*: Airflow tries the task again, since "
            "time alone may help.",
            table(["Error", "Means", "Tried again"], rows),
        ]
    )


def tree(kind: type[RescoreError], depth: int = 0) -> Iterator[tuple[int, type[RescoreError]]]:
    """An error and the kinds of it, in the order of the file, each with its depth."""
    yield depth, kind
    for one in kind.__subclasses__():
        if one.__module__ == RescoreError.__module__:
            yield from tree(one, depth + 1)
