"""The error tree: drawn, exported and real are the same; messages say what, where, expected and fix."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from rescore import errors
from rescore.errors import RescoreError, SourceKeyError

CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, RescoreError)
}


def drawn() -> dict[str, str | None]:
    """Class to parent class, as the module's docstring draws it."""
    parents: dict[str, str | None] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ((?:│   |    )*)(?:[├└]── )?(\w+Error)\b", line)
        if not match:
            continue
        depth = len(match[1]) // 4 + ("──" in line)
        path = [*path[:depth], match[2]]
        parents[match[2]] = path[-2] if depth else None
    return parents


def test_the_tree_drawn_is_the_tree() -> None:
    assert drawn() == {
        name: None if value is RescoreError else value.__bases__[0].__name__
        for name, value in CLASSES.items()
    }


def test_everything_is_exported() -> None:
    assert errors.__all__ == sorted(CLASSES)


def test_what_the_tree_calls_retryable_is() -> None:
    marked = set(re.findall(r"(\w+Error) +\(retryable\)", errors.__doc__ or ""))
    assert {name for name, value in CLASSES.items() if value.retryable} == marked


def test_a_message_says_everything() -> None:
    error = SourceKeyError(
        "a key occurs twice",
        where="extract.sql",
        expected="one row per key",
        fix="use DISTINCT",
        examples=[f"id={n}" for n in range(1007)],
    )
    assert str(error) == (
        "a key occurs twice\n"
        "  where:    extract.sql\n"
        "  expected: one row per key\n"
        "  examples: id=0; id=1; id=2; id=3; id=4; and 1,002 more\n"
        "  fix:      use DISTINCT"
    )


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_an_error_crosses_a_process_border(name: str) -> None:
    error = CLASSES[name]("what", where="here", expected="this", fix="do", examples=["x"], data={"key": 1})
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert copy.data == {"key": 1}
