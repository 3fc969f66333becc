"""A package that is pinned back keeps its training rows: only functions change, which come after all steps.

Revision ID: 0016
Revises: 0015
"""

from __future__ import annotations

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Change no table."""
