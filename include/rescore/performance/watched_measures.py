"""What of a window's outcomes is watched, and how unusual it is among training's own windows.

Training's windows came true out of fold, and the hold-out is among them: live ones are compared with that, in
the metric itself and in its distance from the estimate that scores give. Every window is judged by all
others, the live one like any other, so that its rank is uniform where it is like them. The greatest of all
measures is ranked, so that segments and metrics are paid for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import field_serializer

from rescore.document import Number, Part
from rescore.evidence import without_memory
from rescore.performance.metrics import Z95
from rescore.performance.report import Coverage, Measure, PerformanceReport

__all__ = ["CameTrue", "Unusual", "unusual", "watched"]

Floats = npt.NDArray[np.float64]

#: A window of fewer labelled rows is not looked at.
MIN_LABELLED = 20

#: Training windows that are needed to look at all, and the share of them that a segment has to be in.
MIN_WINDOWS, OFTEN = 8, 0.5

#: A window says nothing while its share of rows with a label is below what nine in ten of training's windows
#: have, and by more than this: labels may come class by class, and those that are missing are of one.
OFTEN_LABELLED, LABEL_SLACK = 0.1, 0.02

#: A measure is named if so few of training's windows are as unusual in any.
NAMED = 0.1

#: Per metric, its sign for large to be worse; 0: off to either side.
_WORSE = {"auc": -1, "accuracy": -1, "brier": 1, "rmse": 1, "bias": 0, "base_rate": 0}
_OF_ALL, _OF_A_SEGMENT = ("auc", "accuracy", "brier", "rmse", "bias"), ("accuracy", "brier", "rmse", "bias")
_AGAINST = ("auc", "accuracy", "brier", "base_rate")

Watched = dict[str, tuple[float, float]]


class CameTrue(Part):
    """How training's windows came true out of fold, measure by measure.

    Attributes
    ----------
    starts : tuple of str, length n_windows
        Of the windows that have enough labels, in order.
    values, errors : dict of str to tuple of float or None, length n_windows
        As :func:`watched` gives them; None where a window has none.
    coverage : float or None
        The share of rows with a label that nine in ten of these windows have; None if that was not kept.
    """

    starts: tuple[str, ...]
    values: dict[str, tuple[Number, ...]]
    errors: dict[str, tuple[Number, ...]]
    coverage: Number = None

    @classmethod
    def of(
        cls,
        starts: Sequence[str],
        reports: Sequence[PerformanceReport],
        labelled: Sequence[float] | None = None,
    ) -> CameTrue | None:
        """Of training's windows, in order; None if too few of them have labels.

        ``labelled`` is the share of each window's rows that have one, whether they have a score or not.
        """
        found = [(start, watched(one)) for start, one in zip(starts, reports, strict=True)]
        found = [(start, one) for start, one in found if one]
        if len(found) < MIN_WINDOWS:
            return None
        every = dict.fromkeys(name for _, one in found for name in one)
        names = [name for name in every if sum(name in one for _, one in found) >= OFTEN * len(found)]
        nothing = (None, None)
        return cls(
            starts=tuple(start for start, _ in found),
            values={name: tuple(one.get(name, nothing)[0] for _, one in found) for name in names},
            errors={name: tuple(one.get(name, nothing)[1] for _, one in found) for name in names},
            coverage=_often(labelled or ()),
        )

    def lacking_labels(self, report: PerformanceReport) -> str:
        """Why a window says nothing yet of how well the model does; empty if enough of it has labels."""
        if self.coverage is None or report.coverage is None:
            return ""
        if report.coverage >= self.coverage - LABEL_SLACK:
            return ""
        return (
            f"only {report.coverage:.1%} of the last window's rows have a label, in training "
            f"{self.coverage:.1%} and more: it does not count as evidence until more have come"
        )

    @field_serializer("values", "errors")
    def _four_digits(self, given: Mapping[str, Sequence[float | None]]) -> Any:
        return {
            name: [None if one is None else float(f"{one:.4g}") for one in column]
            for name, column in given.items()
        }


@dataclass(frozen=True)
class Unusual:
    """How unusual a live window is, what training's windows are, and in which measures; the worst first."""

    statistic: float
    reference: tuple[float, ...]
    measures: tuple[str, ...]


def _often(labelled: Sequence[float]) -> float | None:
    """The share of labelled rows that most windows reach, of those that have any."""
    some = [share for share in labelled if share > 0]
    return float(f"{np.quantile(some, OFTEN_LABELLED):.4g}") if some else None


def watched(report: PerformanceReport) -> Watched:
    """Per measure its value, large being worse or off to either side, and its standard error by chance.

    Binary: ``auc`` and ``brier``. Several classes: ``accuracy``. Regression: the logarithm of ``rmse``, and
    ``bias``. Classifiers also against what their scores let expect (``… against its estimate``), the base
    rate of a binary one too. Each segment has its own (``brier of origin JFK``). Empty if too few rows have
    a label, or some have one that training never saw.
    """
    if report.labelled < MIN_LABELLED or report.unknown_labels:
        return {}
    found = dict(_measures(report, _OF_ALL))
    for name in _AGAINST:
        agreement, measure = report.agreement.get(name), report.measure(name)
        error = _error(measure)
        if agreement is not None and error is not None:
            gap = agreement.realised - agreement.estimated
            found[f"{name} against its estimate"] = ((_WORSE[name] or 1) * gap, error)
    for column, segments in report.segments.items():
        for segment in segments:
            if segment.labelled >= MIN_LABELLED:
                for name, pair in _measures(segment, _OF_A_SEGMENT):
                    found[f"{name} of {column} {segment.value}"] = pair
    return found


def _measures(rows: Coverage, names: Sequence[str]) -> list[tuple[str, tuple[float, float]]]:
    found = []
    for name in names:
        measure = rows.measure(name)
        value, error = measure.value, _error(measure)
        if value is None or error is None:
            continue
        if name == "rmse":  # of squares: its logarithm is less skewed
            if value <= 0:
                continue
            value, error = math.log(value), error / value
        found.append((name, ((_WORSE[name] or 1) * value, error)))
    return found


def _error(measure: Measure) -> float | None:
    if measure.low is None or measure.high is None:
        return None
    return (measure.high - measure.low) / (2 * Z95)


def unusual(trained: CameTrue, live: Watched) -> Unusual | None:
    """Rank a window among training's; None if nothing of it can be compared.

    Each window's distance from the mean of all others, in what chance and the others' spread beyond chance
    explain; the memory of windows is taken out (:func:`rescore.evidence.without_memory`). The statistic is
    ``-ln`` of a normal tail, the greatest over measures.

    Parameters
    ----------
    trained : CameTrue
        Of the package.
    live : dict
        What :func:`watched` gave.
    """
    names = list(
        trained.values
    )  # those that the live window lacks, too: the others' windows lack some as well
    if not any(name in live for name in names):
        return None
    nothing = (math.nan, math.nan)
    pairs = [live.get(name, nothing) for name in names]
    values, errors = (
        np.asarray([[*kept[name], pair[side]] for name, pair in zip(names, pairs, strict=True)], np.float64).T
        for side, kept in enumerate((trained.values, trained.errors))
    )
    two_sided = np.asarray([_WORSE[name.partition(" ")[0]] == 0 for name in names])
    standing = without_memory(_standing(values, errors), two_sided)
    from scipy.special import log_ndtr  # .7 s of processor time, which no stage before drift pays

    each = np.where(two_sided, -math.log(2) - log_ndtr(-np.abs(standing)), -log_ndtr(-standing))
    each = np.where(np.isfinite(values), each, 0.0)
    greatest = each.max(axis=1)
    as_unusual = (greatest[:-1, None] >= each[-1] - 1e-9).sum(axis=0)
    named = [
        place for place in np.argsort(-each[-1], kind="stable") if as_unusual[place] <= NAMED * greatest.size
    ]
    statistic, *reference = (float(f"{one:.5g}") for one in (greatest[-1], *greatest[:-1]))
    return Unusual(statistic, tuple(reference), tuple(names[place] for place in named))


def _standing(values: Floats, errors: Floats) -> Floats:
    """Standard deviations by which each window is off the others, shape (n_windows + 1, n_measures)."""
    there = np.isfinite(values)
    others = np.maximum(there.sum(axis=0) - there, 2)
    middle = np.nanmean(values, axis=0)
    off = np.where(there, values - middle, 0.0)
    chance = np.where(there, errors, 0.0) ** 2
    mean = (off.sum(axis=0) - off) / others
    spread = ((off**2).sum(axis=0) - off**2) / others - mean**2
    sampling = (chance.sum(axis=0) - chance) / others
    wandering = np.maximum(spread * others / (others - 1) - sampling, 0.0)
    variance = chance + wandering * (1 + 1 / others) + sampling / others
    return np.asarray(
        np.where(there & (variance > 0), (off - mean) / np.sqrt(np.maximum(variance, 1e-300)), 0.0)
    )
