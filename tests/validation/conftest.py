"""A small model of weather at airports, its expectations written by each test."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from rescore.folder import ModelFolder, load_model
from rescore.source import Freezer, FrozenTable

MODEL_YAML = """
name: weather
version: "1.0"
owner: tests
source:
  connection: source
  key: [station, reading]
  event_time: measured_at
  subject: [observer]
  known_by: {column: recorded_at}
features:
  - {name: wind_speed, kind: numeric}
  - {name: pressure, kind: numeric, required: true}
  - {name: gusts, kind: numeric}
  - {name: sky, kind: categorical}
  - {name: foggy, kind: boolean}
  - {name: remark, kind: text}
target: {name: late, kind: binary}
output: {unit: probability, meaning: chance of a late flight}
schedule: {cron: "0 4 * * *", start: 2013-01-01, empty: @EMPTY@}
training: {intervals: 3, seed: 1}
validation: {max_quarantined_fraction: @FRACTION@}
"""

HEADER = """
import great_expectations as gx
import great_expectations.expectations as gxe
"""

#: An expectation of the wind, whose severity is to be filled in.
WIND = 'gxe.ExpectColumnValuesToBeBetween(column="wind_speed", min_value=0, max_value=150, severity="{}")'

MakeModel = Callable[..., ModelFolder]


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Write a model folder whose suite holds the expectations given as Python text."""

    def make(
        expectations: str = "", *, file: str | None = None, empty: str = "error", fraction: float = 0.05
    ) -> ModelFolder:
        folder = tmp_path / "models" / "weather"
        folder.mkdir(parents=True, exist_ok=True)
        yaml = MODEL_YAML.replace("@EMPTY@", empty).replace("@FRACTION@", str(fraction))
        (folder / "model.yaml").write_text(yaml)
        for name in ("extract.sql", "labels.sql", "pipeline.py"):
            (folder / name).write_text("")
        suite = f'def suite():\n    return gx.ExpectationSuite(name="w", expectations=[{expectations}])\n'
        (folder / "expectations.py").write_text(file if file is not None else HEADER + suite)
        return load_model(tmp_path / "models", "weather")

    return make


def weather(rows: int = 100, **columns: Any) -> pa.Table:
    """A clean extract in key order; ``columns`` replace whole columns."""
    start = datetime(2013, 4, 1, 8, tzinfo=UTC)
    values = {
        "station": pa.array(["EWR"] * rows, pa.string()),
        "reading": pa.array(range(rows), pa.int64()),
        "measured_at": pa.array(
            [start + timedelta(seconds=row) for row in range(rows)], pa.timestamp("us", tz="UTC")
        ),
        "observer": pa.array([f"person {row}" for row in range(rows)], pa.string()),
        "wind_speed": pa.array([10.0 + row % 7 for row in range(rows)], pa.float64()),
        "pressure": pa.array([1013.0] * rows, pa.float64()),
        "gusts": pa.array([row % 5 for row in range(rows)], pa.int32()),
        "sky": pa.array(["clear"] * rows, pa.string()),
        "foggy": pa.array([False] * rows, pa.bool_()),
        "remark": pa.array(["calm"] * rows, pa.string()),
    }
    for name, column in columns.items():
        given = column if isinstance(column, pa.Array) else pa.array(column, type=values[name].type)
        values[name] = given
    return pa.table(values)


def replaced(table: pa.Table, name: str, changes: dict[int, Any]) -> pa.Table:
    """The table with single values of one column replaced."""
    values = table.column(name).to_pylist()
    for position, value in changes.items():
        values[position] = value
    number = table.column_names.index(name)
    return table.set_column(number, name, pa.array(values, table.column(name).type))


def frozen(path: Path, table: pa.Table, rows: int) -> FrozenTable:
    """The table in a file, in row groups of so many rows."""
    with Freezer(path, table.schema, where="x.sql") as freezer:
        for batch in table.combine_chunks().to_batches(max_chunksize=rows):
            freezer.write(batch)
        return FrozenTable(path, freezer.keep().root)
