"""Scores leaf by leaf, in the order of a file, from children that work on several leaves at once.

Each child takes the next range of rows that nobody has taken; its scores wait until those of all earlier
ranges were yielded. No child works further ahead than some leaves, so memory does not grow with the file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import pyarrow as pa

from rescore.errors import ModelError
from rescore.model.process import Child, Team

__all__ = ["flow"]

#: Leaves of each child that may be in work, or finished and waiting.
_AHEAD = 3


def flow(
    start: Callable[[Team], Child],
    ranges: Sequence[tuple[int, int]],
    folder: Path,
    children: int,
) -> Generator[pa.RecordBatch]:
    """The scores of each range, in order, from children of ``score-leaves``.

    Parameters
    ----------
    start : callable
        Starts a child of a team.
    ranges : sequence of (int, int)
        The first row of each, and the row after its last.
    folder : Path
        Where the children write.
    children : int
        How many work beside each other.

    Raises
    ------
    RescoreError
        The first error of any child; all others are ended.
    """
    team, board = Team(), _Board(ranges, _AHEAD * children)

    def work() -> None:
        try:
            with start(team) as child:
                _serve(child, board, folder)
        except BaseException as error:  # raised again where the scores are taken
            board.fail(error)

    threads = [threading.Thread(target=work, name=f"rescore scoring {n}") for n in range(children)]
    for thread in threads:
        thread.start()
    try:
        for number in range(len(ranges)):
            yield board.take(number)
        board.close()
        for thread in threads:
            thread.join()
        board.raise_failure()
    finally:
        board.close()
        team.end()
        for thread in threads:
            thread.join()


def _serve(child: Child, board: _Board, folder: Path) -> None:
    """Ask a child for leaves until none is left, and hear how it ends."""
    heard = child.messages()
    while (asked := board.next()) is not None:
        number, (first, last) = asked
        child.send(f"{number} {first} {last}")
        for message in heard:
            if message.get("leaf") == number:
                break
        else:
            raise ModelError(
                "a child interpreter ended before its work was done",
                where=f"rows {first:,} to {last:,}",
                expected="scores of the rows that it was asked for",
            )
        path = folder / f"{number}.arrow"
        board.put(number, _one_batch(path))
        path.unlink()
    child.end_input()
    for _ in heard:
        pass


def _one_batch(path: Path) -> pa.RecordBatch:
    with pa.OSFile(str(path), "rb") as source, pa.ipc.open_file(source) as file:
        batches = [file.get_batch(number) for number in range(file.num_record_batches)]
        return pa.concat_batches(batches) if batches else pa.RecordBatch.from_pylist([], file.schema)


class _Board:
    """Which leaves are to be done, which are done, and whether anything went wrong; for many threads."""

    def __init__(self, ranges: Sequence[tuple[int, int]], window: int) -> None:
        self._ranges = ranges
        self._window = window
        self._changed = threading.Condition()
        self._begun = self._taken = 0
        self._done: dict[int, pa.RecordBatch] = {}
        self._failure: BaseException | None = None
        self._closed = False

    def next(self) -> tuple[int, tuple[int, int]] | None:
        """A leaf to work on, once it is not too far ahead; None if there is none any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._over or self._begun < self._taken + self._window)
            if self._over:
                return None
            self._begun += 1
            return self._begun - 1, self._ranges[self._begun - 1]

    def put(self, number: int, scores: pa.RecordBatch) -> None:
        """Hand over what was asked for."""
        with self._changed:
            self._done[number] = scores
            self._changed.notify_all()

    def take(self, number: int) -> pa.RecordBatch:
        """Wait for a leaf; raises what went wrong meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: number in self._done or self._failure is not None)
            self.raise_failure()
            self._taken = number + 1
            self._changed.notify_all()
            return self._done.pop(number)

    def fail(self, error: BaseException) -> None:
        """Remember the first thing that went wrong; nothing is begun any more."""
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()

    def close(self) -> None:
        """Begin nothing any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def raise_failure(self) -> None:
        """Raise what went wrong, if anything did."""
        if self._failure is not None:
            raise self._failure

    @property
    def _over(self) -> bool:
        return self._closed or self._failure is not None or self._begun == len(self._ranges)
