"""Rescore: batch scoring in which every score stands up to being scored again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rescore.notebook import Model

__all__ = ["Model"]


def __getattr__(name: str) -> Any:
    # On first use: an import of any module of ours runs this file, and a notebook's needs are heavy.
    if name == "Model":
        from rescore.notebook import Model

        return Model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
