"""Reading ahead: an iterator that runs on a thread of its own, a bounded number of items ahead."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, Queue
from typing import Generic, TypeVar

__all__ = ["Prefetch"]

T = TypeVar("T")


class Prefetch(Generic[T]):
    """Iterate over ``items`` while the next of them are made on another thread.

    Nothing is left running after :meth:`close`, which the end of the items and an error among them
    call, too. An error of the thread is raised where the item would have come.

    Parameters
    ----------
    items : iterator
        Runs on the other thread from its first item to its end; a generator is closed there.
    depth : int
        How many items may wait to be taken; the thread holds one more.
    interrupt : callable, optional
        Called by :meth:`close` if the thread still runs: ends the wait for whatever it waits for.
    """

    def __init__(
        self, items: Iterator[T], *, depth: int = 2, interrupt: Callable[[], None] | None = None
    ) -> None:
        self._items = items
        self._interrupt = interrupt
        self._waiting: Queue[tuple[T, ...] | BaseException | None] = Queue(depth)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._read, name="rescore prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._closed.is_set():
            raise StopIteration
        got = self._waiting.get()
        if isinstance(got, tuple):
            return got[0]
        self.close()
        if got is None:
            raise StopIteration
        raise got

    def close(self) -> None:
        """End the thread and wait for its end; what it had read is dropped."""
        ended_by_itself = self._closed.is_set()
        self._closed.set()
        if ended_by_itself:
            return
        if self._thread.is_alive() and self._interrupt is not None:
            self._thread.join(0.01)  # it may be about to end by itself
            if self._thread.is_alive():
                self._interrupt()
        while self._thread.is_alive():
            with suppress(Empty):
                self._waiting.get_nowait()
            self._thread.join(0.01)

    def _read(self) -> None:
        try:
            for item in self._items:
                self._waiting.put((item,))
                if self._closed.is_set():
                    break
            end = None
        except BaseException as error:
            end = error
        finally:
            close = getattr(self._items, "close", None)
            if close is not None:
                with suppress(Exception):
                    close()
        self._waiting.put(end)
