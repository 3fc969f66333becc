"""What validation costs on Arrow and in Great Expectations: the same suite, the same rows, one process each.

Run: ``.venv/bin/python bench/validation.py [rows]``. Each round starts two fresh interpreters one after the
other: one with the suite kept, which asks Arrow, and one in which Great Expectations reads the file and is
asked everything. Both give the same report, which is compared. Processor seconds of the whole process, and of
it the validation itself; the growth of the peak of memory while it validates, in MB; medians of the rounds.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROUNDS = 3
COLUMNS = 20

YAML = """
name: wide
version: "1.0"
owner: bench
source: {{connection: source, key: [id], event_time: at, known_by: none}}
features: [{features}]
target: {{name: late, kind: binary}}
output: {{unit: probability, meaning: a bench}}
schedule: {{cron: "0 4 * * *", start: 2013-01-01}}
training: {{intervals: 3, seed: 1, from: frozen_inputs}}
validation: {{max_quarantined_fraction: 1}}
"""
SUITE = """
import great_expectations as gx
import great_expectations.expectations as gxe


def suite():
    return gx.ExpectationSuite(name="wide", expectations=[
        *(gxe.ExpectColumnValuesToBeBetween(column=f"f{n:02d}", min_value=-4, max_value=4, severity="warning")
          for n in range(15)),
        gxe.ExpectColumnValuesToNotBeNull(column="f15", mostly=0.9, severity="warning"),
        gxe.ExpectColumnMeanToBeBetween(column="f16", min_value=-1, max_value=1, severity="info"),
        gxe.ExpectColumnStdevToBeBetween(column="f17", min_value=0.5, max_value=2, severity="info"),
        gxe.ExpectColumnValuesToBeInSet(column="f18", value_set=["EWR", "JFK", "LGA"], severity="critical"),
        gxe.ExpectColumnValuesToMatchRegex(column="f18", regex="^[A-Z]{3}$", severity="critical"),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="f19", column_B="f00", ignore_row_if="either_value_is_missing", severity="info"),
    ])
"""

JUDGE = """
import json, resource, sys, time
from pathlib import Path
import pyarrow.parquet as pq
from rescore.folder import load_model
from rescore.validation import arrow_engine, validate

folder = load_model(Path(sys.argv[1]), "wide")
table = pq.read_table(sys.argv[2])
how = sys.argv[3]
if how == "gx":
    arrow_engine._JUDGES.clear()
before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
report = validate(table, folder, kept=None if how == "gx" else Path(sys.argv[4]))
seconds, peak = time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({
    "whole": time.process_time(), "validation": seconds, "memory": (peak - before) / 1024,
    "report": report.report().to_dict(), "set_aside": report.excluded_positions,
}, default=str))
"""


def write_rows(path: Path, rows: int) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(0)
    columns: dict[str, object] = {"id": np.arange(rows)}
    columns["at"] = pa.array(np.full(rows, 1_400_000_000_000_000), pa.timestamp("us", "UTC"))
    for number in range(COLUMNS):
        name, missing = f"f{number:02d}", random.random(rows) < 0.01
        if name == "f18":
            columns[name] = pa.array(random.choice(["EWR", "JFK", "LGA"], rows), mask=missing)
        else:
            columns[name] = pa.array(random.normal(size=rows), mask=missing)
    pq.write_table(pa.table(columns), path)


def main(rows: int, home: Path) -> None:
    folder = home / "models" / "wide"
    folder.mkdir(parents=True)
    kinds = ["categorical" if number == 18 else "numeric" for number in range(COLUMNS)]
    features = ", ".join(f"{{name: f{number:02d}, kind: {kind}}}" for number, kind in enumerate(kinds))
    (folder / "model.yaml").write_text(YAML.format(features=features))
    (folder / "expectations.py").write_text(SUITE)
    for name in ("extract.sql", "labels.sql", "pipeline.py"):
        (folder / name).write_text("")
    write_rows(home / "rows.parquet", rows)
    arguments = [str(home / "models"), str(home / "rows.parquet")]

    def judge(how: str) -> dict[str, Any]:
        command = [sys.executable, "-c", JUDGE, *arguments, how, str(home / "kept")]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    judge("arrow")  # keeps the suite
    answers = [(judge("arrow"), judge("gx")) for _ in range(ROUNDS)]
    assert all(ours["report"] == theirs["report"] for ours, theirs in answers)
    assert all(ours["set_aside"] == theirs["set_aside"] for ours, theirs in answers)
    print(f"{rows:,} rows x {COLUMNS} columns, 21 expectations; processor seconds, MB, ratio")
    for what in ("whole", "validation", "memory"):
        ours, theirs = (statistics.median(one[what] for one in side) for side in zip(*answers, strict=True))
        ratio = theirs / max(ours, 0.01)
        print(f"  {what:12} arrow {ours:7.2f}   Great Expectations {theirs:7.2f}   {ratio:6.1f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000, Path(scratch))
