"""``python -m rescore.validation.suite_child``: the interpreter in which a model's ``expectations.py`` runs.

Each line of its standard input names a file and the model's columns, and perhaps rows and which expectations
are to be judged on them; each gets one answer. What the file prints goes to standard error. Started by
:mod:`rescore.validation.suite_apart`, with an environment that holds no login.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from rescore.errors import RescoreError
from rescore.limited_import import limited_import
from rescore.validation.declared import Declared
from rescore.validation.declared_suite import SuiteHere
from rescore.validation.gx_engine import Evaluation
from rescore.validation.wording import recorded

__all__ = ["main"]

#: As in ``model/process.py``.
MARK = "::rescore "


def main() -> int:
    """Answer until standard input closes; 3 after an error that was said."""
    # A model's code may print what it likes: no answer of ours.
    says = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    suites: dict[str, SuiteHere] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        suite = suites.setdefault(asked["path"], SuiteHere(Path(asked["path"]), asked["columns"]))
        try:
            with limited_import():  # and Great Expectations' own, and suite()
                declared = suite.declared()
            answer = _judged(suite, asked) if "rows" in asked else [asdict(one) for one in declared]
        except RescoreError as error:
            _say(says, error=error.to_dict())
            return 3
        _say(says, answer=answer)
    return 0


def _judged(suite: SuiteHere, asked: dict[str, Any]) -> list[dict[str, Any]]:
    with pa.memory_map(asked["rows"]) as rows:
        table = pa.ipc.open_file(rows).read_all()
        evaluations = suite.ask(table, [(number, Declared(**one)) for number, one in asked["asked"]])
    none = np.array([], dtype=np.int64)
    found = [none if one.positions is None else one.positions.astype(np.int64) for one in evaluations]
    np.save(asked["positions"], np.concatenate([none, *found]), allow_pickle=False)
    return [_plain(one) for one in evaluations]


def _plain(one: Evaluation) -> dict[str, Any]:
    failing = None if one.positions is None else len(one.positions)
    observed = recorded(one.observed)
    return {"success": bool(one.success), "observed": observed, "error": one.error, "failing": failing}


def _say(says: IO[str], **message: Any) -> None:
    says.write(MARK + json.dumps(message) + "\n")
    says.flush()


if __name__ == "__main__":
    sys.exit(main())
