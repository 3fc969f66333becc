"""Models fitted elsewhere, and how tests adopt them or see them refused."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from rescore import pipeline
from rescore.errors import (
    RescoreError,
)
from rescore.pipeline import Context

AS_OF = "2024-01-31T00:00:00+00:00"


def rows(seed: int) -> tuple[pd.DataFrame, Any]:
    """Rows that the platform has never seen."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "pressure": random.normal(1000, 15, 400),
            "moon": random.uniform(0, 29.5, 400),
            "wind": random.choice(["north", "east", "south", "west"], 400),
        }
    )
    return frame, 3 * np.sin(frame["moon"]) + (frame["pressure"] - 1000) / 20


@cache
def fitted(seed: int, last: Any = None) -> Any:
    """A pipeline as somebody fitted it in a notebook."""
    encode = make_column_transformer(
        (StandardScaler(), ["pressure", "moon"]),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["wind"]),
    )
    return make_pipeline(encode, last() if last else HistGradientBoostingRegressor(max_iter=20)).fit(
        *rows(seed)
    )


def adopt(ctx: Context, path: Path, **options: Any) -> pipeline.AdoptedPackage:
    return pipeline.adopt_model(ctx, "tides", path, as_of=pd.Timestamp(AS_OF).to_pydatetime(), **options)


def refused(ctx: Context, path: Path, kind: type[RescoreError], match: str, **options: Any) -> RescoreError:
    """It is refused in full sentences, and nothing was kept."""
    before = _kept(ctx)
    with pytest.raises(kind, match=match) as caught:
        adopt(ctx, path, **options)
    assert _kept(ctx) == before
    assert caught.value.expected
    return caught.value


def _kept(ctx: Context) -> tuple[object, ...]:
    files = sorted(str(path) for path in Path(ctx.settings.archive).rglob("*"))
    return (
        ctx.store.packages.of_model("tides"),
        ctx.store.snapshots.of_model("tides"),
        files,
        list(ctx.scratch.iterdir()),
    )
