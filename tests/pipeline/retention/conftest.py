"""A bank of this module's own, with a few published days, whose clock the tests set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rescore.local import LocalPostgres
from tests.shared.bank import Bank, copied


@pytest.fixture(scope="session")
def kept_bank(
    postgres_server: LocalPostgres, bank_template: Bank, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Bank, list[str]]]:
    """Days 31 to 33 published, day 31 twice; copied for each test."""
    home = tmp_path_factory.mktemp("kept")
    with copied(bank_template, postgres_server, home) as made:
        runs = [made.publish(number) for number in (31, 31, 32, 33)]
        made.ctx.store.close()
        yield made, runs


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
