"""A challenger in the shadow: evidence of live days that it is better, valid however often it is looked at.

Each day bets on the difference of mean loss against "no better", at several sizes at once, all of them
fixed before the day; what the bets have won on average is the evidence. Of a challenger that is no better
it comes to ``limit`` with a chance of ``1 / limit`` at most, in all looks together, if no bet can lose more
than there is (Ville 1939; betting: Waudby-Smith and Ramdas, *JRSS B* 86, 2024).

There are two such bets, since what a day can lose decides how much may be bet. *Whatever days are*: sized by
the worst day that the loss allows, 1 of Brier's score. They are right for any distribution of days, rare very
bad ones included, and need large gains. *As days were*: sized by three spreads of the days before. They find
small gains; a challenger whose very bad days are yet to come wins them, too, so a person is asked. Squared
and absolute errors and log loss have no bound that could be bet on: of these there is only the second.

Days resemble each other, so what is bet on is a day without what the day before it lets expect: an AR(1),
whose decay gives these days the number of independent ones that
:func:`~rescore.comparison.resampling.independent_blocks` finds, its doubt included.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from rescore.comparison.resampling import MIN_EFFECTIVE, Floats, independent_blocks
from rescore.document import Number, Part
from rescore.performance import ShadowRun

__all__ = ["FEWEST_DAYS", "WORST_DAY", "Shadow", "ShadowTerms", "evidence_by_day", "loss_of", "shadow_after"]

#: Sizes of the bets, as shares of what can be lost.
BETS: Floats = np.linspace(0.1, 0.95, 10)
#: As days were, a gain counts as no more than so many of the spread of the days before; a loss counts whole.
CLIP = 3.0
#: The most by which a day's mean loss can be more, of losses with a bound that is of use.
WORST_DAY = {"brier": 1.0, "accuracy": 1.0}
#: No bet is made before memory and spread are those of so many days, the hold-out's included.
FEWEST_DAYS = 20
#: Standard errors that are added to the memory of days: with a whole one, as the hold-out has, errors are a
#: tenth of what is declared, and gains take weeks longer.
DOUBT = 0.5


class ShadowTerms(Part):
    """By what a challenger is judged in the shadow: all of it fixed when it was compared.

    Attributes
    ----------
    loss : str
        Whose daily mean is compared; ``rmse`` stands for squared errors.
    error : float
        The chance of an error that it may take of the year's budget, in all looks together.
    since, until : str
        When the question was put first, and until when its runs are looked at; ISO 8601.
    begins : str
        Runs of intervals from then on count: neither package was trained or measured on them.
    holdout : tuple of float
        By how much the challenger's loss was less on each day of the hold-out.
    """

    loss: str
    error: float
    since: str
    until: str
    begins: str
    holdout: tuple[float, ...]

    @property
    def limit(self) -> float:
        """The evidence beyond which the challenger is better."""
        return 1 / self.error

    @property
    def worst(self) -> float:
        """The most by which a day's mean loss can be more; infinite where nothing bounds it."""
        return WORST_DAY.get(self.loss, math.inf)


class Shadow(Part):
    """Where a challenger stands in the shadow.

    Attributes
    ----------
    days, rows : int
        That were looked at.
    last : str or None
        The last of these days.
    gain : float or None
        By how much its loss is less, a mean of days.
    evidence : float
        That it is better if days stay as they were; 1 is none.
    decided : str or None
        The day on which the limit was reached, so that a person is asked; None if it never was.
    more : int or None
        Days until the limit if evidence goes on as it did; None if it does not grow.
    bounded : float or None
        The evidence that holds whatever days are; None where the loss has no bound.
    proved : str or None
        The day on which that reached the limit, so that the rule may pin.
    """

    days: int
    rows: int
    last: str | None
    gain: Number
    evidence: float
    decided: str | None
    more: int | None
    bounded: Number = None
    proved: str | None = None


def loss_of(kind: str, metric: str) -> str:
    """The loss whose daily mean stands for a metric: its own, Brier's of an AUC, squared errors of R squared.

    Of several classes only the named one is published: whether it was right.
    """
    if kind == "multiclass":
        return "accuracy"
    return {"auc": "brier", "r2": "rmse"}.get(metric, metric)


def shadow_after(terms: ShadowTerms, runs: Iterable[ShadowRun]) -> Shadow:
    """Where a challenger stands after some runs; the order in which they were looked at plays no part.

    Parameters
    ----------
    terms : ShadowTerms
        What was fixed when it began.
    runs : iterable of ShadowRun
        Of this pair, each run once. A day counts when its last run is there, or a later day's.
    """
    by_day: dict[str, list[ShadowRun]] = {}
    for run in runs:
        by_day.setdefault(run.day, []).append(run)
    names = sorted(by_day)
    if names and not any(run.closes for run in by_day[names[-1]]):
        names.pop()
    gains = [_gain(by_day[name]) for name in names]
    known = len(terms.holdout)
    won, bounded = evidence_by_day(np.asarray([*terms.holdout, *gains], dtype=np.float64), known, terms.worst)
    decided, proved = (
        names[int(np.argmax(one >= terms.limit))] if (one >= terms.limit).any() else None
        for one in (won, bounded)
    )
    evidence, surely = (float(one[-1]) if len(one) else 1.0 for one in (won, bounded))
    return Shadow(
        days=len(names),
        rows=sum(run.rows for name in names for run in by_day[name]),
        last=names[-1] if names else None,
        gain=float(np.mean(gains)) if gains else None,
        evidence=float(f"{evidence:.4g}"),
        decided=decided,
        more=None if decided else _more(evidence, len(gains) - max(FEWEST_DAYS - known, 1), terms.limit),
        bounded=float(f"{surely:.4g}") if math.isfinite(terms.worst) else None,
        proved=proved,
    )


def _gain(runs: Sequence[ShadowRun]) -> float:
    # fsum: the order in which runs were looked at leaves no trace in the last bit.
    lost = math.fsum(sum(((one.champion_loss, -one.challenger_loss) for one in runs), ()))
    return lost / sum(one.rows for one in runs)


def _more(evidence: float, bets: int, limit: float) -> int | None:
    """Days until the limit, if evidence goes on to grow as it did; None if it does not grow."""
    if bets < 1 or evidence <= 1:
        return None
    return math.ceil(bets * math.log(limit / evidence) / math.log(evidence))


def evidence_by_day(gains: Floats, known: int, worst: float = math.inf) -> tuple[Floats, Floats]:
    """What the bets have won after each day: if days stay as they were, and whatever they are.

    Parameters
    ----------
    gains : ndarray of float, shape (..., n_days)
        By how much a day's mean loss is less with the challenger, in order of time; of several pairs at once.
    known : int
        The first ``known`` days are the hold-out's: they say what days are like, and win nothing.
    worst : float
        No day loses more. Infinite: nothing is bet whatever days are.

    Returns
    -------
    tuple of two ndarrays of float, shape (..., n_days - known)
        1 while no bet was made.
    """
    days = gains.shape[-1]
    won = np.ones((2, *gains.shape[:-1], BETS.size))
    evidence = np.ones((2, *gains.shape[:-1], max(days - known, 0)))
    # The day after the hold-out may be weeks later: what it lets expect is for the day after it.
    for day in range(known, days):
        if day > known and day >= FEWEST_DAYS:
            before = gains[..., :day]
            worth = independent_blocks(before, DOUBT)
            memory = (day - worth) / (day + worth)
            news = before[..., 1:] - memory[..., None] * before[..., :-1]
            spread = CLIP * news.std(axis=-1, ddof=1)
            expected = memory * gains[..., day - 1]
            told = gains[..., day] - expected
            # A spread of rounding is none.
            bet = (spread > 1e-9 * np.abs(before).max(axis=-1)) & (worth >= MIN_EFFECTIVE)
            share = np.where(
                bet, [np.minimum(told / np.where(bet, spread, 1.0), 1.0), told / (worst + expected)], 0.0
            )
            # A day worse than what was at stake takes all of it: there is no debt.
            won = won * np.maximum(1 + BETS * share[..., None], 0.0)
        evidence[..., day - known] = won.mean(axis=-1)
    return evidence[0], evidence[1]
