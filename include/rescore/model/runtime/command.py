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

from .environment import one_thread
from .errors import PackageError
from .imports import import_estimators
from .leaves import score_leaves
from .package import InstalledPackage
from .rows import STEP_ROWS, file_rows, open_rows, read_positions
from .scoring import Scorer

__all__ = ["MARK", "main", "score_file"]

#: Begins each line that is meant for a parent process.
MARK = "::rescore "
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
    score.add_argument("--rows", help="score only the rows START:STOP of the file")
    leaves = commands.add_parser("score-leaves", help="score the ranges of rows that standard input names")
    for command in (score, leaves):
        command.add_argument("source", type=Path)
        command.add_argument("destination", type=Path, help="an Arrow file; of score-leaves, a folder")
        command.add_argument("--exclude", type=Path, help="a file of int64 row positions not to score")
        command.add_argument("--fit", choices=("final", "evaluation"), default="final", help="which scores")
        command.add_argument(
            "--unproved", action="store_true", help="score although golden rows give other bits here"
        )
        command.add_argument("--probabilities", action="store_true", help="add each label's probability")
    for command in (parser, score, leaves):
        command.add_argument("--lines", action="store_true", help="say progress and errors as JSON lines")
    options = parser.parse_args(arguments)

    if options.lines and options.command != "score-leaves":
        end_with_parent()

    def say(**message: Any) -> None:
        if options.lines:
            print(MARK + json.dumps(message), flush=True)  # noqa: T201 - the protocol is stdout

    package = InstalledPackage(root)
    import_estimators(package.manifest["artifact"]["types"])
    try:
        if options.command == "score":
            score_file(package, options, say)
        elif options.command == "score-leaves":
            score_leaves(
                _scorer(package, options),
                options.source,
                options.destination,
                say,
                excluded=options.exclude,
                probabilities=options.probabilities,
            )
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
    scorer = _scorer(package, options)
    start, stop = (int(bound) for bound in options.rows.split(":")) if options.rows else (0, None)
    excluded = read_positions(options.exclude)
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


def _scorer(package: InstalledPackage, options: argparse.Namespace) -> Scorer:
    if options.fit == "evaluation":
        return package.evaluation_scorer
    return package.unproved_scorer if options.unproved else package.scorer


def _steps(
    source: Path,
    kinds: Mapping[str, str],
    start: int,
    stop: int | None,
    excluded: np.ndarray[Any, Any],
) -> Iterator[pa.Table]:
    """Tables of :data:`STEP_ROWS` kept rows, the last one shorter; at least one, perhaps empty."""
    with open_rows(source, kinds) as file:
        stop = file.metadata.num_rows if stop is None else min(stop, file.metadata.num_rows)
        kept = np.ones(stop, dtype=bool)
        kept[excluded[excluded < stop]] = False
        waiting = pa.schema([file.schema_arrow.field(name) for name in kinds]).empty_table()
        stepped = False
        for position, batch in file_rows(file, list(kinds), start, stop):
            table = pa.Table.from_batches([batch])
            keep = kept[position : position + batch.num_rows]
            waiting = pa.concat_tables([waiting, table if keep.all() else table.filter(pa.array(keep))])
            while waiting.num_rows >= STEP_ROWS:
                yield waiting.slice(0, STEP_ROWS)
                waiting, stepped = waiting.slice(STEP_ROWS), True
        if waiting.num_rows or not stepped:
            yield waiting
