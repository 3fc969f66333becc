"""Airflow's own home for these tests, set before anything imports Airflow, and the test models."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

MODELS = Path(__file__).parent / "models"
CHECKOUT = Path(__file__).parents[2]

# Importing Airflow writes a configuration file into its home.
_HOME = tempfile.TemporaryDirectory(prefix="airflow-home-")
os.environ["AIRFLOW_HOME"] = _HOME.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__PLUGINS_FOLDER"] = str(CHECKOUT / "plugins")


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the models that these tests declare."""
    monkeypatch.setenv("RESCORE_MODELS", str(MODELS))
    return MODELS
