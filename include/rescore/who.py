"""Who does something, where no person is asked: the system's user, or the schedule."""

from __future__ import annotations

import getpass
import os

__all__ = ["SCHEDULE", "system_user"]

#: Who trains where no person does.
SCHEDULE = "schedule"


def system_user() -> str:
    """The system's user, who may have a number only."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
