"""What it costs to start an interpreter that scores: a fresh one, and one that is forked.

Run: ``.venv/bin/python bench/child_start.py [children]``. Each child imports the runtime of a package and the
estimators of a logistic pipeline, and ends. Fresh and forked ones are started alternately. Processor seconds
of the child and of whatever starts it; the fork server's own start is told by itself.
"""

from __future__ import annotations

import os
import resource
import statistics
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

from rescore.model import forking, process
from rescore.model.process import Child

TYPES = [
    "sklearn.linear_model._logistic.LogisticRegression",
    "sklearn.pipeline.Pipeline",
    "sklearn.preprocessing._data.StandardScaler",
]
CODE = f"""
from rescore.model.runtime.command import import_estimators
import_estimators({TYPES})
import sklearn.pipeline, sklearn.linear_model, sklearn.preprocessing
"""
INCLUDE = Path(__file__).parents[1] / "include"


def seconds_of(pid: int) -> float:
    """Processor seconds of a running process and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    own = sum(one.ru_utime + one.ru_stime for one in used)
    return own + sum(seconds_of(server._process.pid) for server in forking._servers.values())


def start(folder: Path, *, forked: bool) -> float:
    before = cpu()
    with (
        patch.object(process, "can_fork", lambda: forked),
        Child(["-c", CODE], folder=folder, path=[INCLUDE], types=TYPES) as child,
    ):
        for _ in child.messages():
            pass
    return cpu() - before


def main(children: int, folder: Path) -> None:
    first = start(folder, forked=True)
    fresh, forked = [], []
    for _ in range(children):
        fresh.append(start(folder, forked=False))
        forked.append(start(folder, forked=True))
    print("processor seconds to start a child that scores, its end included")
    print(f"  first one, with the fork server {first:5.2f}")
    for name, taken in (("fresh", fresh), ("forked", forked)):
        print(f"  {name:7} median {statistics.median(taken):5.2f}  ({min(taken):.2f} to {max(taken):.2f})")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 10, Path(scratch))
