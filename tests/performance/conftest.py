"""The small model of the drift tests."""

from tests.drift.conftest import make_spec

__all__ = ["make_spec"]
