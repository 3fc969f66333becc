"""Partitions are made ahead and dropped whole: a function of the protocol, which every migration brings.

Revision ID: 0027
Revises: 0026
"""

from __future__ import annotations

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Change no table."""
