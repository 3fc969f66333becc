"""What the demo says of the stack when it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from rescore.demo.flights_walkthrough import what_runs
from rescore.local import LocalStack
from rescore.settings import Settings


@pytest.mark.slow
def test_all_is_stopped_only_when_it_is(tmp_path: Path) -> None:
    stack = LocalStack(Settings.from_environment({"RESCORE_HOME": str(tmp_path / "home")}))
    stack.up(detach=True, airflow=False)  # as `make up` before a demo
    try:
        with stack.session(airflow=False):
            pass
        assert what_runs(stack).startswith("The local stack is up")
        assert "`make down` stops it" in what_runs(stack)
    finally:
        stack.down()
    assert what_runs(stack).startswith("All is stopped; data stays in ")
