"""How many rows of each class are to be expected, from the classes that the scores name.

A row is of the class that it names with the chance that its score means, else of one of the others, as
training's rows were that named that class and were something else. What comes true beyond the band of all
classes together contradicts the estimates: features and target belong together in another way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import NormalDist
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import field_serializer

from rescore.document import Part
from rescore.performance.report import Agreement

__all__ = ["ClassRates"]

Floats = npt.NDArray[np.float64]
Texts = npt.NDArray[np.object_]

#: Of more classes shares are so small and so many that no band of all together tells anything.
MAX_CLASSES = 50

#: Chance that any class is beyond its band where nothing changed.
ERROR = 0.05


class ClassRates(Part):
    """What training tells of the shares of classes.

    Attributes
    ----------
    shares : dict of str to float
        Of each class in training.
    wrong : dict of str to dict of str to float
        Per class that was named, of its rows that were something else: the share of each class.
    strays : dict of str to float
        Per class, the standard deviation of (realised less estimated share) over training's windows that
        chance does not explain.
    """

    shares: dict[str, float]
    wrong: dict[str, dict[str, float]]
    strays: dict[str, float]

    @classmethod
    def fit(cls, chance: Floats, named: Texts, true: Texts, bounds: Sequence[int]) -> Self | None:
        """Learn from rows with a label, scored out of fold; None of fewer than two classes or too many.

        Parameters
        ----------
        chance : ndarray of float, shape (n_rows,)
            That the named class is right; NaN where no score or no label is known.
        named, true : ndarray of str, shape (n_rows,)
        bounds : sequence of int
            First row of each window, and the one after the last.
        """
        there = np.isfinite(chance)
        classes, rows = np.unique(true[there].astype(str), return_counts=True)
        if not 2 <= classes.size <= MAX_CLASSES:
            return None
        shares = dict(zip(classes.tolist(), (rows / rows.sum()).tolist(), strict=True))
        wrong = {}
        for label in np.unique(named[there].astype(str)).tolist():
            of_it = true[there & (named == label) & (true != label)].astype(str)
            others = {one: share for one, share in shares.items() if one != label}
            prior = max(sum(others.values()), 1e-12)  # where few were wrong: as one more row of all others
            wrong[label] = {
                one: (float((of_it == one).sum()) + share / prior) / (of_it.size + 1)
                for one, share in others.items()
            }
        plain = cls(shares=shares, wrong=wrong, strays={})
        gaps: dict[str, list[float]] = {name: [] for name in shares}
        for first, after in pairwise(bounds):
            kept = np.arange(first, after)[there[first:after]]
            for name, (realised, expected, deviation) in plain._each(
                chance[kept], named[kept], true[kept]
            ).items():
                gaps[name].append((realised - expected) ** 2 - deviation**2)
        strays = {name: math.sqrt(max(float(np.mean(one)), 0.0)) for name, one in gaps.items() if one}
        return plain.model_copy(update={"strays": strays})

    def agreement(self, chance: Floats, named: Texts, true: Texts) -> dict[str, Agreement]:
        """Of each class the share that came true, and the band in which it was to be expected.

        Bands hold for all classes together (Bonferroni), with Wilson's allowance for rare ones.
        """
        z = -NormalDist().inv_cdf(ERROR / 2 / max(len(self.shares), 1))
        found = {}
        for name, (realised, expected, deviation) in self._each(chance, named, true).items():
            half = z * math.hypot(deviation, self.strays.get(name, 0.0))
            rare = z**2 / 2 / chance.size
            low, high = max(expected - half - rare, 0.0), min(expected + half + rare, 1.0)
            found[name] = Agreement(
                realised=realised, estimated=expected, low=low, high=high, within=low <= realised <= high
            )
        return found

    def widened(self, farther: float) -> ClassRates:
        """With strays that are larger by this factor."""
        strays = {name: float(f"{stray * farther:.6g}") for name, stray in self.strays.items()}
        return self.model_copy(update={"strays": strays})

    def _each(self, chance: Floats, named: Texts, true: Texts) -> dict[str, tuple[float, float, float]]:
        """Per class the realised share, the expected one, and the deviation of it that chance makes."""
        if not chance.size:
            return {}
        labels, place = np.unique(named.astype(str), return_inverse=True)
        right, left = (np.bincount(place, weights=one) for one in (chance, 1 - chance))
        square = np.bincount(place, weights=(1 - chance) ** 2)
        own = np.bincount(place, weights=chance * (1 - chance))
        came = true.astype(str)
        found = {}
        for name in self.shares:
            expected = variance = 0.0
            for at, label in enumerate(labels.tolist()):
                if label == name:
                    expected, variance = expected + right[at], variance + own[at]
                    continue
                to_it = self.wrong.get(label, self.shares).get(name, 0.0)
                expected += to_it * left[at]
                variance += to_it * left[at] - to_it**2 * square[at]
            realised = float((came == name).mean())
            deviation = math.sqrt(max(variance, 0.0)) / chance.size
            found[name] = (realised, float(expected) / chance.size, deviation)
        return found

    @field_serializer("shares", "strays")
    def _six_digits(self, given: dict[str, float]) -> dict[str, float]:
        return {name: float(f"{value:.6g}") for name, value in given.items()}

    @field_serializer("wrong")
    def _six_digits_each(self, given: dict[str, dict[str, float]]) -> dict[str, Any]:
        return {name: self._six_digits(shares) for name, shares in given.items()}
