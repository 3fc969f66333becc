"""What one check says, as a value."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

__all__ = ["CheckResult", "Status"]

Status = Literal["ok", "warning", "skipped", "failed"]


@dataclass(frozen=True)
class CheckResult:
    """One check: what it saw, and what to do if it is not ok."""

    name: str
    status: Status
    what: str
    fix: str = ""

    def to_dict(self) -> dict[str, str]:
        """As JSON-serialisable values."""
        return asdict(self)
