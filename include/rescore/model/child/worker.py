"""``python -m rescore.model.child.worker JOB``: the child interpreter that fits.

Or it adopts what was fitted elsewhere (:mod:`rescore.model.adoption`).

It says which tasks there are, then runs each task named on its standard input, one a line, until
that closes. Started by :mod:`rescore.model.training` with the environment of
:func:`rescore.model.environment.start_environment`; any other start is refused.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescore.errors import EnvironmentMismatchError, ModelError, RescoreError
from rescore.model.child.adoption_confinement import confine
from rescore.model.process import MARK
from rescore.model.runtime.environment import THREAD_VARIABLES, one_thread

if TYPE_CHECKING:
    from rescore.model.child.trainer import Trainer

__all__ = ["main"]


def main() -> int:
    """Run tasks until standard input closes; 3 after an error that was said."""
    tasks: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    try:
        _check_start()
        job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
        if "adopted" in job:
            confine(job["adopted"]["seconds"])  # before there is a thread
        threading.Thread(target=listen, args=(tasks,), daemon=True).start()
        trainer: Trainer
        if "adopted" in job:
            from rescore.model.child.adopter import Adopter

            trainer = Adopter(job)
        else:
            from rescore.model.child.trainer import Trainer

            trainer = Trainer(job)
        _say(tasks=trainer.tasks)
        while (task := tasks.get()) is not None:
            with one_thread():
                trainer.run(task)
            _say(done=task)
    except RescoreError as error:
        _say(error=error.to_dict())
        return 3
    except (Exception, SystemExit) as error:  # whatever it is, the parent has to hear of it
        traceback.print_exc()
        unexpected = ModelError(
            f"training failed: {type(error).__name__}: {error}",
            where="".join(traceback.format_tb(error.__traceback__)[-1:]).strip(),
            fix="this is not one of the errors Rescore knows; the line above is where it happened",
        )
        _say(error=unexpected.to_dict())
        return 3
    return 0


def listen(tasks: queue.SimpleQueue[str | None]) -> None:
    """Queue the lines of standard input; end at once when the parent is gone in the middle of a task.

    The parent writes ``end`` before it closes the pipe. Read by descriptor: a buffered reader that
    is blocked in a daemon thread breaks the interpreter's shutdown.
    """
    held = b""
    while chunk := os.read(0, 4096):
        held += chunk
        *lines, held = held.split(b"\n")
        for line in lines:
            tasks.put(None if line == b"end" else line.decode())
    os._exit(1)


def _check_start() -> None:
    wrong = [name for name in THREAD_VARIABLES if os.environ.get(name) != "1"]
    if wrong or "PYTHONHASHSEED" not in os.environ:
        raise EnvironmentMismatchError(
            "the fitting process was started without a fixed environment",
            where=", ".join(wrong or ["PYTHONHASHSEED"]),
            expected="1 in each thread variable, and a hash seed",
            fix="start it through rescore.model.training",
        )


def _say(**message: Any) -> None:
    print(MARK + json.dumps(message, default=str), flush=True)  # noqa: T201 - the protocol is stdout


if __name__ == "__main__":
    sys.exit(main())
