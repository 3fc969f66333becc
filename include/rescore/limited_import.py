"""A limit on time for importing a model folder's code: what waits for ever there ends its interpreter.

For child interpreters that run nothing else. The place where the code was is written into their log, by a
thread that needs no lock of Python's; :func:`refuse_endless` reads it.
"""

from __future__ import annotations

import faulthandler
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rescore.errors import SpecError

__all__ = ["IMPORT_SECONDS", "limited_import", "refuse_endless"]

#: Libraries take some seconds on a slow machine; what takes longer fetches, computes or waits.
IMPORT_SECONDS = 120

_ENDED = re.compile(r"^Timeout \((\S+)\)!$", re.MULTILINE)  # as faulthandler writes it
_PLACE = re.compile(r'^  File "(.+/(?:pipeline|expectations|features)\.py)", line (\d+)', re.MULTILINE)


@contextmanager
def limited_import(seconds: float = IMPORT_SECONDS) -> Iterator[None]:
    """End this interpreter if the block takes longer."""
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def refuse_endless(log: str) -> None:
    """Raise what a log says of an interpreter that was ended so.

    Raises
    ------
    SpecError
        With the file and the line where it was.
    """
    ended = [*_ENDED.finditer(log)][-1:]
    if not ended:
        return
    place = _PLACE.search(log, ended[0].end())
    file = Path(place[1]) if place else None
    raise SpecError(
        f"{file.name if file else 'the code of the model folder'} was not imported within {ended[0][1]}",
        where=f"{file.name}, line {place[2]}" if place and file else None,
        expected="a module that only defines: it is imported by each check, training and scoring",
        fix="fetch, compute and wait in build() or fit(), not while the module is imported",
    )
