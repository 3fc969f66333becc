"""What can be said of the client without an Airflow."""

from __future__ import annotations

from rescore.local.airflow_client import Patience


def test_a_slow_machine_that_works_is_waited_for() -> None:
    patience = Patience(seconds=10)
    assert not patience.is_over("queued", works=False, now=0)
    assert not patience.is_over("extract is running", works=True, now=9)
    for now in range(10, 5000, 10):  # one task that runs for more than an hour
        assert not patience.is_over("extract is running", works=True, now=now)
    assert not patience.is_over("score is queued", works=False, now=5000)
    assert not patience.is_over("score is queued", works=False, now=5010)
    assert patience.is_over("score is queued", works=False, now=5010.5)


def test_each_change_is_progress() -> None:
    patience = Patience(seconds=10)
    for now in range(0, 1000, 9):
        assert not patience.is_over(f"{now} done", works=False, now=now)
    assert patience.is_over(f"{now} done", works=False, now=now + 11)
