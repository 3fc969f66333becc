"""Our own tables in Postgres, and the archive of frozen files.

The schema ``rescore`` holds what is known about runs; consumers read the views in ``scores``. Nothing
published is ever overwritten: a new run supersedes. See ``docs/decisions`` for why COPY is binary.
"""

from rescore.store.archive import Archive
from rescore.store.audit.anchors import Anchor, Anchors
from rescore.store.audit.chain import ChainEntry
from rescore.store.audit.findings import Finding, Verification
from rescore.store.audit.head import ChainHead
from rescore.store.audit.rows import ChainedRow
from rescore.store.erasure.erasures import Erasure
from rescore.store.erasure.tombstone import Tombstone
from rescore.store.records import (
    OPEN_STATES,
    ExtractedRun,
    Package,
    Pin,
    Publication,
    Run,
    RunHandle,
    RunReference,
    RunState,
    ScoredRun,
    Shard,
    ShardHandle,
    Snapshot,
)
from rescore.store.report_records import (
    Gap,
    IntervalDrift,
    IntervalRun,
    ModelStatus,
    RunPerformance,
    Signature,
    StoredComparison,
    StoredReproduction,
    WeekPerformance,
)
from rescore.store.retention.deletions import Deletion
from rescore.store.retention.holds import LegalHold
from rescore.store.runs.overview import LastPublished, Outcome
from rescore.store.runs.silent_labels import SilentLabels
from rescore.store.schema.score_table import row_columns, score_columns
from rescore.store.store import Store
from rescore.store.timetables import DeclaredTimetable, DueInterval

__all__ = [
    "OPEN_STATES",
    "Anchor",
    "Anchors",
    "Archive",
    "ChainEntry",
    "ChainHead",
    "ChainedRow",
    "DeclaredTimetable",
    "Deletion",
    "DueInterval",
    "Erasure",
    "ExtractedRun",
    "Finding",
    "Gap",
    "IntervalDrift",
    "IntervalRun",
    "LastPublished",
    "LegalHold",
    "ModelStatus",
    "Outcome",
    "Package",
    "Pin",
    "Publication",
    "Run",
    "RunHandle",
    "RunPerformance",
    "RunReference",
    "RunState",
    "ScoredRun",
    "Shard",
    "ShardHandle",
    "Signature",
    "SilentLabels",
    "Snapshot",
    "Store",
    "StoredComparison",
    "StoredReproduction",
    "Tombstone",
    "Verification",
    "WeekPerformance",
    "row_columns",
    "score_columns",
]
