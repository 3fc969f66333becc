"""Model folders and training snapshots about late parcels, made for a test; no database."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from rescore.folder import ModelFolder, load_model
from rescore.model import Fitted

MIXED = {
    "distance": "numeric",
    "wind": "numeric",
    "stops": "numeric",
    "carrier": "categorical",
    "holiday": "boolean",
}


@dataclass(frozen=True)
class Trained:
    """A finished training of the model with an own transformer."""

    snapshot: Path
    folder: ModelFolder
    fitted: Fitted


PIPELINES = {
    "hgb": """
        from sklearn.ensemble import HistGradientBoostingClassifier

        def build(hyperparameters, seed):
            return HistGradientBoostingClassifier(random_state=seed, **hyperparameters)
        """,
    "logistic": """
        from sklearn.compose import make_column_selector, make_column_transformer
        from sklearn.impute import SimpleImputer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        def build(hyperparameters, seed):
            numbers = make_column_selector(dtype_include="number")
            levels = make_column_selector(dtype_include="category")
            columns = make_column_transformer(
                (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
                (OneHotEncoder(handle_unknown="ignore"), levels),
            )
            return make_pipeline(columns, LogisticRegression(random_state=seed, **hyperparameters))
        """,
}


def table(rows: int, seed: int, *, days: int = 12, kind: str = "binary") -> pa.Table:
    """A training snapshot: rows in order of their day, about 5 % missing in each feature."""
    random = np.random.default_rng(seed)
    start = datetime(2013, 1, 1, 9, tzinfo=UTC)
    day = np.sort(random.integers(0, days, rows))
    distance, wind = random.normal(1000, 300, rows), random.gamma(2.0, 5.0, rows)
    carrier = random.choice(["UA", "B6", "AA", "Ünïted"], rows, p=[0.4, 0.3, 0.2, 0.1])
    holiday = random.random(rows) < 0.2
    stops = random.integers(0, 4, rows)
    logit = (wind - 10) / 5 + (carrier == "B6") - (distance - 1000) / 600 + holiday
    late = random.random(rows) < 1 / (1 + np.exp(-logit))
    target: Any = {
        "binary": pa.array(late),
        "regression": pa.array(logit * 10 + random.normal(0, 1, rows)),
        "multiclass": pa.array(np.where(logit < -1, "early", np.where(logit < 1, "on time", "late"))),
    }[kind]

    def some(values: Any, kind: pa.DataType) -> pa.Array:
        return pa.array(values, kind, mask=random.random(rows) < 0.05)

    moments = [start + timedelta(days=int(one)) for one in day]
    return pa.table(
        {
            "interval_start": pa.array(moments, pa.timestamp("us", tz="UTC")),
            "interval_end": pa.array([m + timedelta(days=1) for m in moments], pa.timestamp("us", tz="UTC")),
            "flight": pa.array(np.arange(rows)),
            "event_time": pa.array(moments, pa.timestamp("us", tz="UTC")),
            "distance": some(distance, pa.float64()),
            "wind": some(wind, pa.float64()),
            "stops": some(stops, pa.int32()),
            "carrier": some(carrier.astype(object), pa.string()),
            "holiday": some(holiday, pa.bool_()),
            "late": target,
        }
    )


def write_folder(
    home: Path,
    *,
    name: str = "parcel_delay",
    pipeline: str = PIPELINES["hgb"],
    features: dict[str, str] | None = None,
    shared: dict[str, str] | None = None,
    files: dict[str, str] | None = None,
    **changes: Any,
) -> ModelFolder:
    """Write a model folder below ``home`` and load it; ``changes`` are merged into model.yaml."""
    declared: dict[str, Any] = {
        "name": name,
        "version": "1.0",
        "owner": "parcels@example.org",
        "description": "Whether a parcel is late",
        "source": {"connection": "source", "key": ["flight"], "known_by": {"column": "recorded_at"}},
        "features": [{"name": n, "kind": k} for n, k in (features or MIXED).items()],
        "shared_features": sorted(shared or {}),
        "target": {"name": "late", "kind": "binary"},
        "output": {"unit": "probability", "meaning": "how likely it is late"},
        "schedule": {"cron": "0 9 * * *", "start": "2013-01-01T00:00:00Z"},
        "training": {
            "intervals": 12,
            "holdout_intervals": 3,
            "folds": 3,
            "seed": 7,
            "hyperparameters": {},
        },
    }
    for key, value in changes.items():
        declared[key] = {**declared.get(key, {}), **value} if isinstance(value, dict) else value
    folder = home / "models" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
    (folder / "extract.sql").write_text("SELECT 1")
    (folder / "labels.sql").write_text("SELECT 1")
    (folder / "expectations.py").write_text("def suite():\n    ...\n")
    (folder / "pipeline.py").write_text(textwrap.dedent(pipeline))
    for relative, content in (files or {}).items():
        (folder / relative).write_text(textwrap.dedent(content))
    for module, content in (shared or {}).items():
        (home / "features").mkdir(exist_ok=True)
        (home / "features" / f"{module}.py").write_text(textwrap.dedent(content))
    return load_model(home / "models", name)
