"""How well a classifier is expected to do, from its scores alone, before any label is known.

If the probability that a row is positive is known, it is a positive with that weight and a negative
with the rest. A metric's expectation under these weights is the estimate (confidence-based performance
estimation: Białek, Kuberski, Perrakis and Bifet, arXiv:2401.08348). Scores are turned into
probabilities by what came true in training, out of fold (:class:`ScoreCalibration`).

The band says how far the realised metric may lie from the estimate: by chance, which still decides the
labels of just these rows, and by what training's own windows strayed beyond chance (rows of one day
share its weather). The estimate sees a shift of the features, never a changed relation to the target.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, SerializerFunctionWrapHandler, field_serializer, model_serializer

from rescore.document import Part
from rescore.performance.class_rates import ClassRates
from rescore.performance.metrics import MIN_PROBABILITY, Z95, auc_interval
from rescore.performance.report import Measure

__all__ = ["ScoreCalibration", "estimated_accuracy", "estimated_performance"]

Floats = npt.NDArray[np.float64]
Texts = npt.NDArray[np.object_]

#: Knots of a calibration at most, and rows behind each at least.
MAX_KNOTS, MIN_ROWS = 50, 10

#: A class that training named so often has a calibration of its own: fewer rows would make it coarse.
MIN_CLASS_ROWS = MAX_KNOTS * MIN_ROWS

#: Scores told apart: with more distinct ones neighbours are pooled, which moves the AUC by less than 1e-5.
MAX_SCORES = 65_536

#: The metrics that are estimated for binary models.
ESTIMATED = ("auc", "brier", "log_loss", "accuracy", "base_rate")

#: Under this name a calibration of several classes keeps how far the share of right rows strays.
RIGHT = "base_rate"

#: Bands are no wider than where a row of training is worth this; the estimate is outside far before.
LEAST_WORTH = 0.01


class ScoreCalibration(Part):
    """What scores meant in training, and how far its windows strayed from what that lets expect.

    Attributes
    ----------
    scores, probabilities : tuple of float, length n_knots
        Ascending both; between knots a line, beyond them the last value. Written with six digits.
    strays : dict of str to float
        Per metric, the standard deviation of (realised less estimated) over training's windows that
        chance does not explain.
    by_class : dict of str to ScoreCalibration
        Of several classes: what scores meant where the class was the one named, for those that training
        named often; without ``strays``. Other rows are judged by those of all.
    class_rates : ClassRates or None
        Of several classes: how many rows of each are to be expected; none in older profiles.
    """

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]
    strays: dict[str, float]
    by_class: dict[str, ScoreCalibration] = Field(default_factory=dict)
    class_rates: ClassRates | None = None

    @classmethod
    def fit(
        cls,
        scores: Floats,
        positive: npt.NDArray[np.bool_],
        bounds: Sequence[int],
        named: Texts | None = None,
        true: Texts | None = None,
    ) -> ScoreCalibration | None:
        """Learn from out-of-fold scores; None if no row has one.

        The probabilities are an isotonic regression (Ayer, Brunk, Ewing, Reid and Silverman, *Annals of
        Mathematical Statistics* 26, 1955) on groups of rows with near scores.

        Parameters
        ----------
        scores : ndarray of float, shape (n_rows,)
            NaN where there is none.
        positive : ndarray of bool, shape (n_rows,)
            What came true.
        bounds : sequence of int
            First row of each window, and the one after the last.
        named : ndarray of str, shape (n_rows,), optional
            Of several classes, the one that each score is the certainty of; ``positive`` says whether it
            came true.
        true : ndarray of str, shape (n_rows,), optional
            Of several classes, the one that came true.
        """
        there = np.isfinite(scores)
        if not there.any():
            return None
        by_class = {}
        if named is not None:
            classes, rows = np.unique(named[there].astype(str), return_counts=True)
            for label in classes[rows >= MIN_CLASS_ROWS].tolist():
                of_it = there & (named == label)
                by_class[label] = cls._of_all(scores[of_it], positive[of_it])
        plain = cls._of_all(scores[there], positive[there]).model_copy(update={"by_class": by_class})
        gaps: dict[str, list[tuple[float, float]]] = {name: [] for name in ESTIMATED}
        for first, after in pairwise(bounds):
            kept = np.arange(first, after)[there[first:after]]
            labels = None if named is None else named[kept]
            for name, pair in plain.realised(scores[kept], positive[kept], labels).items():
                gaps[name].append(pair)
        strays = {
            name: math.sqrt(max(float(np.mean([gap**2 - chance**2 for gap, chance in pairs])), 0.0))
            for name, pairs in gaps.items()
            if pairs
        }
        rates = None
        if named is not None and true is not None:
            chance = np.full(scores.size, np.nan)
            chance[there] = plain.chances(scores[there], named[there])
            rates = ClassRates.fit(chance, named, true, bounds)
        return plain.model_copy(update={"strays": strays, "class_rates": rates})

    @classmethod
    def _of_all(cls, scores: Floats, positive: npt.NDArray[np.bool_]) -> Self:
        """What some finite scores meant, whatever was named."""
        order = np.argsort(scores, kind="stable")
        ordered, truth = scores[order], positive[order].astype(np.float64)
        size = max(MIN_ROWS, -(-ordered.size // MAX_KNOTS))
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        firsts = [0]
        for start in starts.tolist():  # equal scores stay together
            if start - firsts[-1] >= size and ordered.size - start >= MIN_ROWS:
                firsts.append(start)
        rows = np.diff([*firsts, ordered.size])
        means = np.add.reduceat(ordered, firsts) / rows
        rates = _isotonic(np.add.reduceat(truth, firsts) / rows, rows.astype(np.float64))
        return cls(scores=tuple(means.tolist()), probabilities=tuple(rates.tolist()), strays={})

    def chances(self, scores: Floats, named: Texts | None = None) -> Floats:
        """The probability behind each finite score; of several classes, that the one named is right.

        Parameters
        ----------
        scores : ndarray of float64, shape (n_rows,)
            As published.
        named : ndarray of str, shape (n_rows,), optional
            The class that each row was given, of several.

        Returns
        -------
        ndarray of float64, shape (n_rows,)
        """
        found = np.interp(scores, self.scores, self.probabilities)
        for label, own in self.by_class.items() if named is not None else ():
            of_it = named == label
            found[of_it] = np.interp(scores[of_it], own.scores, own.probabilities)
        return np.asarray(found)

    def widened(self, reach: float) -> ScoreCalibration:
        """As it is for a window in whose population a row of training is worth ``reach``, 0 to 1.

        What the calibration is off by at some features averages out over training. It does not where they
        moved: by Cauchy and Schwarz the mean is then off by up to the deviation of importance weights,
        ``sqrt(1 / reach - 1)``, times what single rows are off by systematically. Strays stand for that: they
        are the part of it that training's own windows showed.
        """
        farther = math.sqrt(1 / max(reach, LEAST_WORTH))
        strays = {name: float(f"{stray * farther:.6g}") for name, stray in self.strays.items()}
        rates = None if self.class_rates is None else self.class_rates.widened(farther)
        return self.model_copy(update={"strays": strays, "class_rates": rates})

    def realised(
        self, scores: Floats, positive: npt.NDArray[np.bool_], named: Texts | None = None
    ) -> dict[str, tuple[float, float]]:
        """Realised less estimated metrics of one window, and the deviation that chance explains.

        Parameters
        ----------
        scores : ndarray of float64, shape (n_rows,)
            As published.
        positive : ndarray of bool, shape (n_rows,)
            Whether the row is of the positive class; of several, whether the class named was right.
        named : ndarray of str, shape (n_rows,), optional
            The class that each row was given, of several.

        Returns
        -------
        dict of str to (float, float)
            By metric: the difference and its standard deviation by chance, in the metric's unit.
        """
        if scores.size == 0:
            return {}
        if named is not None:
            chance = self.chances(scores, named)
            return {RIGHT: (float(positive.mean() - chance.mean()), _deviation_of_mean(chance))}
        estimate = estimated_performance(scores, self)
        clipped = np.clip(scores, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
        auc = auc_interval(scores, positive)
        truth = {
            "auc": None if auc is None else auc[0],
            "brier": float(((scores - positive) ** 2).mean()),
            "log_loss": float(-np.where(positive, np.log(clipped), np.log1p(-clipped)).mean()),
            "accuracy": float(((scores >= 0.5) == positive).mean()),
            "base_rate": float(positive.mean()),
        }
        found = {}
        for name, value in truth.items():
            expected = estimate[name]
            if value is not None and expected.value is not None and expected.high is not None:
                found[name] = (value - expected.value, (expected.high - expected.value) / Z95)
        return found

    @field_serializer("scores", "probabilities", "strays")
    def _six_digits(self, given: Any) -> Any:
        if isinstance(given, Mapping):
            return {name: float(f"{value:.6g}") for name, value in given.items()}
        return [float(f"{value:.6g}") for value in given]

    @model_serializer(mode="wrap")
    def _without_no_classes(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What has no classes is written as it was before there were any: the bytes of packages are kept."""
        written: dict[str, Any] = fields(self)
        if not self.by_class:  # pydantic calls this twice where a class holds itself
            written.pop("by_class", None)
        if self.class_rates is None:
            written.pop("class_rates", None)
        return written


def _deviation_of_mean(chance: Floats) -> float:
    """Of the share of rows that come true, each with its own chance."""
    return math.sqrt(float((chance * (1 - chance)).sum())) / chance.size


def _isotonic(rates: Floats, weights: Floats) -> Floats:
    """The non-decreasing sequence nearest to ``rates`` by weighted squares: pool adjacent violators."""
    blocks: list[tuple[float, float, int]] = []
    for rate, weight in zip(rates.tolist(), weights.tolist(), strict=True):
        value, mass, count = rate, weight, 1
        while blocks and blocks[-1][0] >= value:
            before, more, members = blocks.pop()
            value = (before * more + value * mass) / (more + mass)
            mass, count = mass + more, count + members
        blocks.append((value, mass, count))
    return np.repeat([value for value, _, _ in blocks], [count for _, _, count in blocks])


def estimated_performance(scores: Floats, calibration: ScoreCalibration | None = None) -> dict[str, Measure]:
    """Expected performance of a binary classifier, with the band in which it should come true.

    The expected AUC is the share of (positive, negative) pairs in the right order under the weights,
    ties counting half. Bands are 95 % of the normal distribution around the estimate; variances are
    those of independent labels with the scores held, for the AUC by the delta method, plus the
    calibration's ``strays`` squared.

    Parameters
    ----------
    scores : ndarray of float, shape (n_rows,)
        Scores for the positive class, 0 to 1; NaN is left out.
    calibration : ScoreCalibration, optional
        What scores mean; by default a score is the probability itself.

    Returns
    -------
    dict of str to Measure
        ``auc``, ``brier``, ``log_loss`` (nats), ``accuracy`` (at .5) and ``base_rate``; of value None
        without rows, the AUC also if one class has no weight.
    """
    ordered = np.sort(np.clip(scores[np.isfinite(scores)], 0.0, 1.0))
    if ordered.size == 0:
        return dict.fromkeys(ESTIMATED, Measure())
    at, rows = _distinct(ordered)
    chance, strays = at, {}
    if calibration is not None:
        chance = np.interp(at, calibration.scores, calibration.probabilities)
        strays = calibration.strays
    spread = chance * (1 - chance)
    inner = np.clip(at, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    right, wrong = -np.log(inner), -np.log1p(-inner)
    named = np.where(at >= 0.5, 1.0, -1.0)
    auc, deviation = _expected_auc(rows, chance) or (None, 0.0)
    found = {"auc": Measure() if auc is None else _band(auc, deviation, strays.get("auc"))}
    # What a row adds to a metric takes one of two values; their difference is what chance moves.
    for name, value, step, most in (
        ("brier", spread + (chance - at) ** 2, 1 - 2 * at, 1.0),
        ("log_loss", chance * right + (1 - chance) * wrong, right - wrong, math.inf),
        ("accuracy", np.where(at >= 0.5, chance, 1 - chance), named, 1.0),
        ("base_rate", chance, 1.0, 1.0),
    ):
        deviation = math.sqrt(float((rows * spread * step**2).sum())) / ordered.size
        found[name] = _band(float((rows * value).sum()) / ordered.size, deviation, strays.get(name), most)
    return found


def _distinct(ordered: Floats) -> tuple[Floats, Floats]:
    """Distinct ascending scores and the rows of each; of very many, neighbours count as equal."""
    if ordered.size > MAX_SCORES:
        starts = np.linspace(0, ordered.size, MAX_SCORES, endpoint=False).astype(np.intp)
        rows = np.diff(starts, append=ordered.size).astype(np.float64)
        ordered, weights = np.add.reduceat(ordered, starts) / rows, rows
    else:
        weights = np.ones(ordered.size)
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    return ordered[starts], np.add.reduceat(weights, starts)


def estimated_accuracy(
    scores: Floats, calibration: ScoreCalibration | None = None, named: Texts | None = None
) -> Measure:
    """Expected accuracy of a multiclass model, whose score is its certainty of the class it names.

    Parameters
    ----------
    scores : ndarray of float, shape (n_rows,)
        Without any that is finite the value is None.
    calibration : ScoreCalibration, optional
        Of scores and of whether the named class came true; by default a score is the probability itself.
    named : ndarray of str, shape (n_rows,), optional
        The class that each row names. With it each class has its own calibration (top-label calibration:
        Gupta and Ramdas, arXiv:2107.08353), where training named it often enough.
    """
    there = np.isfinite(scores)
    if not there.any():
        return Measure()
    chance = np.clip(scores[there], 0.0, 1.0)
    if calibration is not None:  # being right is the event whose rate is estimated
        chance = calibration.chances(chance, None if named is None else named[there])
    stray = None if calibration is None else calibration.strays.get(RIGHT)
    return _band(float(chance.mean()), _deviation_of_mean(chance), stray)


def _expected_auc(rows: Floats, chance: Floats) -> tuple[float, float] | None:
    """The expected AUC of ascending distinct scores, and the realised one's standard deviation about it."""
    up, down = rows * chance, rows * (1 - chance)
    positive, negative = float(up.sum()), float(down.sum())
    pairs = positive * negative
    if pairs <= 0:
        return None
    below = np.cumsum(down) - down / 2  # negatives a score is above, ties half
    above = positive - np.cumsum(up) + up / 2
    auc = float((up * below).sum() / pairs)
    # By how much the AUC moves when one row turns from a negative to a positive.
    slope = (below - above - auc * (negative - positive)) / pairs
    variance = float((rows * chance * (1 - chance) * slope**2).sum())
    return auc, math.sqrt(variance)


def _band(value: float, deviation: float, stray: float | None, most: float = 1.0) -> Measure:
    half = Z95 * math.hypot(deviation, stray or 0.0)
    return Measure(value=value, low=max(value - half, 0.0), high=min(value + half, most))
