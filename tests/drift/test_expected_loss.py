"""What a regression's error should be before labels are known, and how often it comes true."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from rescore.drift import build_reference, compare
from rescore.drift.expected_loss import CodedFeature, ExpectedLoss
from rescore.drift.reference import Reference
from rescore.spec import DriftSpec, ModelSpec

WINDOWS, ROWS = 30, 400


def window(
    random: np.random.Generator, *, shift: float = 0.0, south: float = 0.3
) -> tuple[pa.Table, np.ndarray]:
    """Rows and their scores: errors grow with ``x``, and are twice as large in the south."""
    x = random.standard_normal(ROWS) + shift
    where = np.where(random.random(ROWS) < south, "south", "north")
    score = 2 * random.standard_normal(ROWS)
    spread = np.exp(0.4 * x) * np.where(where == "south", 2.0, 1.0)
    truth = score + spread * random.standard_normal(ROWS)
    return pa.table({"x": x, "where": where, "y": truth}), score


@pytest.fixture(scope="module")
def training() -> tuple[list[pa.Table], np.ndarray]:
    random = np.random.default_rng(5)
    made = [window(random) for _ in range(WINDOWS)]
    return [table for table, _ in made], np.concatenate([scores for _, scores in made])


@pytest.fixture
def profile(
    training: tuple[list[pa.Table], np.ndarray],
    make_spec: Callable[..., ModelSpec],
    make_snapshot: Callable[[list[pa.Table]], pa.Table],
) -> bytes:
    spec = make_spec(x="numeric", where="categorical", target="regression")
    return build_reference(make_snapshot(training[0]), spec, training[1], {"x": 1.0, "where": 1.0})


@pytest.mark.parametrize(("shift", "south"), [(0.0, 0.3), (1.0, 0.3), (0.0, 0.8)])
def test_the_band_holds_what_comes_true_where_training_s_error_does_not(
    profile: bytes, seed: int, shift: float, south: float
) -> None:
    random = np.random.default_rng([5, seed])
    held = before = 0
    trained = compare(profile, *window(np.random.default_rng(6)), DriftSpec()).estimated["rmse"]
    for _ in range(100):
        live, scores = window(random, shift=shift, south=south)
        expected = compare(profile, live, scores, DriftSpec()).estimated["rmse"]
        realised = float(np.sqrt(((live["y"].to_numpy() - scores) ** 2).mean()))
        held += expected.low <= realised <= expected.high
        before += trained.low <= realised <= trained.high
    assert held >= 90
    assert before <= 40 or (shift, south) == (0.0, 0.3)


def test_it_is_kept_in_the_profile_and_read_again(profile: bytes) -> None:
    read = Reference.from_bytes(profile)
    assert read.expected_loss is not None
    assert read.to_bytes() == profile
    assert set(read.expected_loss.terms) == {"x", "where", "score"}


def test_before_scoring_nothing_is_expected(profile: bytes) -> None:
    live, _ = window(np.random.default_rng(7))
    assert compare(profile, live, None, DriftSpec()).estimated == {}


def test_features_that_say_nothing_of_errors_leave_training_s_own() -> None:
    """Cells' means would only add chance: the mean of all estimates other windows better."""
    random = np.random.default_rng(8)
    rows = 40 * 50
    feature = CodedFeature("x", random.integers(0, 10, rows), np.full(10, np.nan))
    found = ExpectedLoss.fit([feature], random.standard_normal(rows) ** 2, np.arange(41) * 50)
    assert found is not None
    one = found.estimate({"x": np.array([50, 0, 0, 0, 0, 0, 0, 0, 0, 0])})["rmse"]
    other = found.estimate({"x": np.array([0, 50, 0, 0, 0, 0, 0, 0, 0, 0])})["rmse"]
    assert one.value == pytest.approx(other.value, rel=0.05)
    assert one.value == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("windows", [19, 25])
def test_few_windows_with_labels_promise_nothing(windows: int) -> None:
    random = np.random.default_rng(9)
    squares = random.standard_normal(windows * 50) ** 2
    squares[: 50 * (windows - 19)] = np.nan
    feature = CodedFeature("x", np.zeros(squares.size, dtype=np.int64), np.full(1, np.nan))
    assert ExpectedLoss.fit([feature], squares, np.arange(windows + 1) * 50) is None
