"""An erasure ends the runs that were to score what it erases: functions alone change.

Revision ID: 0018
Revises: 0017
"""

from __future__ import annotations

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Change no table; the functions are made anew with every step."""
