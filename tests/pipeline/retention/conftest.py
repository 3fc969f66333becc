"""A bank of this module's own, with a few published days, whose clock the tests set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rescore.local import LocalPostgres
from tests.shared.bank import Bank, copied, open_bank


@pytest.fixture(scope="session")
def kept_bank(
    postgres_server: LocalPostgres, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> tuple[Bank, list[str]]:
    """Days 31 to 33 published, day 31 twice; copied for each test."""
    home = tmp_path_factory.mktemp("kept")
    made = open_bank(postgres_server, postgres_server.create_database("bank_kept"), home, seed)
    runs = [made.publish(number) for number in (31, 31, 32, 33)]
    made.ctx.store.close()
    return made, runs


@pytest.fixture
def bank(kept_bank: tuple[Bank, list[str]], postgres_server: LocalPostgres, tmp_path: Path) -> Iterator[Bank]:
    """A copy of it, with 30 days for frozen inputs and 10 for superseded scores."""
    with copied(kept_bank[0], postgres_server, tmp_path / "home") as bank:
        with (bank.ctx.settings.models / "loans" / "model.yaml").open("a") as file:
            file.write("retention: {frozen_inputs: 30d, superseded_scores: 10d, abandoned_runs: 7d}\n")
        yield bank


@pytest.fixture
def runs(kept_bank: tuple[Bank, list[str]]) -> list[str]:
    """The ids of its runs: the superseded one first."""
    return kept_bank[1]
