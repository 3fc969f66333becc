"""Pins compare logins where a model declares four eyes: a function of the protocol, made after the last step.

Revision ID: 0021
Revises: 0020
"""

from __future__ import annotations

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade(store_schema: str, consumer_schema: str) -> None:
    """Change no table."""
