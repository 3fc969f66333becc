"""From a source database to frozen rows: consistent, in one order, known by one moment.

``extract`` freezes one interval, ``snapshot`` the rows to train on, ``labels`` what became of them.
Each opens one read-only transaction and leaves either a whole file or nothing. What follows reads the
frozen rows through ``read_frozen``, never the source again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rescore.lazy_names import lazy_names

if TYPE_CHECKING:
    from rescore.source.compared_rows import Difference
    from rescore.source.extraction import FrozenInput, extract, probe
    from rescore.source.freeze import Freezer
    from rescore.source.frozen_table import (
        FrozenTable,
        KeptColumns,
        frozen_columns,
        frozen_leaves,
        read_frozen,
    )
    from rescore.source.hour_columns import HoursApart, hours_apart
    from rescore.source.inspection import ColumnFacts, TableFacts, inspect_table, is_unique
    from rescore.source.labelling import labels
    from rescore.source.late_commits import LateCommits, known_later
    from rescore.source.late_values import late_columns
    from rescore.source.leakage import Leak, last_event, read_past_filter, turned_round
    from rescore.source.named_tables import tables_read
    from rescore.source.query import Rendered, quote_identifier, render, tables_of
    from rescore.source.readiness import is_ready
    from rescore.source.row_selection import without
    from rescore.source.rows_to_come import OpenRows, open_rows
    from rescore.source.server import describe_server
    from rescore.source.training_snapshot import IntervalRows, TrainingSnapshot, snapshot
    from rescore.source.untimed import UntimedRows, count_untimed

__all__ = [
    "ColumnFacts",
    "Difference",
    "Freezer",
    "FrozenInput",
    "FrozenTable",
    "HoursApart",
    "IntervalRows",
    "KeptColumns",
    "LateCommits",
    "Leak",
    "OpenRows",
    "Rendered",
    "TableFacts",
    "TrainingSnapshot",
    "UntimedRows",
    "count_untimed",
    "describe_server",
    "extract",
    "frozen_columns",
    "frozen_leaves",
    "hours_apart",
    "inspect_table",
    "is_ready",
    "is_unique",
    "known_later",
    "labels",
    "last_event",
    "late_columns",
    "open_rows",
    "probe",
    "quote_identifier",
    "read_frozen",
    "read_past_filter",
    "render",
    "snapshot",
    "tables_of",
    "tables_read",
    "turned_round",
    "without",
]

if not TYPE_CHECKING:  # or each name that is misspelt would be one for it
    __getattr__ = lazy_names(__name__, __file__)
