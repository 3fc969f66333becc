"""What a verification found, and how much it looked at: values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from rescore.store.audit.head import ChainHead

__all__ = ["Finding", "Verification"]


@dataclass(frozen=True)
class Finding:
    """One thing that is not as the chain, a head or a digest says.

    Attributes
    ----------
    what : str
        What is wrong, in one sentence.
    where : str
        The entry, row, run or file.
    expected, got : str or None
        What was recorded, and what is there now.
    """

    what: str
    where: str
    expected: str | None = None
    got: str | None = None

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}"]
        lines += [f"  expected: {self.expected}"] if self.expected is not None else []
        lines += [f"  got:      {self.got}"] if self.got is not None else []
        return "\n".join(lines)


@dataclass(frozen=True)
class Verification:
    """What was compared, and what differs.

    Attributes
    ----------
    head : ChainHead or None
        The chain's last entry; None if nothing has happened yet.
    looked_at : dict of str to int
        How many entries, rows, runs, scores or files were compared.
    findings : tuple of Finding
        Empty where all is as it was recorded.
    """

    head: ChainHead | None
    looked_at: dict[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    def __add__(self, other: Verification) -> Verification:
        return Verification(self.head, self.looked_at | other.looked_at, (*self.findings, *other.findings))

    def to_dict(self) -> dict[str, Any]:
        """For a script."""
        return {
            "head": None if self.head is None else str(self.head),
            "looked_at": self.looked_at,
            "findings": [asdict(finding) for finding in self.findings],
        }
