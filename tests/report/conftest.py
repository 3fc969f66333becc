"""A bank with eight scored days, from the first on which amounts are larger."""

from __future__ import annotations

from collections.abc import Iterator

import loans
import pytest
from loans import Bank, day

from rescore import pipeline
from rescore.local.postgres import LocalPostgres

LAST = 47


@pytest.fixture(scope="session")
def bank(
    postgres_server: LocalPostgres, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> Iterator[Bank]:
    """Days 40 to 47 scored, the labels of the last two not known yet."""
    url = postgres_server.create_database("bank_pictures")
    made = loans.open_bank(url, tmp_path_factory.mktemp("bank"), seed)
    for number in range(40, LAST + 1):
        made.publish(number)
    pipeline.measure_due(made.ctx, "loans", day(LAST).end)
    yield made
    made.ctx.store.close()
    postgres_server.drop_database("bank_pictures")
