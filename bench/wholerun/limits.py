"""What must not be lost: ratios of one run, never seconds. Checked by ``bench/whole_run.py --quick``."""

from __future__ import annotations

from collections.abc import Sequence

from wholerun.measured import Measured

#: Rows of the two days that are compared; what a run costs whatever its rows drops out of the difference.
QUICK_ROWS = (40_000, 300_000)
#: At most so many processor seconds of ours and Postgres' for each of the floor, per row. 2.0 to 2.5 was
#: measured while other work had most of both processors.
PER_ROW = 3.2
#: The peak of the larger day, at most so many times that of the smaller. No stage holds a table: what grows
#: are the leaves under way, until there are as many as the queues take. 1.13 was measured.
MEMORY = 1.5


def lost(measured: Sequence[Measured]) -> list[str]:
    """The ratios that are worse than they may be, in words; prints them all."""
    small, large = ({m.way: m for m in measured if m.case.rows == rows} for rows in QUICK_ROWS)
    slope = {way: large[way].processor - small[way].processor for way in ("ours", "floor")}
    per_row = slope["ours"] / slope["floor"]
    memory = large["ours"].all.peak / small["ours"].all.peak
    days = f"{QUICK_ROWS[1]:,} / {QUICK_ROWS[0]:,} rows"
    print(f"processor seconds per row, ours / floor: {per_row:.2f} (at most {PER_ROW})")
    print(f"peak of our memory, {days}: {memory:.2f} (at most {MEMORY})")
    found = []
    if per_row > PER_ROW:
        found.append(f"a row costs {per_row:.2f} x the floor, at most {PER_ROW} is allowed")
    if memory > MEMORY:
        found.append(f"memory grew {memory:.2f} x with the rows, at most {MEMORY} is allowed")
    return found
