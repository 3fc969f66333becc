"""Outages: a column that is broken, as opposed to a population that moved.

Missing, constant, of another scale, or with unseen levels (nearly) only, in this window and in no
reference window. These are no matter of rates: each rule asks for something that training never came near.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rescore.drift.binning import LevelCells, Tally
from rescore.drift.feature_reference import FeatureReference
from rescore.drift.window_values import spread

__all__ = [
    "Outage",
    "broken_windows",
    "describe",
    "find_collapse",
    "find_other_scale",
    "find_outage",
    "join_names",
    "missing_rates",
    "percent",
]

Floats = npt.NDArray[np.float64]

#: A column is *gone* if at least this share is missing, and no reference window came to ALMOST_GONE.
GONE, ALMOST_GONE = 0.99, 0.90

#: A column is *stuck* if it holds one value only, and none had more than this share of a reference window.
NEARLY_CONSTANT = 0.95

#: ... and if every reference window filled so many cells, or what it held besides its most frequent value
#: is so many standard deviations (over windows) away from nothing. Three stations that happen to report
#: the same temperature, or a seldom flag that is never set in fifty rows, are no broken columns.
MANY_CELLS, FAR_FROM_CONSTANT = 6, 8.0

#: A window of fewer rows than this is too small to say that a value is stuck, that levels are all unseen or
#: that scores are all the same; and one of training's is too small to excuse a live one.
MIN_ROWS = 10

#: What is found may have come, by rows that tell nothing of each other and shares as in training, with this
#: chance at most: an outage stops a run, and a year has thousands of windows and columns.
CHANCE = 1e-4

#: Another unit: ten times beyond the largest or smallest magnitude of any reference window.
SCALE_FACTOR = 10.0

#: Reference windows with an outage of their own are set aside, if they are no more than this share.
MAX_BROKEN = 0.05

#: Scores are *collapsed* if they spread by less than this part of the narrowest reference window.
COLLAPSE_FACTOR = 0.05


@dataclass(frozen=True)
class Outage:
    """What is broken about one column.

    Attributes
    ----------
    what : str
        ``missing``, ``constant``, ``scale``, ``unseen``, ``born`` (training had no value at all) or
        ``collapsed``.
    live, training : float
        Missing, unseen: the share now, and the largest in a reference window. Scale: the typical
        magnitude now and in training. Collapsed: the standard deviation now, and the smallest in a
        reference window.
    examples : tuple of str
        Unseen levels.
    """

    what: str
    live: float = math.nan
    training: float = math.nan
    examples: tuple[str, ...] = ()


def find_outage(reference: FeatureReference, tally: Tally, chosen: npt.NDArray[np.intp]) -> Outage | None:
    """Judge one column of a live window by its counts: missing, constant, or nearly all unseen levels.

    ``chosen``, shape (n_chosen,), are the places of the reference windows that it is compared with: one that
    was broken itself excuses nothing.
    """
    rows = int(tally.counts.sum())
    if rows == 0:
        return None
    there = rows - int(tally.counts[-1])
    missing, was_missing = 1 - there / rows, _was_missing(reference, chosen)
    if missing >= GONE and was_missing < ALMOST_GONE and _is_no_chance(was_missing, rows, reference, chosen):
        return Outage("missing", missing, was_missing)
    if there < MIN_ROWS:
        return None
    if tally.constant and _was_never_nearly_constant(reference, there, chosen):
        return Outage("constant")
    if isinstance(reference.cells, LevelCells):
        unseen = float(tally.counts[-2] / there)
        counts = reference.counts[chosen]
        were_there = counts[:, :-1].sum(axis=1)
        before = (counts[:, -2] + reference.moved[chosen]) / np.maximum(were_there, 1)
        most = float(before[were_there >= MIN_ROWS].max(initial=0.0))
        if unseen >= GONE and most < 0.5 and _is_no_chance(most, there, reference, chosen):
            born = bool(missing_rates(reference)[chosen].min(initial=1.0) == 1)
            return Outage("born" if born else "unseen", unseen, most, tally.unseen)
    return None


def _was_missing(reference: FeatureReference, chosen: npt.NDArray[np.intp]) -> float:
    """The largest share in a window of enough rows; where none has, of all windows together."""
    counts = reference.counts[chosen]
    enough = counts.sum(axis=1) >= MIN_ROWS
    if enough.any():
        return float(missing_rates(reference)[chosen][enough].max())
    return float(counts[:, -1].sum() / max(int(counts.sum()), 1))


def _is_no_chance(share: float, rows: int, reference: FeatureReference, chosen: npt.NDArray[np.intp]) -> bool:
    """Whether so many rows can't all be what this share of training's windows was.

    What training never had may be had by one row in as many as training has.
    """
    seen = int(reference.counts[chosen].sum())
    return max(share, 1 / (seen + 1)) ** rows < CHANCE


def _was_never_nearly_constant(reference: FeatureReference, rows: int, chosen: npt.NDArray[np.intp]) -> bool:
    counts = reference.counts[chosen]
    there = counts[:, :-1].sum(axis=1) >= MIN_ROWS
    top = reference.top_share[chosen][there]
    if top.size == 0 or top.max() > NEARLY_CONSTANT or top.max() ** rows >= CHANCE:
        return False
    filled = (counts[there, :-1] > 0).sum(axis=1)
    besides = 1 - top
    return bool(filled.min() >= MANY_CELLS or besides.mean() >= FAR_FROM_CONSTANT * besides.std())


def broken_windows(
    features: tuple[FeatureReference, ...], chosen: npt.NDArray[np.intp]
) -> dict[int, list[str]]:
    """Reference windows in which a column is gone as in no other one, and those columns.

    A live window like that would be an outage and no drift. Left among the others it makes every
    alarm rarer: the first day of a table has no history, say, and is unlike all that follow.

    Parameters
    ----------
    features : tuple of FeatureReference
        The profile's features.
    chosen : ndarray of int, shape (n_chosen,)
        The reference windows that are compared with.

    Returns
    -------
    dict of int to list of str
        By the window's place in the profile. Empty if they are more than :data:`MAX_BROKEN`: then they
        are how windows usually are.
    """
    found: dict[int, list[str]] = {}
    for one in features:
        rates = missing_rates(one)[chosen]
        [gone] = np.nonzero(rates >= GONE)
        if gone.size == 1 and np.delete(rates, gone).max(initial=0.0) < ALMOST_GONE:
            found.setdefault(int(chosen[gone[0]]), []).append(one.name)
    return found if len(found) <= MAX_BROKEN * chosen.size else {}


def find_other_scale(reference: FeatureReference, values: Floats) -> Outage | None:
    """Judge the magnitude of a live window's numbers.

    Parameters
    ----------
    reference : FeatureReference
        What training kept of the feature; only numeric ones have a magnitude.
    values : ndarray of float64, shape (n_rows,)
        In the feature's own unit; NaN where missing.

    Returns
    -------
    Outage or None
        If the median magnitude lies outside of all reference windows' by :data:`SCALE_FACTOR`.
    """
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    if reference.kind != "numeric" or sizes.size < MIN_ROWS or isinstance(reference.cells, LevelCells):
        return None
    before = reference.cells.magnitudes(reference.counts[:, :-1])
    before = before[np.isfinite(before)]
    live = float(np.median(sizes))
    if before.size and not before.min() / SCALE_FACTOR <= live <= before.max() * SCALE_FACTOR:
        return Outage("scale", live, float(np.median(before)))
    return None


def find_collapse(
    reference: FeatureReference, scores: Floats, spreads: Floats, chosen: npt.NDArray[np.intp]
) -> Outage | None:
    """Judge the standard deviation of a live window's scores by that of the reference windows'.

    Parameters
    ----------
    reference : FeatureReference
        Of the scores.
    scores : ndarray of float, shape (n_scored,)
        The live window's.
    spreads : ndarray of float, shape (n_windows,)
        Standard deviations of the reference windows.
    chosen : ndarray of int, shape (n_chosen,)
        Places of those that are compared with.
    """
    rows = int(np.isfinite(scores).sum())
    there = reference.counts[chosen, :-1].sum(axis=1) >= MIN_ROWS
    before = spreads[chosen][there]
    before = before[np.isfinite(before)]
    most_alike = reference.top_share[chosen][there].max(initial=0.0)  # a leaf that most rows fall into
    live = spread(scores)
    if rows < MIN_ROWS or not before.size or most_alike**rows >= CHANCE:
        return None
    lowest = float(before.min())
    return Outage("collapsed", live, lowest) if live < COLLAPSE_FACTOR * lowest else None


def missing_rates(reference: FeatureReference) -> npt.NDArray[np.float64]:
    """Share of rows without a value, 0 to 1, in each reference window: shape (n_windows,)."""
    rows = np.maximum(reference.counts.sum(axis=1), 1)
    return np.asarray(reference.counts[:, -1] / rows, dtype=np.float64)


def describe(found: list[tuple[str, Outage]]) -> str:
    """One sentence for all outages; columns that are broken in the same way are named together.

    ``weather: temp, wind_speed and 7 more are missing in 100 % of rows; in training at most 3 %``
    """
    parts = []
    for what in dict.fromkeys(outage.what for _, outage in found):
        alike = [(name, outage) for name, outage in found if outage.what == what]
        subject = join_names([name for name, _ in alike])
        verb = "is" if len(alike) == 1 else "are"
        parts.append(f"{subject} {verb} {_say([outage for _, outage in alike])}")
    return ". ".join(parts)


def _say(alike: list[Outage]) -> str:
    one = alike[0]
    if one.what == "missing":
        # Together they are missing in at least, and were missing in at most, so many rows.
        live, training = min(o.live for o in alike), max(o.training for o in alike)
        before = "never" if training == 0 else f"at most {percent(training)}"
        return f"missing in {percent(live)} of rows; in training {before}"
    if one.what == "constant":
        return "the same in all rows; in training never"
    if one.what == "unseen":
        like = join_names([repr(level) for level in one.examples])
        most = max(o.training for o in alike)
        before = "never" if most == 0 else f"in at most {percent(most)} of a window's rows"
        share = min(o.live for o in alike)
        how = (
            "of unknown levels only" if share == 1 else f"of unknown levels in {percent(share)} of its values"
        )
        return f"{how} ({like}); in training {before}"
    if one.what == "born":
        return "there, but missing in all of training: train again, or drop it"
    if one.what == "collapsed":
        return (
            f"nearly all the same: standard deviation {one.live:.2g}, in training at least {one.training:.2g}"
        )
    scales = [f"{o.live:.3g} for {o.training:.3g}" for o in alike[:3]]
    return f"of another scale than in training (typically {', '.join(scales)})"


def join_names(names: list[str]) -> str:
    """Names as in a sentence, a prefix that all of them share told once."""
    if len(names) == 1:
        return names[0]
    prefix, group = names[0].split("_", 1)[0], ""
    if all(name.startswith(prefix + "_") and len(name) > len(prefix) + 1 for name in names):
        group, names = f"{prefix}: ", [name[len(prefix) + 1 :] for name in names]
    if len(names) <= 3:
        return f"{group}{', '.join(names[:-1])} and {names[-1]}"
    return f"{group}{', '.join(names[:2])} and {len(names) - 2} more"


def percent(share: float) -> str:
    """A share for people; never rounded to 0 % or 100 % unless it is that."""
    if share in (0, 1) or 0.01 <= share < 0.99:
        return f"{100 * share:.0f} %"
    return f"{max(100 * share, 0.01):.2g} %" if share < 0.5 else f"{math.floor(10_000 * share) / 100:g} %"
