"""Rescore's own icon, for Airflow's navigation and the page: a score, and the same score again."""

from __future__ import annotations

__all__ = ["ICON", "icon_address"]

_SHAPE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="{colour}"'
    ' stroke-width="2"'
    ' stroke-linecap="round" stroke-linejoin="round"><path d="M20 12a8 8 0 1 1-2.6-5.9"/>'
    '<path d="M20.5 3v4.2h-4.2"/><path d="M8.2 12.3l2.7 2.7 5-5.4"/></svg>'
)

#: On light and on dark.
ICON, _DARK = _SHAPE.format(colour="#0b57d0"), _SHAPE.format(colour="#8ab4f8")


def icon_address(*, dark: bool = False) -> str:
    """The icon as a ``data:`` address, so that nothing has to serve it."""
    from urllib.parse import quote

    return f"data:image/svg+xml,{quote(_DARK if dark else ICON)}"
