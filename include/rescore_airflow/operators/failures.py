"""What a task does with an error: whether to retry, and what its log ends with."""

from __future__ import annotations

import functools
import inspect
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from airflow.sdk.exceptions import AirflowFailException

from rescore.disk import disk_errors
from rescore.errors import RescoreError

__all__ = ["fail_typed", "log_reason"]

Result = TypeVar("Result")

log = logging.getLogger(__name__)


def fail_typed(function: Callable[..., Result]) -> Callable[..., Result]:
    """Let Airflow retry only where trying again can help.

    An error that is not ``retryable`` fails the task at once, whatever ``retries`` says.
    """

    @functools.wraps(function)
    def stage(*args: Any, **kwargs: Any) -> Result:
        try:
            with disk_errors([Path(os.environ.get("RESCORE_HOME") or "var")]):
                return function(*args, **kwargs)
        except RescoreError as error:
            if error.retryable:
                raise
            raise AirflowFailException(str(error)) from error

    # Airflow asks for it several times a task, and the way to it through the wrapper is long.
    stage.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return stage


def log_reason(context: Any) -> None:
    """Write the error's message once more, so that a task's log ends with it.

    A callback for ``on_failure_callback`` and ``on_retry_callback``: Airflow writes the traceback
    first and a page of its own lines after it.
    """
    error = context.get("exception")
    if error is not None:
        log.error("%s", error)
