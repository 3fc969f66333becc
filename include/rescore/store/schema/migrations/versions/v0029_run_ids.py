"""Ids of new runs begin with their moment: a function of the protocol, made after the last step.

Revision ID: 0029
Revises: 0028
"""

from __future__ import annotations

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Change no table: runs keep the ids that they have."""
