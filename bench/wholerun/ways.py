"""The ways to score one day, each run in an interpreter of its own: ``python ways.py WAY MODEL``.

ours
    What ``rescore score`` does, stage by stage.
floor
    The least that anybody pays: psql copies the rows out in binary form, ordered by their key; the
    fitted pipeline predicts a frame that is in memory already; psql copies ready scores, in binary form,
    into a table with its key. No row is decoded, encoded or checked.
users
    What is written by hand: ``pandas.read_sql``, ``predict_proba``, ``DataFrame.to_sql``.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from wholerun.meter import timed
from wholerun.table import SCORED

URL = os.environ.get("RESCORE_OWNER_URL", "")
WHERE = f"event_time >= '{SCORED.start.isoformat()}' AND event_time < '{SCORED.end.isoformat()}'"


def ours(model: str) -> None:
    def start() -> Any:
        from rescore import pipeline

        return pipeline

    pipeline = timed("start", start)
    with pipeline.Context.from_environment() as ctx, pipeline.ScoresAtHand(ctx.scratch) as at_hand:
        run = timed("extract", lambda: pipeline.begin_extract(ctx, model, SCORED))
        run = timed("validate", lambda: pipeline.validate_run(ctx, run))
        run = timed("score", lambda: pipeline.score_run(ctx, run, at_hand=at_hand))
        run = timed("drift", lambda: pipeline.drift_run(ctx, run, at_hand=at_hand))
        timed("publish", lambda: pipeline.publish_run(ctx, run))


def psql(command: str) -> None:
    from rescore.local import postgres_binaries

    subprocess.run([postgres_binaries() / "psql", URL, "-qc", command], check=True)


def floor(model: str) -> None:
    features, estimator, columns = fitted(model)
    with TemporaryDirectory() as scratch:
        rows, scores = Path(scratch) / "rows", Path(scratch) / "scores"
        psql("SET client_min_messages = error; DROP TABLE IF EXISTS bench.floor")
        psql(
            "CREATE TABLE bench.floor (run_id uuid, id int8, event_time timestamptz, score float8,"
            " label text, PRIMARY KEY (run_id, id, event_time))"
        )
        query = (
            "SELECT run, id, event_time, random(), 'false' FROM"
            f" bench.{model}, (SELECT gen_random_uuid() AS run) r WHERE {WHERE} ORDER BY id"
        )
        psql(f"\\copy ({query}) TO '{scores}' WITH (FORMAT binary)")
        frame = features.frame(features.conform(read_rows(model, columns)))
        selected = ", ".join(["id", "event_time", *columns])
        query = f"SELECT {selected} FROM bench.{model} WHERE {WHERE} ORDER BY id"
        timed("copy out", lambda: psql(f"\\copy ({query}) TO '{rows}' WITH (FORMAT binary)"))
        timed("predict", lambda: estimator.predict_proba(frame))
        timed("copy in", lambda: psql(f"\\copy bench.floor FROM '{scores}' WITH (FORMAT binary)"))


def users(model: str) -> None:
    features, estimator, columns = fitted(model)

    def start() -> Any:
        import pandas as pd
        from sqlalchemy import create_engine

        return pd, create_engine(URL.replace("postgresql://", "postgresql+psycopg2://"))

    pd, engine = timed("start", start)
    selected = ", ".join(["id", "event_time", *columns])
    query = f"SELECT {selected} FROM bench.{model} WHERE {WHERE} ORDER BY id"
    rows = timed("read_sql", lambda: pd.read_sql(query, engine))

    def predict() -> Any:
        frame = rows[columns].copy()
        for name, levels in features.levels.items():
            frame[name] = frame[name].astype(pd.CategoricalDtype(list(levels)))
        scored = rows[["id", "event_time"]].copy()
        scored["score"] = estimator.predict_proba(frame)[:, 1]
        return scored

    scored = timed("predict_proba", predict)
    timed("to_sql", lambda: scored.to_sql("users", engine, schema="bench", if_exists="replace", index=False))


def fitted(model: str) -> tuple[Any, Any, list[str]]:
    """The pinned package's features, its pipeline, and their names."""
    from rescore import pipeline

    with pipeline.Context.from_environment() as ctx:
        pinned = ctx.store.pins.current(model)
        assert pinned is not None
        wheel = ctx.archive.get_package(pinned.sha256).read_bytes()
    folder = Path(os.environ["RESCORE_HOME"]) / "bare" / model
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        archive.extractall(folder)
    from rescore.model.runtime.package import InstalledPackage

    scorer = InstalledPackage(folder / model).scorer
    return scorer.features, scorer.estimator, scorer.features.names


def read_rows(model: str, columns: list[str]) -> Any:
    from adbc_driver_postgresql import dbapi

    with closing(dbapi.connect(URL)) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(columns)} FROM bench.{model} WHERE {WHERE} ORDER BY id")
        return cursor.fetch_arrow_table()


if __name__ == "__main__":
    {"ours": ours, "floor": floor, "users": users}[sys.argv[1]](sys.argv[2])
