"""What the protocol's functions refuse, as errors of the tree: the only place that knows their SQLSTATEs.

A function raises a state of the class ``RS`` (``schema/protocol/refusals.sql``), with the message as it is,
the fix as HINT, and ``where``, ``expected``, ``examples`` and ``data`` as JSON in DETAIL.
"""

from __future__ import annotations

import json
from typing import Any

from rescore.errors import (
    DigestMismatchError,
    EnvironmentMismatchError,
    FourEyesError,
    HeldError,
    KeptError,
    NotFoundError,
    OutageError,
    OverlapError,
    RescoreError,
    RowAccountingError,
    StaleFenceError,
    StoreError,
)

__all__ = ["REFUSALS", "refusal"]

REFUSALS: dict[str, type[RescoreError]] = {
    "RS000": StoreError,
    "RS001": StaleFenceError,
    "RS002": OverlapError,
    "RS004": NotFoundError,
    "RS005": HeldError,
    "RS006": OutageError,
    "RS007": RowAccountingError,
    "RS008": DigestMismatchError,
    "RS009": KeptError,
    "RS010": EnvironmentMismatchError,
    "RS011": FourEyesError,
}


def refusal(error: BaseException) -> RescoreError | None:
    """The error that a function of the protocol raised; None if the database says something else."""
    kind = REFUSALS.get(getattr(error, "pgcode", None) or "")
    if kind is None:
        return None
    said: Any = error.diag  # type: ignore[attr-defined]
    return kind(said.message_primary, fix=said.message_hint or None, **json.loads(said.message_detail))
