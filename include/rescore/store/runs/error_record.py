"""An error as a run keeps it: a JSON-able record of its kind, message and details."""

from __future__ import annotations

from typing import Any

from rescore.errors import RescoreError
from rescore.json_values import json_value

__all__ = ["described"]


def described(error: BaseException | str) -> dict[str, Any]:
    """An error as the store keeps it: type, message, data."""
    if isinstance(error, str):
        return {"type": "", "message": error, "data": {}}
    data = error.data if isinstance(error, RescoreError) else {}
    described: dict[str, Any] = json_value(
        {"type": type(error).__name__, "message": str(error) or type(error).__name__, "data": data}
    )
    return described
