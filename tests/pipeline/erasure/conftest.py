"""A bank whose loans name their customers, with three published days; copied for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rescore.local import LocalPostgres
from tests.shared.bank import Bank, copied


@pytest.fixture(scope="session")
def customers_bank(
    postgres_server: LocalPostgres, bank_template: Bank, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Bank, list[str]]]:
    """Days 31 (twice) and 32 published; every fortieth loan is of customer-07."""
    home = tmp_path_factory.mktemp("customers")
    with copied(bank_template, postgres_server, home) as made:
        made.execute(
            "ALTER TABLE bank.loan ADD customer text;"
            "UPDATE bank.loan SET customer = 'customer-' || lpad((loan % 40)::text, 2, '0')"
        )
        folder = made.ctx.settings.models / "loans"
        for name, old, new in (
            ("model.yaml", "  key: [loan]\n", "  key: [loan]\n  subject: [customer]\n"),
            ("extract.sql", "SELECT loan,", "SELECT customer, loan,"),
        ):
            file = folder / name
            assert old in file.read_text()
            file.write_text(file.read_text().replace(old, new))
        runs = [made.publish(number) for number in (31, 31, 32)]
        made.ctx.store.close()
        yield made, runs


@pytest.fixture
def bank(
    customers_bank: tuple[Bank, list[str]], postgres_server: LocalPostgres, tmp_path: Path
) -> Iterator[Bank]:
    with copied(customers_bank[0], postgres_server, tmp_path / "home") as bank:
        yield bank


@pytest.fixture
def runs(customers_bank: tuple[Bank, list[str]]) -> list[str]:
    """The ids of its runs: the superseded one first."""
    return customers_bank[1]
