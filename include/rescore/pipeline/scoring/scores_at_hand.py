"""The scores that this process has just staged, for the comparison that follows: not read back for it."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from rescore.sha256 import Sha256
from rescore.store import ScoredRun

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ScoresAtHand"]


class ScoresAtHand:
    """The scores of the run that was staged last, in a file of this process: 8 bytes a row, none in memory.

    They are those that were digested on their way into the table, and are given for a run of that digest
    alone.

    Parameters
    ----------
    folder : Path
        Where the file may be; it goes at the end of the ``with`` block.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._digest: Sha256 | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._forget()

    def noting(self, batches: Iterable[pa.RecordBatch]) -> Generator[pa.RecordBatch]:
        """Pass batches on, and write their scores down."""
        self._forget()
        with suppress(OSError):  # without room for it the scores are in the store all the same
            self._file = TemporaryFile(dir=self._folder)  # noqa: SIM115  (until the end of the block)
        for batch in batches:
            self._write(np.ascontiguousarray(batch.column("score").to_numpy(), np.float64))
            yield batch

    def keep(self, digest: Sha256) -> None:
        """Say what the batches that were passed on last are, by the digest of all their columns."""
        self._digest = digest

    def of(self, run: ScoredRun) -> npt.NDArray[np.float64] | None:
        """The run's scores, shape (n_rows,), in their order; None if others or none are at hand."""
        if self._file is None or run.score_digest != self._digest:
            return None
        try:
            self._file.seek(0)
            return np.fromfile(self._file, np.float64)
        except OSError:
            self._forget()
            return None

    def _write(self, scores: npt.NDArray[np.float64]) -> None:
        """Write scores down while there is room; without it they are in the store all the same."""
        if self._file is None:
            return
        try:
            self._file.write(scores.data)
        except OSError:
            self._forget()

    def _forget(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # what is still to be written may find no room
                self._file.close()
        self._file = self._digest = None
