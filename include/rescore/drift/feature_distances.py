"""One feature of one window, measured: its counts, its distances from the reference, its outage.

Distances are of every window, past and live, from all others, because only then can the live one
be ranked among them (``calibration``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rescore.drift import distances
from rescore.drift.binning import LevelCells, OrderedCells, Tally, moments, ordered_values
from rescore.drift.calibration import others_of, same_size
from rescore.drift.feature_reference import SCORE, FeatureReference
from rescore.drift.outage import Outage, find_collapse, find_other_scale, find_outage
from rescore.drift.standardise import shape_standing, shift_standing
from rescore.drift.window import Window

__all__ = ["Measured", "measure", "measure_score"]

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

#: A change of scale shows as a PSI far above this; below it, magnitudes are not looked at: it costs a pass.
SUSPICIOUS_PSI = 0.25

#: Unusual sizes are made equal by drawing rows; the same window must give the same p-value again.
THINNING_SEED = 8


@dataclass(frozen=True)
class Measured:
    """What is known of one feature (or the score).

    Attributes
    ----------
    standing : ndarray of float, shape (n_windows + 1, n_statistics)
        How far every window is off, in standard deviations: by PSI, by PSI of missing or not, and by the
        shift of the mean normal score if values are ordered; the live window last.
    two_sided : tuple of bool, length n_statistics
        Whether being off to either side counts.
    psi, psi_cells : float, int
        The live window's PSI against all of training, and over how many cells.
    shift : float
        Of the mean normal score, in standard deviations of training's rows; NaN for levels.
    effects : ndarray of float, shape (n_windows + 1,)
        Of every window, the larger of PSI and the squared shift (of a normal variable they are nearly the
        same), beyond what the window's size makes of it on average and beyond what reference windows
        typically have: a weekday's PSI against the whole week is large every day.
    own_distance : float
        Wasserstein-1 in the feature's unit, or total variation; NaN if either side has no value.
    """

    reference: FeatureReference
    tally: Tally
    standing: Floats
    two_sided: tuple[bool, ...]
    psi: float
    shift: float
    effects: Floats
    psi_cells: int
    own_distance: float
    outage: Outage | None

    @property
    def effect(self) -> float:
        """The live window's."""
        return float(self.effects[-1])


def measure(
    reference: FeatureReference,
    window: Window,
    event_time: str,
    chosen: npt.NDArray[np.intp],
) -> Measured:
    """Measure a feature of a window against reference windows, leaf by leaf.

    Parameters
    ----------
    reference : FeatureReference
        What training kept of the feature.
    window : Window
        The rows to compare.
    event_time : str
        The column of the rows' events, which need not be there.
    chosen : ndarray of intp, shape (n_chosen,)
        Places of the reference windows to compare with.
    """
    cells = reference.cells
    if isinstance(cells, LevelCells):
        leaves = (leaf.column(0) for leaf in window.select([reference.name]).to_batches())
        return _measure(reference, cells.tally(leaves), None, chosen)

    def values() -> Iterator[Floats]:
        return _ordered_leaves(reference, window, event_time)

    return _measure(reference, cells.tally(values()), lambda: np.concatenate([*values()]), chosen)


def _ordered_leaves(reference: FeatureReference, window: Window, event_time: str) -> Iterator[Floats]:
    names = [reference.name]
    if reference.kind == "datetime" and event_time in window.column_names and event_time != reference.name:
        names.append(event_time)
    for leaf in window.select(names).to_batches():
        events = None
        if reference.kind == "datetime" and event_time in window.column_names:
            events = moments(pa.chunked_array([leaf.column(event_time)]))
        yield ordered_values(pa.chunked_array([leaf.column(reference.name)]), reference.kind, events)


def measure_score(
    reference: FeatureReference, values: Floats, spreads: Floats, chosen: npt.NDArray[np.intp]
) -> Measured:
    """Measure the model's scores; a missing one is no matter of distance, only of outage.

    Parameters
    ----------
    reference : FeatureReference
        What training kept of the scores.
    values : ndarray of float64, shape (n_rows,)
        The window's scores; NaN where there is none.
    spreads : ndarray of float64, shape (n_windows,)
        Standard deviation of the scores in each reference window, in the unit of the scores.
    chosen : ndarray of intp, shape (n_chosen,)
        Places of the reference windows to compare with.
    """
    assert isinstance(reference.cells, OrderedCells)  # noqa: S101  (scores are numbers)
    one = _measure(reference, reference.cells.tally([values]), None, chosen)
    return one if one.outage else replace(one, outage=find_collapse(reference, values, spreads, chosen))


def _measure(
    reference: FeatureReference,
    tally: Tally,
    values: Callable[[], Floats] | None,
    chosen: npt.NDArray[np.intp],
) -> Measured:
    held, live = reference.counts[chosen], tally.counts
    if reference.kind == SCORE:
        held, live = held.copy(), live.copy()
        held[:, -1] = live[-1] = 0
    training = held.sum(axis=0)
    cells, training_cells = _psi_cells(reference, live[None]), _psi_cells(reference, training[None])
    psi = float(distances.psi(cells, training_cells)[0])
    outage = find_outage(reference, tally, chosen)
    if outage is None and values is not None and psi > SUSPICIOUS_PSI:
        outage = find_other_scale(reference, values())
    ranked = _to_be_ranked(reference, held, live, reference.moved[chosen])
    return Measured(
        reference=reference,
        tally=tally,
        standing=ranked.standing,
        two_sided=ranked.two_sided,
        psi=psi,
        shift=ranked.shift,
        effects=ranked.effects,
        psi_cells=int((cells + training_cells > 0).sum()),
        own_distance=_own_distance(reference, tally, live, training),
        outage=outage,
    )


def _psi_cells(reference: FeatureReference, counts: Counts) -> Counts:
    """Counts by PSI group; missing stays a group of its own."""
    if isinstance(reference.cells, LevelCells):
        return counts
    groups = np.append(reference.cells.groups, reference.cells.groups.max() + 1)
    order = np.argsort(groups, kind="stable")
    firsts = np.searchsorted(groups[order], np.arange(groups.max() + 1))
    return np.asarray(np.add.reduceat(counts[:, order], firsts, axis=1))


@dataclass(frozen=True)
class _Ranked:
    standing: Floats
    two_sided: tuple[bool, ...]
    shift: float
    effects: Floats


def _to_be_ranked(reference: FeatureReference, held: Counts, live: Counts, moved: Counts) -> _Ranked:
    """How far every window is off from all others.

    A window is counted as if training had not held it: then the levels that only it has are
    unseen. What it is compared with is training as it stands.
    """
    apart = held.copy()
    if isinstance(reference.cells, LevelCells):
        apart[:, -3] -= moved
        apart[:, -2] += moved
    windows = same_size(np.vstack([apart, live]), np.random.default_rng(THINNING_SEED))
    others = others_of(np.vstack([held, windows[-1:]]))
    pairs = [(_psi_cells(reference, windows), _psi_cells(reference, others))]
    if reference.kind != SCORE:
        pairs.append((_there_or_not(windows), _there_or_not(others)))
    distance = np.stack([distances.psi(window, other) for window, other in pairs], axis=1)
    noise = np.stack([distances.psi_noise(window, other) for window, other in pairs], axis=1)
    freedom = np.stack([distances.psi_freedom(window, other) for window, other in pairs], axis=1)
    standing = shape_standing(distance, noise, freedom)
    two_sided, moved_by = [False] * len(pairs), math.nan
    effects = _beyond(distance[:, 0], noise[:, 0])
    if isinstance(reference.cells, OrderedCells):
        shift = distances.shift(windows[:, :-1], others[:, :-1], reference.cells.places)
        variance = distances.shift_noise(windows[:, :-1], others[:, :-1], reference.cells.places)
        standing = np.column_stack([standing, shift_standing(shift[:, None], variance[:, None])])
        two_sided.append(True)
        moved_by = float(shift[-1])
        effects = np.maximum(effects, _beyond(shift**2, variance))
    return _Ranked(standing, tuple(two_sided), moved_by, effects)


def _beyond(distance: Floats, noise: Floats) -> Floats:
    """Each window's distance past sampling's and past what reference windows typically have."""
    own = distance - noise
    typical = float(np.median(own[:-1])) if own.size > 1 else 0.0
    return np.maximum(own - max(typical, 0.0), 0.0)


def _there_or_not(counts: Counts) -> Counts:
    return np.stack([counts[:, :-1].sum(axis=1), counts[:, -1]], axis=1)


def _own_distance(reference: FeatureReference, tally: Tally, live: Counts, training: Counts) -> float:
    there, training_there = live[:-1], training[:-1]
    if not there.sum() or not training_there.sum():
        return math.nan
    if isinstance(reference.cells, LevelCells):
        return float(distances.total_variation(there[None], training_there[None])[0])
    cells = reference.cells
    firsts = np.r_[0, np.arange(cells.inner.start + 1, cells.inner.stop + 1)]
    return distances.wasserstein(
        np.add.reduceat(there, firsts),
        np.add.reduceat(training_there, firsts),
        cells.edges[cells.inner],
        low_means=(tally.low_mean, cells.tails[0]),
        high_means=(tally.high_mean, cells.tails[1]),
    )
