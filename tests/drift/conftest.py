"""Models and windows for the drift tests: tables made here, no database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rescore.spec import ModelSpec

START = datetime(2024, 1, 1, 4, tzinfo=UTC)


@pytest.fixture
def make_spec() -> Callable[..., ModelSpec]:
    """``make_spec(x="numeric", c="categorical", drift={...}, target="regression")``."""

    def make(*, drift: dict[str, Any] | None = None, target: str = "binary", **kinds: str) -> ModelSpec:
        return ModelSpec.model_validate(
            {
                "name": "toy",
                "version": "1.0",
                "owner": "tests",
                "source": {"connection": "none", "key": ["id"], "known_by": {"column": "recorded_at"}},
                "features": [{"name": name, "kind": kind, "unit": "m"} for name, kind in kinds.items()],
                "target": {"name": "y", "kind": target},
                "output": {"unit": "probability", "meaning": "of y"},
                "schedule": {"cron": "0 4 * * *", "timezone": "America/New_York", "start": START},
                "training": {"intervals": 60, "seed": 1},
                "drift": drift or {},
            }
        )

    return make


@pytest.fixture
def make_snapshot() -> Callable[[list[pa.Table]], pa.Table]:
    """Join windows to a training snapshot, one day each, with its ``interval_start``."""

    def make(windows: list[pa.Table]) -> pa.Table:
        starts = [START + timedelta(days=day) for day in range(len(windows))]
        rows = np.repeat(np.arange(len(windows)), [window.num_rows for window in windows])
        column = pa.array([starts[day] for day in rows], pa.timestamp("us", tz="UTC"))
        return pa.concat_tables(windows).append_column("interval_start", column)

    return make
