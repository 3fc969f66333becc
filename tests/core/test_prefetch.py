"""Reading ahead: the same items and errors, a bounded number of them, and nothing left running."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rescore.prefetch import Prefetch


@settings(deadline=None)
@given(st.lists(st.integers()), st.integers(1, 4))
def test_the_items_come_as_they_are(items: list[int], depth: int) -> None:
    assert list(Prefetch(iter(items), depth=depth)) == items


@settings(deadline=None)
@given(st.lists(st.integers(), max_size=9), st.integers(1, 4))
def test_an_error_comes_where_its_item_would_have(items: list[int], depth: int) -> None:
    def broken() -> Iterator[int]:
        yield from items
        raise ZeroDivisionError

    reading, got = Prefetch(broken(), depth=depth), []
    with pytest.raises(ZeroDivisionError):
        for item in reading:
            got.append(item)
    assert got == items
    assert list(reading) == []


def test_no_more_is_read_than_was_agreed_and_closing_ends_it() -> None:
    made: list[int] = []
    third, closed = threading.Event(), threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                made.append(len(made))
                if len(made) == 4:
                    third.set()
                yield made[-1]
        finally:
            closed.set()

    reading = Prefetch(endless(), depth=2)
    assert next(reading) == 0
    assert third.wait(30)  # one taken, two that wait, and one in the thread's hand
    assert made == [0, 1, 2, 3]
    reading.close()
    assert closed.is_set()
    assert made == [0, 1, 2, 3]
    assert list(reading) == []


def test_closing_interrupts_what_it_waits_for() -> None:
    waited_for = threading.Event()

    def waiting() -> Iterator[int]:
        yield 1
        waited_for.wait()
        yield 2

    reading = Prefetch(waiting(), interrupt=waited_for.set)
    assert next(reading) == 1
    reading.close()
    assert waited_for.is_set()
