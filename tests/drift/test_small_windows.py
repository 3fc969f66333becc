"""Windows of few rows: they are no outage by chance, and they excuse none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from rescore.drift import DriftReport, build_reference, compare
from rescore.spec import DriftSpec, ModelSpec

Spec = Callable[..., ModelSpec]
Snapshot = Callable[[list[pa.Table]], pa.Table]
Report = Callable[..., DriftReport]

ROWS = 500


@pytest.fixture
def days(seed: int) -> Callable[..., pa.Table]:
    """Rows of a day: ``gap`` of them without a distance, ``free`` of them with an amount of 0."""
    random = np.random.default_rng(seed)

    def rows(number: int, *, gap: float = 0.3, free: float = 0.9) -> pa.Table:
        distance = pa.array(random.normal(size=number), mask=random.random(number) < gap)
        amount = np.where(random.random(number) < free, 0.0, random.exponential(9.0, number))
        return pa.table({"distance": distance, "amount": amount})

    return rows


@pytest.fixture
def judged(days: Callable[..., pa.Table], make_spec: Spec, make_snapshot: Snapshot) -> Report:
    """The report of a window, with scores of a spread of .12 but where others are given."""

    def scores(rows: pa.Table) -> np.ndarray:
        return np.random.default_rng(rows.num_rows).normal(0.5, 0.12, rows.num_rows)

    def report(
        live: pa.Table, own: np.ndarray | None = None, *, small: tuple[pa.Table, ...] = ()
    ) -> DriftReport:
        windows = [*(days(ROWS) for _ in range(30)), *small]
        snapshot = make_snapshot(windows)
        known = np.concatenate([scores(one) for one in windows])
        truth = np.random.default_rng(1).random(snapshot.num_rows) < known
        spec = make_spec(distance="numeric", amount="numeric")
        profile = build_reference(snapshot.append_column("y", pa.array(truth)), spec, known, {})
        return compare(profile, live, scores(live) if own is None else own, DriftSpec())

    return report


def test_one_scored_row_is_no_collapse_and_one_in_training_hides_none(
    days: Callable[..., pa.Table], judged: Report
) -> None:
    for rows in (1, 3, 9):
        assert "score" not in judged(days(rows), np.full(rows, 0.37)).outages
    stuck = np.full(ROWS, 0.37)
    assert judged(days(ROWS), stuck).outages == ("score",)
    assert judged(days(ROWS), stuck, small=(days(1), days(2))).outages == ("score",)


def test_a_gap_that_a_few_rows_have_by_chance_is_no_outage(
    days: Callable[..., pa.Table], judged: Report
) -> None:
    assert not judged(days(1, gap=1.0)).outages
    assert not judged(days(4, gap=1.0)).outages
    assert judged(days(ROWS, gap=1.0)).outages == ("distance",)
    # Two windows of a row each that lack it tell nothing of windows of 500.
    assert judged(days(ROWS, gap=1.0), small=(days(1, gap=1.0), days(1, gap=1.0))).outages == ("distance",)


def test_what_no_row_of_training_lacked_may_lack_in_a_few_rows(
    days: Callable[..., pa.Table], judged: Report
) -> None:
    live = days(3)
    amount = live.schema.get_field_index("amount")
    assert judged(live.set_column(amount, "amount", pa.nulls(3, pa.float64()))).outages == ("amount",)


def test_ten_rows_alike_are_no_stuck_column_where_most_are_alike(
    days: Callable[..., pa.Table], judged: Report
) -> None:
    assert not judged(days(10, free=1.0)).outages
    assert judged(days(ROWS, free=1.0)).outages == ("amount",)


def test_copies_of_training_windows_keep_what_evidence_needs(
    seed: int, make_spec: Spec, make_snapshot: Snapshot
) -> None:
    random = np.random.default_rng(seed)

    def day() -> pa.Table:
        return pa.table({"kind": random.choice(["a", "b", "c"], 5)})

    profile = build_reference(
        make_snapshot([day() for _ in range(60)]), make_spec(kind="categorical"), None, {}
    )
    reports = [compare(profile, day(), None, DriftSpec()) for _ in range(20)]
    copies = [one for one in reports if any("distributed as in training" in note for note in one.notes)]
    assert len(copies) >= 10  # of so few rows and levels nearly all are
    assert {(one.verdict, one.p_value) for one in copies} == {("ok", 1.0)}
    assert all(one.statistic is not None and len(one.reference_statistics) == 60 for one in reports)
