"""Our own tables in Postgres, and the archive of frozen files.

The schema ``rescore`` holds what is known about runs; consumers read the views in ``scores``. Nothing
published is ever overwritten: a new run supersedes. See ``docs/decisions`` for why COPY is binary.
"""

from rescore.store.archive import Archive
from rescore.store.records import (
    ExtractedRun,
    Package,
    Pin,
    Publication,
    Run,
    RunHandle,
    RunReference,
    RunState,
    ScoredRun,
    Snapshot,
)
from rescore.store.store import Store

__all__ = [
    "Archive",
    "ExtractedRun",
    "Package",
    "Pin",
    "Publication",
    "Run",
    "RunHandle",
    "RunReference",
    "RunState",
    "ScoredRun",
    "Snapshot",
    "Store",
]
