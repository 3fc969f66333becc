"""A small model folder that a test changes and loads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rescore.folder import ModelFolder, load_model

__all__ = ["MINIMAL", "Write"]

MINIMAL = """
name: parcels
version: "1.0"
owner: logistics
source:
  connection: warehouse
  key: [depot, parcel]
  event_time: sent_at
  subject: [customer]
  known_by: {column: recorded_at}
features:
  - {name: weight, kind: numeric}
  - {name: depot, kind: categorical}
target: {name: late, kind: binary}
output: {unit: probability, meaning: chance to arrive late}
schedule: {cron: "0 4 * * *", timezone: America/New_York, start: 2024-01-01}
training: {intervals: 60, seed: 1}
"""

Write = Callable[..., ModelFolder]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write the folder with ``changes`` (dotted key to value, None deletes) and load it."""

    def put(changes: dict[str, Any] | None = None, text: str | None = None) -> ModelFolder:
        declared = yaml.safe_load(MINIMAL)
        for dotted, value in (changes or {}).items():
            *parents, last = dotted.split(".")
            place = declared
            for parent in parents:
                place = place.setdefault(parent, {})
            place.pop(last, None) if value is None else place.__setitem__(last, value)
        folder = tmp_path / "models" / "parcels"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.yaml").write_text(text if text is not None else yaml.safe_dump(declared))
        for name in ("extract.sql", "labels.sql", "pipeline.py", "expectations.py"):
            (folder / name).write_text(f"-- {name}")
        return load_model(tmp_path / "models", "parcels")

    return put
