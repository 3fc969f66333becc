"""What a task hands to Airflow: values of JSON's own types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["plain_values"]


def plain_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values as a dict of JSON's types.

    Airflow sends asset events between processes by a format that refuses a subclass of str, such as a digest.
    """
    plain: dict[str, Any] = json.loads(json.dumps(dict(values), default=str))
    return plain
