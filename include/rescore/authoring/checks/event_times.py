"""Whether event times are what they say, and whether every row has one."""

from __future__ import annotations

import pyarrow as pa

from rescore import source
from rescore.authoring.checks.result import CheckResult
from rescore.folder import ModelFolder
from rescore.interval import Interval

__all__ = ["check_event_times", "check_untimed"]


def check_event_times(rows: pa.Table, folder: ModelFolder) -> list[CheckResult]:
    """A clock that is hours off an hour written beside it; see :func:`rescore.source.hours_apart`."""
    found = source.hours_apart(rows, folder.spec)
    return [CheckResult("event times", "warning", str(apart), apart.fix) for apart in found]


def check_untimed(url: str, folder: ModelFolder, interval: Interval) -> list[CheckResult]:
    """Rows whose moment is NULL: they are in no interval, so nobody scores them."""
    fix = "give them a moment in the source, or know that they are never scored"
    found = source.count_untimed(url, folder, interval)
    return [CheckResult("event times", "warning", str(untimed), fix) for untimed in found]
