"""What a validation found, as values: no Great Expectations, no pandas and no I/O here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from rescore.document import Document, Part
from rescore.shown_text import number_of
from rescore.validation.rows import Rows

__all__ = [
    "ExcludedReasons",
    "ExpectationResult",
    "Origin",
    "Severity",
    "Validation",
    "ValidationReport",
    "join_reasons",
]

Severity = Literal["critical", "warning", "info"]
Origin = Literal["platform", "model"]


class ExpectationResult(Part):
    """What became of one expectation.

    Attributes
    ----------
    type : str
        Great Expectations' name of it, like ``expect_column_values_to_be_between``.
    column : str or None
        The column, or the columns joined by ``", "``; None for the table as a whole.
    severity : {"critical", "warning", "info"}
        What a failure does: block the run, quarantine the rows, nothing. An expectation that
        could not be evaluated is ``critical`` whatever its author declared.
    success : bool
        Whether it was met.
    message : str
        One sentence for a person.
    observed : Any
        JSON-serialisable; the value looked at (a mean, a count of rows), None for row-level ones.
    unexpected_count : int
        Rows that fail it; 0 for an expectation that is not about rows.
    unexpected_fraction : float
        The same as a fraction of all rows validated, 0 to 1.
    origin : {"platform", "model"}
        Built in, or from the model's ``expectations.py``.
    parameters : dict
        JSON-serialisable; what it was called with (``min_value``, ``mostly``, …).
    error : str or None
        Why it could not be evaluated.
    """

    type: str
    column: str | None
    severity: Severity
    success: bool
    message: str
    observed: Any = None
    unexpected_count: int = 0
    unexpected_fraction: float = 0.0
    origin: Origin = "model"
    parameters: dict[str, Any] = Field(default_factory=dict)
    error: str | None = None


class ExcludedReasons(Part):
    """How many rows were set aside for which reason."""

    quarantined: dict[str, int] = Field(default_factory=dict)
    rejected: dict[str, int] = Field(default_factory=dict)

    def most_first(self) -> list[str]:
        """A line for each reason, the one of most rows first."""
        counts = {**self.quarantined, **self.rejected}
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return [f"{number_of(count, 'row')}: {reason}" for reason, count in ordered]


class ValidationReport(Document):
    """What is stored of a validation; which rows were set aside stands in the table of keys, not here.

    Attributes
    ----------
    rows, scored, quarantined, rejected : int
        Rows validated, and what became of them: ``rows = scored + quarantined + rejected``.
    success : bool
        Whether the run may go on.
    summary : str
        One sentence.
    results : tuple of ExpectationResult
        The platform's own first, then the suite's, each in the order of declaration.
    reasons : ExcludedReasons
        Counts of rows set aside.
    """

    rows: int
    scored: int
    quarantined: int
    rejected: int
    success: bool
    summary: str
    results: tuple[ExpectationResult, ...]
    reasons: ExcludedReasons = ExcludedReasons()


@dataclass(frozen=True)
class Validation:
    """The judgement of one interval's rows; it depends on the rows and the suite alone.

    ``rows = scored + len(quarantined) + len(rejected)``; no row is in both. A row that is
    rejected (the model can't score it) is not quarantined as well.

    Attributes
    ----------
    rows : int
        Rows validated.
    results : tuple of ExpectationResult
        The platform's own first, then the suite's, each in the order of declaration.
    quarantined, rejected : dict of int to str
        Row position (0-based, ascending) to the reason in words.
    allowed_fraction : float
        Fraction of the rows, 0 to 1, that may be set aside.
    """

    rows: int
    results: tuple[ExpectationResult, ...]
    quarantined: dict[int, str]
    rejected: dict[int, str]
    allowed_fraction: float

    @property
    def success(self) -> bool:
        """Whether the run may go on: no critical expectation failed, and not too many rows are set aside.

        Exactly then :func:`rescore.validation.gate` lets it through.
        """
        return not self.failed("critical") and self.set_aside_fraction <= self.allowed_fraction

    @property
    def scored(self) -> int:
        """Rows that go on to the model."""
        return self.rows - len(self.quarantined) - len(self.rejected)

    @property
    def set_aside_fraction(self) -> float:
        """Rows quarantined or rejected as a fraction of all, 0 to 1; 0 when there are none."""
        return (self.rows - self.scored) / self.rows if self.rows else 0.0

    @property
    def excluded_positions(self) -> list[int]:
        """Positions of the rows that are not scored, ascending."""
        return sorted([*self.quarantined, *self.rejected])

    def noting(self, results: Sequence[ExpectationResult]) -> Validation:
        """The same judgement with results about the source in front, which no frozen row shows."""
        return replace(self, results=(*results, *self.results))

    def failed(self, severity: Severity | None = None) -> list[ExpectationResult]:
        """The expectations that were not met, all or those of one severity."""
        return [
            result for result in self.results if not result.success and severity in (None, result.severity)
        ]

    def excluded(self, rows: Rows, key: list[str]) -> pa.Table:
        """The rows that are not scored: their key columns, ``kind`` and ``reason``, in row order.

        Parameters
        ----------
        rows : Rows
            Those that were validated.
        key : list of str
            Its key columns.

        Returns
        -------
        pa.Table
            ``kind`` is ``quarantined`` or ``rejected``.
        """
        positions = self.excluded_positions
        kinds = ["rejected" if position in self.rejected else "quarantined" for position in positions]
        reasons = [self.rejected.get(position) or self.quarantined[position] for position in positions]
        excluded = rows.select(key).take(pa.array(positions, pa.int64()))
        return excluded.append_column("kind", pa.array(kinds, pa.string())).append_column(
            "reason", pa.array(reasons, pa.string())
        )

    def summary(self) -> str:
        """One sentence: rows, what became of them, and how many expectations failed."""
        failures = [
            f"{count} {severity}"
            for severity in ("critical", "warning", "info")
            if (count := len(self.failed(severity)))
        ]
        met = f"{len(self.results) - len(self.failed())} of {number_of(len(self.results), 'expectation')} met"
        failed = f" (failed: {', '.join(failures)})" if failures else ""
        return (
            f"{number_of(self.rows, 'row')}: {self.scored:,} to score, {len(self.quarantined):,} "
            f"quarantined, {len(self.rejected):,} rejected; {met}{failed}"
        )

    def report(self) -> ValidationReport:
        """What is stored of it."""
        return ValidationReport(
            rows=self.rows,
            scored=self.scored,
            quarantined=len(self.quarantined),
            rejected=len(self.rejected),
            success=self.success,
            summary=self.summary(),
            results=self.results,
            reasons=ExcludedReasons(
                quarantined=dict(sorted(Counter(self.quarantined.values()).items())),
                rejected=dict(sorted(Counter(self.rejected.values()).items())),
            ),
        )


def join_reasons(reasons_at: Sequence[tuple[np.ndarray, str]]) -> dict[int, str]:
    """Join the reasons at row positions into one per row, by ascending position.

    Parameters
    ----------
    reasons_at : sequence of (ndarray of int64, str)
        Row positions, shape ``(n_rows,)``, and the reason that holds for all of them.
    """
    reasons: dict[int, str] = {}
    for positions, reason in reasons_at:
        for position in positions.tolist():
            earlier = reasons.get(position)
            reasons[position] = reason if earlier is None else f"{earlier}; {reason}"
    return dict(sorted(reasons.items()))
