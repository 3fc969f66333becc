"""The lesson on house prices, word for word, as the tutorial is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.test_tutorial import run_page, steps_of

PAGE = Path(__file__).parents[2] / "docs" / "lesson-house-price.md"


@pytest.mark.slow
def test_every_command_prints_what_the_page_says(owned_database: str, tmp_path: Path) -> None:
    steps = steps_of(PAGE)
    assert len(steps) == 8
    models = Path(__file__).parents[2] / "include" / "models"
    given = {"RESCORE_DATABASE_URL": owned_database, "HOUSES": owned_database}
    given |= {"RESCORE_MODELS": str(models), "PGTZ": "UTC"}
    run_page(steps, tmp_path, given)
