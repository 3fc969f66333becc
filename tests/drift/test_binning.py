"""Every row is counted once, in the cell it belongs to, whatever the column looks like."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rescore.drift import binning as module
from rescore.drift.binning import LevelCells, OrderedCells, ordered_values

anything = hnp.arrays(np.float64, st.integers(0, 300), elements=st.floats(width=64))


@given(training=anything, live=anything)
def test_ordered_counts_equal_a_plain_count(training: np.ndarray, live: np.ndarray) -> None:
    cells = OrderedCells.fit(training, min_rows=10)
    assert (np.diff(cells.edges) > 0).all()
    there = live[~np.isnan(live)]
    expected = np.bincount(np.searchsorted(cells.edges, there, side="left"), minlength=cells.edges.size + 1)
    tally = cells.tally([live])
    assert tally.counts.tolist() == [*expected.tolist(), live.size - there.size]
    assert tally.constant == (np.unique(there).size == 1)
    assert (
        json.loads(json.dumps(cells.to_dict(), allow_nan=False))
        == OrderedCells.from_dict(cells.to_dict()).to_dict()
    )


def test_blocks_add_up(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=5000)
    values[::97], values[5], values[4000] = np.nan, np.inf, -np.inf
    cells = OrderedCells.fit(values, min_rows=10)
    whole = cells.tally([values])
    monkeypatch.setattr(module, "BLOCK_ROWS", 64)
    parts = cells.tally(np.array_split(values, 7))
    assert (parts.counts == whole.counts).all()
    assert parts.infinite == whole.infinite == 2
    assert (parts.low_mean, parts.high_mean) == (whole.low_mean, whole.high_mean)  # to the last bit


def test_a_value_that_holds_much_of_the_mass_has_a_cell_of_its_own(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = np.where(generator.random(10_000) < 0.7, 0.0, generator.exponential(size=10_000))
    cells = OrderedCells.fit(values, min_rows=10)
    tally = cells.tally([values])
    assert (values == 0).sum() in tally.counts
    # PSI's groups never mix it with others: from many zeros to none must be plain.
    by_group = np.bincount(cells.groups, weights=tally.counts[:-1])
    assert by_group.max() == (values == 0).sum()


def test_no_edge_is_the_value_of_fewer_rows_than_allowed(seed: int) -> None:
    usual = np.random.default_rng(seed).normal(size=500)
    one, other = (OrderedCells.fit(np.r_[usual, out, -out], min_rows=10) for out in (9.0, 1e9))
    assert one.edges.tolist() == other.edges.tolist()
    # Means are of ten rows or more.
    counts = other.tally([np.r_[usual, 1e9, -1e9]]).counts[:-1]
    assert np.isnan(other.means[counts < 10]).all()


def test_places_are_normal_scores_and_go_on_beyond_training(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.normal(50, 10, 20_000)
    cells = OrderedCells.fit(values, min_rows=10)
    assert (np.diff(cells.places) >= 0).all()

    def place(of: np.ndarray) -> float:
        counts = cells.tally([of]).counts[:-1]
        return float(counts @ cells.places / counts.sum())

    assert place(values) == pytest.approx(0.0, abs=1e-3)
    assert place(values + 2.5) == pytest.approx(0.25, abs=0.02)
    assert place(values + 60) == pytest.approx(6, abs=0.7)
    assert place(values - 150) == pytest.approx(-15, abs=4)


def test_heavy_tails_and_stray_rows_leave_the_places_of_the_rest(seed: int) -> None:
    generator = np.random.default_rng(seed)
    for values in (generator.pareto(1.1, 20_000), np.r_[generator.normal(size=20_000), 1e12, -1e12]):
        cells = OrderedCells.fit(values, min_rows=10)
        counts = cells.tally([values]).counts[:-1]
        variance = counts @ cells.places**2 / counts.sum()
        assert 0.95 < variance < 1.3


def windows_of(*levels: list[str | None]) -> tuple[pa.ChunkedArray, np.ndarray]:
    column = pa.chunked_array([[value for window in levels for value in window]], pa.string())
    return column, np.cumsum([0, *(len(window) for window in levels)])


def test_levels_of_few_rows_are_pooled_and_their_names_forgotten() -> None:
    column, starts = windows_of(["a"] * 60 + ["b"] * 12 + ["secret"] * 3, ["a"] * 60 + ["b"] * 12 + [None])
    cells, tallies = LevelCells.fit_windows(column, starts, min_rows=10)
    assert cells.levels == ("a", "b")
    assert "secret" not in json.dumps(cells.to_dict())
    assert tallies[0].counts.tolist() == [60, 12, 0, 3, 0]
    assert tallies[1].counts.tolist() == [60, 12, 0, 0, 1]


def test_a_rare_level_of_one_window_is_as_unseen_there_as_it_would_be_live() -> None:
    column, starts = windows_of(["a"] * 100, ["a"] * 100 + ["new"] * 11, ["a"] * 100)
    cells, tallies = LevelCells.fit_windows(column, starts, min_rows=10)
    assert cells.rare == ("new",)
    assert tallies[1].counts.tolist() == [100, 11, 0, 0]
    assert [tally.moved for tally in tallies] == [0, 11, 0]
    live = cells.tally([pa.array(["new", "a", "never", None])])
    assert live.counts.tolist() == [1, 1, 1, 1]
    assert live.unseen == ("never",)


@pytest.mark.parametrize("chunks", [[], [["a"], ["b", None, "a"]], [[None]]])
def test_level_counts_do_not_depend_on_how_arrow_holds_them(chunks: list[list[str | None]]) -> None:
    column, starts = windows_of(["a"] * 30 + ["b"] * 30)
    cells, _ = LevelCells.fit_windows(column, starts, min_rows=10)
    plain = pa.chunked_array(chunks, pa.string())
    for held in (plain, plain.cast(pa.large_string()), plain.dictionary_encode()):
        flat = [value for chunk in chunks for value in chunk]
        expected = [flat.count("a"), flat.count("b"), 0, 0, flat.count(None)]
        assert cells.tally(held.chunks).counts.tolist() == expected


def test_moments_become_ages_at_the_event_also_before_1970() -> None:
    events = pa.chunked_array([pa.array([0, 86_400_000_000], pa.timestamp("us", tz="UTC"))])
    born = pa.chunked_array([pa.array([-3650, None], pa.date32())])
    ages = ordered_values(born, "datetime", module.moments(events))
    assert ages[0] == 3650
    assert np.isnan(ages[1])


def test_text_counts_by_its_length_in_characters() -> None:
    lengths = ordered_values(pa.chunked_array([["", "naïve", None]]), "text")
    assert lengths.tolist()[:2] == [0, 5]
    assert np.isnan(lengths[2])
