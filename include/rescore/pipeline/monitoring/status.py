"""How every model stands for those who read its scores."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rescore.pipeline.context import Context

__all__ = ["status_rows"]


def status_rows(ctx: Context) -> list[dict[str, Any]]:
    """What consumers see in ``scores.status``, by model; see :class:`rescore.store.ModelStatus`.

    Only rows whose pinned package was adopted have ``training``, which says that it is not reproducible.
    """
    rows = []
    for row in ctx.store.history.status():
        pinned = ctx.store.pins.current(row.model)
        note = pinned and ctx.store.packages.find(row.model, pinned.sha256).manifest.training.note
        rows.append({**asdict(row), **({"training": note} if note else {})})
    return rows
