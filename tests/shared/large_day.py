"""A day of the harbour with more rows than one leaf, and the model that scores it in shards."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

from rescore import pipeline
from rescore.leaf_rows import LEAF_ROWS
from tests.shared.harbour import MODEL, MODELS, Harbour

__all__ = ["DAY", "MANY", "REJECTED", "add_large_day", "environment_of", "sharded"]

DAY = 35
#: Three leaves of scores, though every 50th row of the first leaf has none.
MANY, REJECTED = 2 * LEAF_ROWS + 5_000, 1_199

_READINGS = """
INSERT INTO harbour.readings
SELECT 'pier', 100000 + n, %s::timestamptz + n * interval '500 ms',
       CASE WHEN n < 60000 AND n %% 50 = 0 THEN NULL ELSE 1000 + 20 * sin(n / 37.0) END, mod(n / 240.0, 29.5),
       (ARRAY['north', 'east', 'south', 'west'])[1 + mod(n * 7 / 5, 4)], 3, %s::timestamptz
FROM generate_series(1, %s) n
"""


def add_large_day(harbour: Harbour) -> None:
    """Add the day's readings."""
    start = harbour.day(DAY).start
    harbour.execute(_READINGS, start, start, MANY)


def sharded(harbour: Harbour, folder: Path) -> pipeline.Context:
    """The harbour's context, whose model declares shards of a leaf and publishes whatever its verdict."""
    models = folder / "sharded"
    shutil.copytree(MODELS / MODEL, models / MODEL)
    with (models / MODEL / "model.yaml").open("a") as file:
        file.write("scoring: {shard_rows: 65536}\ndrift: {on_outage: publish_flagged}\n")
    return replace(harbour.ctx, settings=replace(harbour.ctx.settings, models=models))


def environment_of(ctx: pipeline.Context) -> dict[str, str]:
    """The environment in which another process works with the same store, archive and models."""
    settings = ctx.settings
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return inherited | {
        "RESCORE_HOME": str(settings.home),
        "RESCORE_MODELS": str(settings.models),
        "RESCORE_ARCHIVE": str(settings.archive),
        "RESCORE_DATABASE_URL": str(settings.database_url),
        "RESCORE_CONNECTION_HARBOUR": settings.connection_url("harbour"),
    }
