"""A consumer that reads the views without pause, in a process of its own, and writes down what it saw.

``python reader.py URL FILE``: a line of JSON for each content that it had not seen before, and one for each
stretch of polls that saw the same. It needs nothing of Rescore.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import psycopg2

_SCORES = (
    "SELECT extract(epoch FROM interval_start)::bigint, run_id::text, gauge, reading, score"
    " FROM scores.tides ORDER BY 1, 2, 3, 4, 5"
)
_LATEST = "SELECT gauge, reading, run_id::text, score FROM scores.tides_latest ORDER BY 1, 2, 3, 4"

Rows = list[tuple[Any, ...]]


class Reader:
    """Reads both views in one transaction, over a connection that it makes anew when it breaks."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Any = None

    def read(self) -> tuple[Rows, Rows] | None:
        """The rows of both views; None while there is no server."""
        try:
            if self._connection is None:
                self._connection = psycopg2.connect(self._url, connect_timeout=5)
                self._connection.set_session("REPEATABLE READ", readonly=True)
            with self._connection, self._connection.cursor() as cursor:
                cursor.execute(_SCORES)
                rows = cursor.fetchall()
                cursor.execute(_LATEST)
                return rows, cursor.fetchall()
        except psycopg2.Error:
            with suppress(psycopg2.Error, AttributeError):
                self._connection.close()
            self._connection = None
            return None


class Log:
    """What was seen, without what was seen before."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._known: set[str] = set()
        self._stretch: dict[str, Any] | None = None

    def note(self, began: float, rows: Rows, latest: Rows) -> None:
        """One poll."""
        days: dict[str, list[Any]] = {}
        for start, run, gauge, reading, score in rows:
            days.setdefault(str(start), []).append([run, gauge, reading, score.hex()])
        seen = {
            "view": {day: self._name(content) for day, content in days.items()},
            "agree": sorted((gauge, reading, run, score) for _, run, gauge, reading, score in rows) == latest,
        }
        if self._stretch is None or any(self._stretch[key] != value for key, value in seen.items()):
            self.close()
            self._stretch = seen | {"first": began, "polls": 0}
        polls = self._stretch["polls"] + 1
        self._stretch |= {"last": began, "ended": time.monotonic(), "polls": polls}

    def close(self) -> None:
        """Write the stretch that ends."""
        if self._stretch is not None:
            self._out.write(json.dumps(self._stretch) + "\n")
        self._stretch = None

    def _name(self, content: list[Any]) -> str:
        name = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        if name not in self._known:
            self._known.add(name)
            self._out.write(json.dumps({"content": name, "rows": content}) + "\n")
        return name


def main(url: str, path: str) -> None:
    """Poll until SIGTERM, or until whoever started it is gone."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    ended, parent, reader = None, os.getppid(), Reader(url)
    with Path(path).open("w", buffering=1) as out:
        log = Log(out)
        while ended is None and os.getppid() == parent:
            began = time.monotonic()
            found = reader.read()
            if found is not None:
                log.note(began, *found)
            ended = signal.sigtimedwait({signal.SIGTERM}, 0.05 if found is not None else 0.1)
        log.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
