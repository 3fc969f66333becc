"""Keep with a run why it ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rescore.disk import disk_errors
from rescore.errors import HeldError, OutageError, RescoreError
from rescore.pipeline.context import Context
from rescore.store import RunHandle

__all__ = ["recorded"]


@contextmanager
def recorded(ctx: Context, run: RunHandle) -> Iterator[None]:
    """Keep with the run why it ended; what is tried again, or a person can release, leaves it open.

    An attempt that is no longer the latest ends nothing.
    """
    try:
        with disk_errors(ctx.written_folders):
            yield
    except HeldError:
        raise
    except OutageError as error:
        ctx.store.runs.stop(run, error)
        raise
    except BaseException as error:
        # An interrupt and Airflow's timeout are no `Exception`, and tried again, too.
        passes = error.retryable if isinstance(error, RescoreError) else not isinstance(error, Exception)
        if not passes:
            ctx.store.runs.fail(run, error)
        elif not ctx.tried_again:
            with suppress(RescoreError):  # the store may be what failed
                ctx.store.runs.fail(run, error)
        raise
