"""What a package's guarantees cost: 2,000,000 x 20 rows by a package and by bare scikit-learn.

Run: ``.venv/bin/python bench/predict.py [rows]``. Bare means: read the Parquet file whole, predict in
one call in one process with one thread, keep the scores. A package means: start the interpreters,
check environment, files and golden rows, read in leaves, predict in blocks, write Arrow, read it.
Both start fresh interpreters. Processor seconds (cpu) tell more than the
clock on a shared machine; memory is the peak of the largest process in MB.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import textwrap
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from rescore import model
from rescore.folder import load_model
from rescore.manifest import Lineage
from rescore.model.environment import start_environment

PIPELINES = {
    "logistic": """
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        def build(hyperparameters, seed):
            return make_pipeline(StandardScaler(), LogisticRegression(random_state=seed))
        """,
    "boosted": """
        from sklearn.ensemble import HistGradientBoostingClassifier

        def build(hyperparameters, seed):
            return HistGradientBoostingClassifier(random_state=seed)
        """,
}

BARE = """
import sys, time, resource
import numpy as np, pyarrow.parquet as pq
from skops.io import load
started = time.perf_counter()
frame = pq.read_table(sys.argv[2], columns=[f"f{i:02d}" for i in range(20)]).to_pandas()
read = time.perf_counter()
score = load(sys.argv[1], ["sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "functools.partial", "sklearn.utils.validation.check_array", "numpy.dtype"]).predict_proba(frame)[:, 1]
np.save(sys.argv[3], score)
print(f"{read - started:.2f} read, {time.perf_counter() - read:.2f} predict, "
      f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB", end="")
"""


def rows_table(rows: int) -> pa.Table:
    random = np.random.default_rng(0)
    columns = {f"f{i:02d}": random.normal(size=rows) for i in range(20)}
    late = columns["f00"] + columns["f01"] ** 2 + random.normal(size=rows) > 1
    start = pa.array(np.arange(rows) * 12 // rows * 86_400_000_000, pa.int64()).cast(
        pa.timestamp("us", "UTC")
    )
    return pa.table({"interval_start": start, **columns, "late": late})


def cpu() -> float:
    """Processor seconds of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(rows: int, home: Path) -> None:
    big, small = home / "big.parquet", home / "small.parquet"
    pq.write_table(rows_table(rows), big, row_group_size=65_536)
    pq.write_table(rows_table(50_000), small)
    spec = {
        "name": "bench_model",
        "version": "1.0",
        "owner": "bench",
        "source": {"connection": "x", "key": ["id"], "known_by": {"column": "recorded_at"}},
        "features": [{"name": f"f{i:02d}", "kind": "numeric"} for i in range(20)],
        "target": {"name": "late", "kind": "binary"},
        "output": {"unit": "probability", "meaning": "bench"},
        "schedule": {"cron": "0 0 * * *", "start": datetime(1970, 1, 1, tzinfo=UTC)},
        "training": {"intervals": 12, "folds": 2, "seed": 0},
    }
    folder = home / "models" / "bench_model"
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(yaml.safe_dump(spec))
    for name in ("extract.sql", "labels.sql", "expectations.py"):
        (folder / name).write_text("")
    for name, code in PIPELINES.items():
        (folder / "pipeline.py").write_text(textwrap.dedent(code))
        loaded = load_model(home / "models", "bench_model")
        fitted = model.train(small, loaded, build_dir=home / name)
        file = model.build_package(
            fitted,
            loaded,
            version="1.0.0",
            reference_profile=b"{}",
            lineage=Lineage(),
            destination=home / name,
        )
        package = model.open_package(file.path, expected_sha256=file.sha256, cache=home / "cache")
        for _ in range(2):
            started, used = time.perf_counter(), cpu()
            done = subprocess.run(
                [sys.executable, "-c", BARE, fitted.results / "model.skops", big, home / "bare.npy"],
                env=start_environment(),
                capture_output=True,
                text=True,
                check=True,
            )
            print(
                f"{name:9} bare      {time.perf_counter() - started:6.2f} s, {cpu() - used:6.2f} s cpu "
                f"({done.stdout})", flush=True)  # fmt: skip
            for processes in (1, 2):
                started, used = time.perf_counter(), cpu()
                scores = package.predict(big, processes=processes)
                seconds = time.perf_counter() - started
                peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
                same = (scores["score"].to_numpy() == np.load(home / "bare.npy")).mean()
                print(f"{name:9} package/{processes} {seconds:6.2f} s, {cpu() - used:6.2f} s cpu "
                      f"(peak of any child so far {peak:.0f} MB), "
                      f"{same:.2%} of bits as bare", flush=True)  # fmt: skip
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000, Path(scratch))
