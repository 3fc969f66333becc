"""An estimate says plainly when it is of rows that training hardly saw."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from rescore.drift import DriftReport, build_reference, compare
from rescore.spec import DriftSpec, ModelSpec


@pytest.fixture
def moved(
    seed: int, make_spec: Callable[..., ModelSpec], make_snapshot: Callable[[list[pa.Table]], pa.Table]
) -> Callable[..., DriftReport]:
    """The report of a window whose features moved by so many standard deviations."""
    random = np.random.default_rng(seed)

    def window(**by: float) -> pa.Table:
        return pa.table(
            {name: random.standard_normal(500) + by.get(name, 0.0) for name in ("x", "z", "idle")}
        )

    def scores(rows: pa.Table) -> np.ndarray:
        return 1 / (1 + np.exp(-rows["x"].to_numpy() - rows["z"].to_numpy()))

    snapshot = make_snapshot([window() for _ in range(30)])
    truth = random.random(snapshot.num_rows) < scores(snapshot)
    snapshot = snapshot.append_column("y", pa.array(truth))
    spec = make_spec(x="numeric", z="numeric", idle="numeric")
    profile = build_reference(snapshot, spec, scores(snapshot), {"x": 1.0, "z": 1.0, "idle": 0.0})

    def report(*, scored: bool = True, **by: float) -> DriftReport:
        live = window(**by)
        return compare(profile, live, scores(live) if scored else None, DriftSpec())

    return report


def test_what_training_hardly_saw_is_outside(moved: Callable[..., DriftReport]) -> None:
    usual, little, far, both = moved(), moved(x=0.7), moved(x=2.0), moved(x=1.0, z=1.0)
    assert [one.outside for one in (usual, little, far, both)] == [False, False, True, True]
    reaches = [one.reach for one in (usual, little, both, far)]
    assert all(reach is not None for reach in reaches)
    assert reaches == sorted(reaches, reverse=True)
    assert far.notes[-1].startswith("the estimate is outside of what training saw, and its band may miss")
    assert not any("outside of what" in note for note in (*usual.notes, *little.notes))
    assert DriftReport.from_dict(far.to_dict()) == far


def test_a_feature_that_the_model_does_not_use_and_a_window_without_scores_say_nothing(
    moved: Callable[..., DriftReport],
) -> None:
    assert not moved(idle=3.0).outside
    assert not any("estimate" in note for note in moved(x=2.0, scored=False).notes)


@pytest.fixture
def many(
    seed: int, make_spec: Callable[..., ModelSpec], make_snapshot: Callable[[list[pa.Table]], pa.Table]
) -> Callable[..., float | None]:
    """The reach for a window of a model of many features, the first ``copies`` of which say the same."""

    def reach(number: int, *, copies: int = 0, by: float = 0.0, rows: int = 100) -> float | None:
        random = np.random.default_rng(seed)

        def window(by: float = 0.0) -> pa.Table:
            values = random.standard_normal((number, rows))
            values[:copies] = values[0] + by
            return pa.table({f"x{place}": column for place, column in enumerate(values)})

        names = [f"x{place}" for place in range(number)]
        spec = make_spec(**dict.fromkeys(names, "numeric"))
        profile = build_reference(
            make_snapshot([window() for _ in range(40)]), spec, None, dict.fromkeys(names, 1.0)
        )
        return compare(profile, window(by), None, DriftSpec()).reach

    return reach


def test_many_features_that_did_not_move_are_not_outside(many: Callable[..., float | None]) -> None:
    assert (many(150) or 0) > 0.6


def test_features_that_say_the_same_are_counted_once(many: Callable[..., float | None]) -> None:
    # Ten copies by .4: exp(-.16) = .85, as of one; of ten independent ones it were .20.
    assert 0.7 < (many(12, copies=10, by=0.4, rows=1_000) or 0) < 0.95
