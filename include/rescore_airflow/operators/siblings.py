"""The tasks that belong together, in a DAG of ours or in a group of somebody else's."""

from __future__ import annotations

__all__ = ["sibling"]


def sibling(task_id: str, name: str) -> str:
    """The id of the task ``name`` in the same group as the task of id ``task_id``."""
    group, dot, _ = task_id.rpartition(".")
    return f"{group}{dot}{name}"
