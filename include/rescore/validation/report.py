"""What a validation found, as values: no Great Expectations, no pandas and no I/O here."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa

__all__ = ["ExpectationResult", "Origin", "Severity", "ValidationReport", "join_reasons"]

Severity = Literal["critical", "warning", "info"]
Origin = Literal["platform", "model"]


@dataclass(frozen=True)
class ExpectationResult:
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
    observed : Any
        JSON-serialisable; the value looked at (a mean, a count of rows), None for row-level ones.
    unexpected_count : int
        Rows that fail it; 0 for an expectation that is not about rows.
    unexpected_fraction : float
        The same as a fraction of all rows validated, 0 to 1.
    message : str
        One sentence for a person.
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
    observed: Any
    unexpected_count: int
    unexpected_fraction: float
    message: str
    origin: Origin = "model"
    parameters: dict[str, Any] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class ValidationReport:
    """What a validation found, in an order that depends on the rows and the suite alone.

    ``rows = scored + len(quarantined) + len(rejected)``; no row is in both. A row that is
    rejected (the model can't score it) is not quarantined as well.

    Attributes
    ----------
    rows : int
        Rows validated.
    success : bool
        Whether the run may go on: no critical expectation failed, and no more rows were set aside
        than declared. Exactly then :func:`rescore.validation.gate` lets it through.
    results : tuple of ExpectationResult
        The platform's own first, then the suite's, each in the order of declaration.
    quarantined, rejected : dict of int to str
        Row position (0-based, ascending) to the reason in words.
    """

    rows: int
    success: bool
    results: tuple[ExpectationResult, ...]
    quarantined: dict[int, str]
    rejected: dict[int, str]

    @classmethod
    def of(
        cls,
        rows: int,
        results: tuple[ExpectationResult, ...],
        *,
        quarantined: dict[int, str],
        rejected: dict[int, str],
        allowed_fraction: float,
    ) -> ValidationReport:
        """Judge what was found: ``allowed_fraction`` of the rows (0 to 1) may be set aside."""
        judged = cls(rows, True, results, quarantined, rejected)
        success = not judged.failed("critical") and judged.set_aside_fraction <= allowed_fraction
        return replace(judged, success=success)

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

    def failed(self, severity: Severity | None = None) -> list[ExpectationResult]:
        """The expectations that were not met, all or those of one severity."""
        return [
            result for result in self.results if not result.success and severity in (None, result.severity)
        ]

    def excluded(self, table: pa.Table, key: list[str]) -> pa.Table:
        """The rows that are not scored: their key columns, ``kind`` and ``reason``, in row order.

        Parameters
        ----------
        table : pa.Table
            The table that was validated.
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
        excluded = table.select(key).take(pa.array(positions, pa.int64()))
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
        met = f"{len(self.results) - len(self.failed())} of {len(self.results)} expectations met"
        failed = f" (failed: {', '.join(failures)})" if failures else ""
        return (
            f"{self.rows:,} rows: {self.scored:,} to score, {len(self.quarantined):,} quarantined, "
            f"{len(self.rejected):,} rejected; {met}{failed}"
        )

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-serialisable values; excluded rows as counts per reason.

        Which rows they are is :meth:`excluded`: it belongs to the table of keys, not into a report.
        """
        return {
            "rows": self.rows,
            "scored": self.scored,
            "quarantined": len(self.quarantined),
            "rejected": len(self.rejected),
            "success": self.success,
            "summary": self.summary(),
            "results": [asdict(result) for result in self.results],
            "reasons": {
                "quarantined": dict(sorted(Counter(self.quarantined.values()).items())),
                "rejected": dict(sorted(Counter(self.rejected.values()).items())),
            },
        }


def join_reasons(findings: list[tuple[np.ndarray, str]]) -> dict[int, str]:
    """Join what was found at row positions into one reason per row, by ascending position.

    Parameters
    ----------
    findings : list of (ndarray of int, str)
        Row positions, and the reason that holds for all of them.
    """
    reasons: dict[int, str] = {}
    for positions, reason in findings:
        for position in positions.tolist():
            earlier = reasons.get(position)
            reasons[position] = reason if earlier is None else f"{earlier}; {reason}"
    return dict(sorted(reasons.items()))
