"""When scores that are derived again count as reproduced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

__all__ = ["Verdict", "judge"]

Verdict = Literal["identical", "equal_within_ulp", "differs", "not_rederivable"]

#: On another numeric environment scores may differ by so many ULP (a part in 10**13), or by 16 times
#: what the package's golden rows differ there, if that is more; beyond, the environment is no excuse.
LARGEST_ULPS = 1_024


def judge(distance: int | None, environment: Mapping[str, Any], golden_ulps: int) -> tuple[Verdict, str]:
    """The verdict on scores that are ``distance`` ULP apart, and the reason."""
    if distance == 0:
        return "identical", ""
    if not environment or distance is None:
        return "differs", ""
    names = ", ".join(sorted(environment))
    allowed = max(LARGEST_ULPS, 16 * golden_ulps)
    if distance <= allowed:
        return "equal_within_ulp", f"equal within {distance:,} ULP on another numeric environment ({names})"
    return (
        "differs",
        f"scores differ by up to {distance:,} ULP, more than another numeric environment ({names}) "
        f"explains: its golden rows differ by up to {golden_ulps:,}, and at most {allowed:,} are let pass",
    )
