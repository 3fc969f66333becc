"""Features compared jointly: a classifier that tells a window's rows from training's others.

It sees how features go together and nothing else: each feature is ranked within its own window first.
Margins are compared feature by feature already; a classifier that sees them too tells every day from
all others by its date or its weather, with an AUC of 1, and then no day stands out. Rows of training
are given by the caller, for a profile holds none. Why so, with figures:
docs/decisions/0011-joint-comparison.md
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import ndtri
from threadpoolctl import threadpool_limits

from rescore.drift.feature_reference import FeatureReference
from rescore.drift.joint_columns import Column, columns_of, normal_scores
from rescore.drift.reference import Reference
from rescore.drift.report import JointDrift, PairDrift
from rescore.drift.standardise import between_windows, classifier_standing, neighbours_apart
from rescore.drift.window import Window

__all__ = ["MAX_ROWS", "MIN_ROWS", "Joint", "TrainingRows", "compare_jointly", "sample_rows"]

Floats = npt.NDArray[np.float64]
Rows32 = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

#: Rows of training that are compared, all windows together: this bounds time and memory.
MAX_ROWS = 50_000

#: Every window may have so many, however many windows there are.
MIN_PER_WINDOW = 100

#: With fewer rows, a window is not compared jointly.
MIN_ROWS = 30

#: A row is judged by a classifier that has seen the rows of the other folds only.
FOLDS = 5

#: A difference counts for what it is beyond this many squared standard errors: 2 of them are chance.
CHANCE = 4.0

#: Pairs of features that a report names.
MAX_PAIRS = 5

#: An AUC this near to 0 or 1 is taken as just so near: farther out, rows say no more.
NEAREST_AUC = 1e-3


@dataclass(frozen=True)
class TrainingRows:
    """Rows of the training snapshot to compare jointly with, or why there are none.

    Attributes
    ----------
    rows : pyarrow.Table or None
        Features, event time and ``interval_start``; see :func:`sample_rows`.
    seed : int
        Of what is drawn: folds, and rows where windows differ in size.
    why_none : str
        For the report's notes, if ``rows`` is None.
    """

    rows: pa.Table | None
    seed: int = 0
    why_none: str = ""


@dataclass(frozen=True)
class Joint:
    """How well the live window is told from training, and how well every window is.

    Attributes
    ----------
    standing : ndarray of float, shape (n_windows + 1, 1)
        How far out every window is, the live one last.
    auc : ndarray of float, shape (n_windows + 1,)
        Out-of-fold area under the ROC curve, the live window last.
    effect : float
        Squared standard deviations by which a window's rows lie apart on the classifier's scale, past
        what windows typically do: on the scale of PSI.
    rows, reference_rows : int
        Rows that were compared: of the live window, and of all reference windows together.
    columns : int
        Columns whose pairs were looked at.
    pairs : tuple of PairDrift
        What tells most.
    """

    standing: Floats
    auc: Floats
    effect: float
    rows: int
    reference_rows: int
    columns: int
    pairs: tuple[PairDrift, ...]

    @property
    def features(self) -> tuple[str, ...]:
        """Features of the pairs that tell at least a tenth, the most telling first."""
        return tuple(
            dict.fromkeys(name for pair in self.pairs if pair.share >= 0.1 for name in pair.features)
        )

    def drift(self, p_value: float, *, flagged: bool) -> JointDrift:
        """What a report keeps of it."""
        before = self.auc[:-1]
        return JointDrift(
            method="classifier_rank",
            auc=float(self.auc[-1]),
            auc_reference_median=float(np.median(before)) if before.size else None,
            auc_reference_high=float(before.max()) if before.size else None,
            p_value=p_value,
            effect=self.effect,
            flagged=flagged,
            rows=self.rows,
            reference_rows=self.reference_rows,
            columns=self.columns,
            features=self.features,
            pairs=self.pairs,
        )


def sample_rows(snapshot: pa.Table, seed: int) -> pa.Table:
    """Rows of a training snapshot to compare jointly with: as many of every interval, drawn by ``seed``.

    Parameters
    ----------
    snapshot : pyarrow.Table
        The training snapshot, with ``interval_start``.
    seed : int
        The same seed gives the same rows.
    """
    window = _codes(snapshot["interval_start"])
    sizes = np.bincount(window)
    if not sizes.size:
        return snapshot
    limit = max(MAX_ROWS // sizes.size, MIN_PER_WINDOW)
    return snapshot.take(pa.array(_thinned(window, limit, np.random.default_rng(seed))))


def compare_jointly(
    profile: Reference,
    training: TrainingRows,
    window: Window,
    chosen: npt.NDArray[np.intp],
) -> Joint | str:
    """Tell the live window's rows, and every reference window's, from the other windows' rows.

    Each window's AUC is that of a classifier of its own, fitted and judged as the live window's is, on as
    many rows; so the live window's can be ranked among them, however windows wander.

    Parameters
    ----------
    profile : Reference
        Whose features are compared.
    training : TrainingRows
        Rows of the reference windows.
    window : pyarrow.Table, or what reads the same a column at a time
        The live window.
    chosen : ndarray of int, shape (n_windows,)
        The profile's windows to compare with.

    Returns
    -------
    Joint or str
        In words why not, where there is nothing to compare.
    """
    if training.rows is None:
        return training.why_none or "no training rows were given"
    absent = {"interval_start", *(one.name for one in profile.features)} - set(training.rows.column_names)
    if absent:
        return f"the training rows lack {', '.join(sorted(absent)[:3])}"
    generator = np.random.default_rng(training.seed)
    of_window, rows = _reference_rows(profile, training.rows, chosen)
    sizes = np.bincount(of_window, minlength=chosen.size)
    fewest = int(sizes.min()) if sizes.size else 0
    limit = _limit(sizes, profile.rows[chosen], window.num_rows)
    if min(limit, fewest) < MIN_ROWS:
        return f"{MIN_ROWS} rows are needed; {window.num_rows} here, and in a reference window {fewest}"
    held = _thinned(of_window, limit, generator)
    live = _thinned(np.zeros(window.num_rows, dtype=np.intp), limit, generator)
    of_window = np.r_[of_window[held], np.full(live.size, chosen.size)]
    columns = columns_of(
        profile, rows.take(pa.array(held)), window.take(pa.array(live)), _by_importance(profile)
    )
    pairs = [(a, b) for a, b in combinations(range(len(columns)), 2) if columns[a].name != columns[b].name]
    if not pairs:
        return "there are no two features that vary"
    scores = normal_scores(np.stack([one.values for one in columns], axis=1), of_window)
    first, second = np.asarray(pairs).T
    products = (scores[:, first] * scores[:, second]).astype(np.float32)
    # A fold holds every FOLDS-th row of each window; rows were drawn in random order.
    fold = (np.arange(of_window.size) - np.searchsorted(of_window, of_window)) % FOLDS
    with threadpool_limits(limits=1):
        means = np.stack([products[of_window == one].mean(axis=0) for one in range(chosen.size + 1)])
        rows_each = np.bincount(of_window)
        scale = _scale(products, means, rows_each)
        apart = neighbours_apart(chosen.size + 1)
        inside = of_window[:, None] == np.arange(chosen.size + 1)
        auc = _out_of_fold_auc(products, scale, fold, inside, apart[of_window])
    told = [
        (columns[a], columns[b], float(means[-1, place]), float(means[:-1, place].mean()))
        for place, (a, b) in enumerate(pairs)
    ]
    share = _shares(means, scale, rows_each)
    lies = np.sqrt(2) * ndtri(np.clip(auc, NEAREST_AUC, 1 - NEAREST_AUC))
    rest = apart @ rows_each
    # Of an AUC, if rows are alike (Mann and Whitney 1947), on the scale of standard deviations apart.
    noise = 4 * np.pi * (rows_each + rest + 1) / (12.0 * rows_each * rest)
    typical = max(float(np.median(lies[:-1])), 0.0)
    return Joint(
        standing=classifier_standing(lies[:, None], noise[:, None]),
        auc=auc,
        effect=max(max(float(lies[-1]), 0.0) ** 2 - typical**2, 0.0),
        rows=int(live.size),
        reference_rows=int(held.size),
        columns=len(columns),
        pairs=tuple(_pair(*told[place], float(share[place])) for place in _largest(share)),
    )


def _by_importance(profile: Reference) -> list[FeatureReference]:
    return sorted(profile.features, key=lambda one: -one.importance)


def _codes(starts: pa.ChunkedArray) -> npt.NDArray[np.intp]:
    micros = starts.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
    return np.asarray(np.unique(micros, return_inverse=True)[1], dtype=np.intp)


def _reference_rows(
    profile: Reference, rows: pa.Table, chosen: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.intp], pa.Table]:
    """The rows of the chosen windows, and of which each is, in order of time."""
    wanted = np.asarray([np.datetime64(profile.starts[one][:-6], "us") for one in chosen]).astype(np.int64)
    micros = rows["interval_start"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
    place = np.minimum(np.searchsorted(wanted, micros), wanted.size - 1)
    kept = np.flatnonzero(wanted[place] == micros)
    kept = kept[np.argsort(place[kept], kind="stable")]
    return np.asarray(place[kept], dtype=np.intp), rows.take(pa.array(kept))


def _limit(sizes: npt.NDArray[Any], reference: npt.NDArray[Any], live: int) -> int:
    """Rows that a window may have: as in ``calibration.same_size``, and no more than were given."""
    limit = int(sizes.max(initial=0))
    if not reference.size or reference.min() <= live <= reference.max():
        return limit
    return min(limit, live, int(np.median(reference)))


def _thinned(
    window: npt.NDArray[np.intp], limit: int, generator: np.random.Generator
) -> npt.NDArray[np.intp]:
    """Positions of at most ``limit`` rows of each window, drawn; windows in order, rows of each in none."""
    drawn = generator.permutation(window.size)
    drawn = drawn[np.argsort(window[drawn], kind="stable")]
    ordered = window[drawn]
    return np.asarray(drawn[np.arange(drawn.size) - np.searchsorted(ordered, ordered) < limit])


def _scale(products: Rows32, means: Rows32, rows: npt.NDArray[Any]) -> Floats:
    """What a difference of means is divided by: the variance of rows, and of windows beyond it.

    A pair of features that goes together otherwise in every window is so worth little.
    """
    size = float(np.median(rows))
    squares = np.einsum("ij,ij->j", products, products, dtype=np.float64) / len(products)
    within = np.maximum(squares - (means.astype(np.float64) ** 2).mean(axis=0), 0.0)
    return np.asarray(within + size * between_windows(means.astype(np.float64), within / size))


def _out_of_fold_auc(
    products: Rows32, scale: Floats, fold: npt.NDArray[Any], inside: Flags, outside: Flags
) -> Floats:
    """AUC of rows inside against rows outside, a column each, by Fisher's discriminant.

    The difference of the means over the other folds, each column divided by its ``scale``: the
    independence rule, which estimating covariances of many columns from few rows does not beat (Bickel and
    Levina, *Bernoulli* 10, 2004). Differences that chance makes are drawn to nothing, for there are
    hundreds of columns and few of them tell (positive-part shrinkage).
    """
    folds = [np.flatnonzero(fold == one) for one in range(FOLDS)]
    means, rows_less = [], []
    for side in (inside, outside):
        sums = np.stack([side[rows].T.astype(np.float32) @ products[rows] for rows in folds])
        counts = np.stack([side[rows].sum(axis=0) for rows in folds])
        rows_less.append(np.maximum(counts.sum(axis=0) - counts, 1)[..., None])
        means.append((sums.sum(axis=0) - sums) / rows_less[-1])
    off = means[0] - means[1]
    known = np.where(scale > 0, scale, np.inf)
    sure = off**2 / (known * (1 / rows_less[0] + 1 / rows_less[1]))
    kept = np.maximum(1 - CHANCE / np.maximum(sure, CHANCE), 0.0)
    directions = (kept * off / known).astype(np.float32)
    aucs = np.zeros((FOLDS, inside.shape[1]))
    for one, rows in enumerate(folds):
        scored = products[rows] @ directions[one].T
        for place in range(inside.shape[1]):
            there, rest = scored[inside[rows, place], place], np.sort(scored[outside[rows, place], place])
            below = np.searchsorted(rest, there, "left") + np.searchsorted(rest, there, "right")
            aucs[one, place] = below.mean() / (2 * rest.size) if there.size and rest.size else 0.5
    return np.asarray(aucs.mean(axis=0))


def _shares(means: Rows32, scale: Floats, rows: npt.NDArray[Any]) -> Floats:
    """Each pair's part in the distance of the live window, past what its size makes of it."""
    off = means[-1].astype(np.float64) - means[:-1].mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.where(scale > 0, off**2 / scale, 0.0) - 1 / rows[-1] - 1 / rows[:-1].sum()
    apart = np.maximum(apart, 0.0)
    return np.asarray(apart / apart.sum() if apart.sum() > 0 else apart)


def _largest(share: Floats) -> list[int]:
    order = np.argsort(-share, kind="stable")[:MAX_PAIRS]
    return [int(place) for place in order if share[place] > 0]


def _pair(one: Column, other: Column, live: float, training: float, share: float) -> PairDrift:
    return PairDrift(
        features=(one.name, other.name),
        columns=(one.label, other.label),
        correlation=round(live, 4),
        correlation_reference=round(training, 4),
        share=round(share, 4),
    )
