"""Rows of a frozen table that go on, by position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["without"]


def without(rows: pa.Table, positions: Sequence[int]) -> pa.Table:
    """All rows but those at ``positions`` (from 0), in their order."""
    if not positions:
        return rows
    import numpy as np
    import pyarrow as pa

    keep = np.ones(rows.num_rows, dtype=np.bool_)
    keep[list(positions)] = False
    return rows.filter(pa.array(keep))
