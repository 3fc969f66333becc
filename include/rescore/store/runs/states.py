"""What the protocol's functions take of a run, as values."""

from __future__ import annotations

from typing import Any

from rescore.errors import RescoreError
from rescore.json_values import json_value
from rescore.sha256 import Sha256, bytes_sha256

__all__ = ["binding", "described"]


def binding(input_digest: str, package_sha256: str, score_digest: str, rows_scored: int) -> Sha256:
    """One digest over what made a run's scores and the scores; ``binding_of`` says it in SQL."""
    parts = ("rescore binding 1", input_digest, package_sha256, score_digest, rows_scored)
    return bytes_sha256("\n".join(str(part) for part in parts).encode())


def described(error: BaseException | str) -> dict[str, Any]:
    """An error as the store keeps it: type, message, data."""
    if isinstance(error, str):
        return {"type": "", "message": error, "data": {}}
    data = error.data if isinstance(error, RescoreError) else {}
    described: dict[str, Any] = json_value(
        {"type": type(error).__name__, "message": str(error), "data": data}
    )
    return described
