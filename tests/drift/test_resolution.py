"""What a package says of its own drift when it is trained."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rescore.drift import build_reference, compare, resolution_of
from rescore.spec import DriftSpec
from tests.drift.test_compare_window import IMPORTANCE, KINDS, window


def resolution(make_spec: Any, make_snapshot: Any, windows: int, **spec: Any) -> Any:
    kinds = {name: kind for name, kind in KINDS.items() if name not in {"weekday", "tail"}}
    tables = [window(np.random.default_rng([1, day]), day, 60) for day in range(windows)]
    return resolution_of(build_reference(make_snapshot(tables), make_spec(**kinds), None, IMPORTANCE))


def test_sixty_windows_say_the_range_of_their_own_rate(make_spec: Any, make_snapshot: Any) -> None:
    [all_windows] = resolution(make_spec, make_snapshot, 60)
    assert (all_windows.windows, all_windows.smallest_p) == (60, 0.0164)
    # Beta(3, 58), a little wider where the windows are worth fewer.
    assert all_windows.rate_low == pytest.approx(0.014, abs=0.003)
    assert all_windows.rate_high == pytest.approx(0.101, abs=0.01)
    assert "p is at least 0.016" in str(all_windows)


def test_few_windows_say_that_they_extrapolate_and_very_few_that_they_say_nothing(
    make_spec: Any, make_snapshot: Any
) -> None:
    [twelve] = resolution(make_spec, make_snapshot, 12)
    assert "extrapolated" in str(twelve)
    assert twelve.rate_low < 0.02 < 0.1 < twelve.rate_high
    [five] = resolution(make_spec, make_snapshot, 5)
    assert five.smallest_p is None
    assert str(five) == "5 windows: 8 are needed to tell drift; outages are found"


def resembling(windows: int, memory: float) -> list[pa.Table]:
    """Windows of features that wander, each day much like the day before."""
    random = np.random.default_rng(4)
    level, tables = np.zeros(10), []
    for _ in range(windows):
        level = memory * level + random.standard_normal(10)
        tables.append(pa.table({f"x{one}": level[one] + random.standard_normal(100) for one in range(10)}))
    return tables


@pytest.mark.parametrize(
    ("windows", "memory", "told"),
    [(12, 0.0, True), (12, 0.8, False), (30, 0.0, True), (30, 0.8, False), (60, 0.8, True)],
)
def test_windows_that_resemble_each_other_too_much_tell_nothing_and_say_how_many_would(
    make_spec: Any, make_snapshot: Any, windows: int, memory: float, told: bool
) -> None:
    """Of 12 windows with a memory of .8 every third usual one was called drifted, of 30 every tenth."""
    tables = resembling(windows + 1, memory)
    spec = make_spec(**{f"x{one}": "numeric" for one in range(10)})
    profile = build_reference(make_snapshot(tables[:-1]), spec, None, {})
    [said] = resolution_of(profile)
    assert (said.smallest_p is not None) is told
    report = compare(profile, tables[-1], None, DriftSpec())
    assert (report.p_value is not None) is told
    if not told:
        needed = re.search(r": (\d+) are needed to tell drift; outages are found", str(said))
        assert needed is not None
        assert 20 <= int(needed[1]) <= 60
        assert report.verdict == "ok"
        assert f"{needed[1]} such windows are needed to tell drift" in report.sentence
