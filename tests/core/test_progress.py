"""What long work says of how far it is: by the pace so far, and not at every step."""

from __future__ import annotations

from itertools import count

from rescore.progress import as_time, counted, time_left


def test_the_rest_takes_as_long_as_the_pace_so_far_lets_expect() -> None:
    assert time_left(1, 4, 20) == "about 60 s left"
    assert time_left(30, 40, 900) == "about 5 min left"
    assert time_left(0, 4, 20) == time_left(4, 4, 20) == "", "nothing is known yet, or nothing is left"
    assert (as_time(89), as_time(90)) == ("89 s", "2 min")


def test_items_come_one_by_one_and_a_line_now_and_then() -> None:
    said: list[str] = []
    seconds = count()  # a second passes whenever somebody looks
    items = list(counted(range(10), "runs", said.append, clock=lambda: float(next(seconds)) / 4))
    assert items == list(range(10))
    assert 1 <= len(said) < 9
    assert all(line.startswith("runs: ") and " of 10 done, about " in line for line in said)
    assert said == sorted(said, key=lambda line: int(line.split()[1])), "it goes forward"


def test_what_ends_at_once_says_nothing() -> None:
    said: list[str] = []
    assert list(counted(iter("abc"), "files", said.append, total=3, clock=lambda: 0.0)) == [*"abc"]
    assert said == []
