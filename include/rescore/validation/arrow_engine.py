"""Great Expectations' own questions, answered on Arrow without Great Expectations.

Its pandas engine copies a frame for every check and its import takes five seconds of processor time. What
most suites ask is answered here: the same verdict, the same positions and the same observed values, which a
test compares with Great Expectations' over generated rows. Everything that is not certain to be the same
(another type of column, an own class, a row condition, a bound that is a moment, an expectation that can't
be evaluated) is left to :mod:`rescore.validation.gx_engine`: the answer here is None.

What is asked of every row, and how many values are distinct, is answered a leaf at a time while all rows
pass by once: memory grows with the rows that fail and with the distinct values. What pandas computes of a
column of numbers as a whole (mean, median, deviation, sum, extremes) needs that column, one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from rescore.validation.arrow_base import Parameters, Unsure
from rescore.validation.arrow_columns import TABLE_JUDGES
from rescore.validation.arrow_rows import ROW_JUDGES
from rescore.validation.gx_engine import Evaluation
from rescore.validation.rows import Observer, Rows, show

__all__ = ["KINDS", "evaluate"]

_JUDGES = {**ROW_JUDGES, **TABLE_JUDGES}
#: What can be answered here.
KINDS = frozenset(_JUDGES)


def evaluate(
    rows: Rows, questions: Sequence[tuple[str, Parameters]], beside: Sequence[Observer] = ()
) -> list[Evaluation | None]:
    """Judge rows by some expectations, which see them in one pass.

    Parameters
    ----------
    rows : Rows
        A table, or the table in a frozen file.
    questions : sequence of (str, mapping)
        Great Expectations' name of each, one of its own classes without a row condition, and what it was
        given that is not its default. All columns that it names are there.
    beside : sequence of Observer
        Who looks at the same rows in the same pass.

    Returns
    -------
    list of Evaluation or None
        None where Great Expectations has to be asked.
    """
    asked = [_Asked(kind, parameters, rows.schema) for kind, parameters in questions]
    show(rows, [*beside, *asked])
    return [one.answer(rows) for one in asked]


class _Asked:
    """A question until it turns out that what Great Expectations would say is not known here."""

    def __init__(self, kind: str, parameters: Parameters, schema: pa.Schema) -> None:
        try:
            self._judge = _JUDGES[kind](schema, parameters) if kind in _JUDGES else None
        except Unsure:
            self._judge = None

    @property
    def names(self) -> Sequence[str]:
        """The columns that it looks at."""
        return self._judge.names if self._judge else ()

    def see(self, leaf: pa.RecordBatch, start: int) -> None:
        """Look at the next rows."""
        try:
            if self._judge:
                self._judge.see(leaf, start)
        except Unsure:
            self._judge = None

    def answer(self, rows: Rows) -> Evaluation | None:
        """Judge; None if it is not sure."""
        try:
            return self._judge.answer(rows) if self._judge else None
        except Unsure:
            return None
