"""``python -m <model>``: prove the package; ``python -m <model> score IN OUT``: score a file.

A parent process passes ``--lines`` and reads, among whatever else is printed, lines that begin with
:data:`MARK` and hold one JSON object: ``{"rows": n}`` after each step, ``{"error": {…}}`` at the end
of a failure (exit code 3).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .environment import one_thread
from .errors import InputError, PackageError
from .imports import import_estimators
from .package import InstalledPackage
from .scoring import BLOCK_ROWS

__all__ = ["MARK", "main", "score_file"]

#: Begins each line that is meant for a parent process.
MARK = "::rescore "
#: Rows scored and written at a time: one leaf of a content digest.
STEP_ROWS = 4 * BLOCK_ROWS
FAILED = 3


def main(root: Path, arguments: Sequence[str] | None = None) -> int:
    """Run the command line of the package in ``root``.

    Returns
    -------
    int
        The exit code: 0, or 3 after an error that was said.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {root.name}", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    score = commands.add_parser("score", help="score a Parquet file into an Arrow file")
    score.add_argument("source", type=Path)
    score.add_argument("destination", type=Path)
    score.add_argument("--exclude", type=Path, help="a file of int64 row positions not to score")
    score.add_argument("--rows", help="score only the rows START:STOP of the file")
    score.add_argument("--fit", choices=("final", "evaluation"), default="final", help="which fit scores")
    score.add_argument(
        "--unproved", action="store_true", help="score although golden rows give other bits here"
    )
    score.add_argument("--probabilities", action="store_true", help="add the probability of each label")
    for command in (parser, score):
        command.add_argument("--lines", action="store_true", help="say progress and errors as JSON lines")
    options = parser.parse_args(arguments)

    if options.lines:
        end_with_parent()

    def say(**message: Any) -> None:
        if options.lines:
            print(MARK + json.dumps(message), flush=True)  # noqa: T201 - the protocol is stdout

    package = InstalledPackage(root)
    import_estimators(package.manifest["artifact"]["types"])
    try:
        if options.command == "score":
            score_file(package, options, say)
        else:
            scorer, rows = package.scorer, len(package.golden["score"])
            print(  # noqa: T201 - a command says what it found
                f"{package.label}: {rows} golden rows give their recorded bits, "
                f"{len(scorer.features.kinds)} features, "
                f"{len(package.manifest['files'])} files as in the manifest"
            )
    except PackageError as error:
        say(error=error.to_dict())
        print(error, file=sys.stderr)  # noqa: T201
        return FAILED
    return 0


def end_with_parent() -> None:
    """End this process when the one that started it is gone: its end of our standard input closes."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def score_file(package: InstalledPackage, options: argparse.Namespace, say: Any) -> None:
    """Score a Parquet file, a step at a time, into an Arrow IPC file that appears when it is whole."""
    if options.fit == "evaluation":
        scorer = package.evaluation_scorer
    else:
        scorer = package.unproved_scorer if options.unproved else package.scorer
    start, stop = (int(bound) for bound in options.rows.split(":")) if options.rows else (0, None)
    excluded = np.fromfile(options.exclude, dtype=np.int64) if options.exclude else None
    partial = options.destination.with_name(options.destination.name + ".part")
    written = 0
    with one_thread(), pa.OSFile(str(partial), "wb") as sink:
        writer = None
        for step in _steps(options.source, scorer.features.kinds, start, stop, excluded):
            scores = scorer.scores(scorer.features.conform(step), probabilities=options.probabilities)
            writer = writer or pa.ipc.new_file(sink, scores.schema)
            writer.write_table(scores)
            written += scores.num_rows
            say(rows=written)
        if writer is not None:
            writer.close()
    partial.replace(options.destination)


def _steps(
    source: Path,
    kinds: Mapping[str, str],
    start: int,
    stop: int | None,
    excluded: np.ndarray[Any, Any] | None,
) -> Iterator[pa.Table]:
    """Tables of :data:`STEP_ROWS` kept rows, the last one shorter; at least one, perhaps empty."""
    with pq.ParquetFile(source, read_dictionary=[n for n, k in kinds.items() if k == "categorical"]) as file:
        missing = [name for name in kinds if name not in file.schema_arrow.names]
        if missing:
            raise InputError(
                f"features are missing from {source.name}: {', '.join(missing)}",
                expected=f"all of: {', '.join(kinds)}",
                fix="extract them",
                missing=missing,
            )
        stop = file.metadata.num_rows if stop is None else min(stop, file.metadata.num_rows)
        kept = np.ones(stop, dtype=bool)
        if excluded is not None:
            kept[excluded[excluded < stop]] = False
        waiting = pa.schema([file.schema_arrow.field(name) for name in kinds]).empty_table()
        stepped = False
        for position, batch in _batches(file, list(kinds), start, stop):
            table = pa.Table.from_batches([batch])
            keep = kept[position : position + batch.num_rows]
            waiting = pa.concat_tables([waiting, table if keep.all() else table.filter(pa.array(keep))])
            while waiting.num_rows >= STEP_ROWS:
                yield waiting.slice(0, STEP_ROWS)
                waiting, stepped = waiting.slice(STEP_ROWS), True
        if waiting.num_rows or not stepped:
            yield waiting


def _batches(
    file: pq.ParquetFile, columns: list[str], start: int, stop: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The rows from ``start`` to ``stop`` with their position; row groups before are not read."""
    first = 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if first + rows > start and first < stop:
            position = first
            for batch in file.iter_batches(STEP_ROWS, row_groups=[group], columns=columns, use_threads=False):
                left, right = max(start - position, 0), min(stop - position, batch.num_rows)
                if left < right:
                    yield position + left, batch.slice(left, right - left)
                position += batch.num_rows
        first += rows
