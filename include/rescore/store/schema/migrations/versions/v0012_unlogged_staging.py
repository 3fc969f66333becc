"""Rows are staged outside of the server's log: only functions change, which come after all steps.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Change no table."""
