"""A disk that is full in the middle of a run: said in words, and a retry goes on when there is room."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from rescore import pipeline
from rescore.errors import DiskFullError
from rescore.interval import Interval
from tests.shared.harbour import FIRST


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process may get larger than 1,000 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_training_says_that_a_disk_is_full(untrained: pipeline.Context) -> None:
    with full_disk(), pytest.raises(DiskFullError, match="a file may grow no larger here") as caught:
        pipeline.train_snapshot(untrained, "tides", as_of=FIRST + timedelta(days=30))
    assert caught.value.retryable
    assert list(untrained.scratch.iterdir()) == []


def test_a_run_stays_open_until_there_is_room(untrained: pipeline.Context) -> None:
    day = Interval(FIRST + timedelta(days=31), FIRST + timedelta(days=32))
    with full_disk(), pytest.raises(DiskFullError, match="a file may grow no larger here") as caught:
        pipeline.begin_extract(untrained, "tides", day)
    assert caught.value.retryable
    assert (caught.value.where or "").startswith(str(untrained.settings.home / "scratch"))
    [run] = untrained.store.runs.latest("tides")
    assert run.state != "failed"
    assert list(untrained.scratch.iterdir()) == []

    again = untrained.store.runs.get(pipeline.begin_extract(untrained, "tides", day))
    assert (again.state, again.rows_extracted) == ("extracted", 72)
