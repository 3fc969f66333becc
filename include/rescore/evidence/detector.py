"""From verdicts to alarms: evidence that accumulates over windows, under a budget of false alarms.

A verdict describes a window, and of forty stable models two a day are drifted by chance. An alarm is to wake
a person, so it is raised by evidence that many windows can't give by chance: a Shiryaev-Roberts e-detector
(Shin, Ramdas and Rinaldo, *E-detectors*, arXiv:2203.03532) over conformal p-values, betting
``eps * p ** (eps - 1)`` for many ``eps`` at once (Vovk, Gammerman and Shafer 2005, chapter 7). On stable
windows it takes ``limit`` windows on average to come to ``limit``.

That holds for p-values which don't tell of each other. Where windows resemble the ones before, what is
ranked is therefore how far a window is off what the window before it let expect, among the same of the
reference (pre-whitening; :func:`~rescore.evidence.window_memory.memory_of`). Few windows of training may
look as if they had little memory; the stable windows since then tell what was missed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rescore.document import Number, Part
from rescore.evidence.window_memory import memory_of
from rescore.shown_text import number_of

__all__ = ["Alarm", "Evidence", "Look", "accumulate", "limit_of"]

Floats = npt.NDArray[np.float64]

#: Exponents of the bets: near 0 for rare and strong changes, near 1 for lasting and weak ones.
BETS: Floats = np.linspace(0.05, 0.95, 19)

#: The memory of stable windows is told anew when so many more are there: one more hardly moves it.
TOLD_ANEW = 10

#: An alarm ends when so many windows in a row are as usual: their p-values above this.
USUAL_WINDOWS, USUAL = 10, 0.2

#: Features that an alarm names.
MAX_FEATURES = 5


@dataclass(frozen=True)
class Look:
    """What one window says, in order of time.

    Attributes
    ----------
    start : str
        Of its interval, ISO 8601.
    statistic : float
        The window's; large is unusual.
    reference : sequence of float
        The same of each reference window, in order of time.
    features : tuple of str
        What is unusual about it, the worst first.
    limit : float, optional
        The limit in force when this window was first looked at; default: today's.
    told : bool, optional
        Whether an alarm stood after this window was first looked at; default: worked out from the windows
        given.
    """

    start: str
    statistic: float
    reference: Sequence[float]
    features: tuple[str, ...] = ()
    limit: float | None = None
    told: bool | None = None


class Alarm(Part):
    """Where a model's evidence stands after a window.

    Attributes
    ----------
    raised : bool
        Whether an alarm stands.
    new : bool
        Whether nobody was told of this alarm at an earlier window.
    evidence, limit : float
        The evidence so far, and the evidence that raises an alarm. A stable model takes ``limit`` windows on
        average to get there.
    since : str or None
        The start of the window from which the evidence comes; None without any.
    windows : int
        Windows that were looked at, this one included.
    fastest : int
        The fewest windows to an alarm: if each is more unusual than every reference window.
    features : tuple of str
        What is unusual since then, the most frequent first.
    """

    raised: bool
    new: bool
    evidence: Number
    limit: float
    since: str | None
    windows: int
    fastest: int
    features: tuple[str, ...] = ()

    def __str__(self) -> str:
        """``Alarm since … (evidence 812, alarm from 365; …): x1, x2``; without an alarm, ``Evidence …``."""
        if not self.raised:
            return (
                f"Evidence {self.evidence or 0:.3g} after {number_of(self.windows, 'window')}, "
                f"alarm from {self.limit:.3g}"
            )
        named = f": {', '.join(self.features)}" if self.features else ""
        since = (self.since or "").replace("T", " ").replace(":00+00:00", " UTC")
        said = f"evidence {self.evidence or 0:.3g}, alarm from {self.limit:.3g}"
        # What stands longer than this came slowly, or has been there for longer than the evidence shows.
        shown = f"even the strongest change takes {number_of(self.fastest, 'window')} to show"
        return f"Alarm since {since} ({said}; {shown}){named}"


def limit_of(windows_per_year: float, streams: int, false_per_year: float) -> float:
    """The evidence that raises an alarm, for an installation's false alarms to be ``false_per_year`` at most.

    Each stream of windows gets as large a part of the budget as any other.
    """
    return max(windows_per_year * max(streams, 1) / false_per_year, 2.0)


def accumulate(looks: Sequence[Look], limit: float) -> Alarm:
    """The evidence after the last of these windows of one package.

    The reference grows by every window that is part of no alarm: a fixed one has a false-alarm rate of
    its own, and is looked at again and again.

    Parameters
    ----------
    looks : sequence of Look
        In order of time, at least one.
    limit : float
        See :func:`limit_of`.
    """
    state = Evidence()
    stood = told = False
    for look in looks:
        stood = state.raised and (stood or told)
        state.see(look, limit if look.limit is None else look.limit)
        told = state.raised if look.told is None else look.told
    told = stood or bool(looks[-1].told)
    since = None if state.since is None else looks[state.since].start
    named = [name for look in looks[state.since or 0 :] for name in look.features] if since else []
    return Alarm(
        raised=state.raised,
        new=state.raised and not told,
        evidence=float(f"{state.evidence:.4g}"),
        limit=float(f"{limit:.4g}"),
        since=since,
        windows=len(looks),
        fastest=_fastest(len(looks[-1].reference) + len(state.grown), limit),
        features=tuple(sorted(set(named), key=lambda name: (-named.count(name), name)))[:MAX_FEATURES],
    )


class Evidence:
    """Evidence for each bet, and the windows that the reference has grown by.

    Attributes
    ----------
    raised, new : bool
        Whether an alarm stands, and whether the last window raised it.
    grown : ndarray of float, shape (n_windows,)
        In order of time: statistics of windows that were part of no alarm.
    """

    def __init__(self) -> None:
        self.raised = self.new = False
        self._seen: Floats = np.empty((0, 3))  # number, statistic, and that of the window before or NaN
        self._before = math.nan
        self._stable, self._of_stable = 0, 0.0
        self._number = self._usual = 0
        self._begin()

    @property
    def grown(self) -> Floats:
        """See the class."""
        return self._seen[:, 1]

    def _begin(self) -> None:
        self._sum = np.zeros(BETS.size)
        self._best = np.zeros(BETS.size)
        self._from = np.zeros(BETS.size, dtype=np.int64)

    @property
    def evidence(self) -> float:
        """Of all bets together."""
        return float(self._sum.mean())

    @property
    def since(self) -> int | None:
        """The window from which the strongest bet has won."""
        return int(self._from[int(self._sum.argmax())]) if self.evidence >= 1 else None

    def see(self, look: Look, limit: float) -> None:
        """Take one more window."""
        news = self._news(look)
        won = BETS * _p(news[-1], news[:-1]) ** (BETS - 1)
        self._from = np.where(self._best < 1, self._number, self._from)
        self._best = np.maximum(self._best, 1.0) * won
        self._sum = np.minimum((1 + self._sum) * won, 1e300)
        self.new = not self.raised and self.evidence >= limit
        if self.new:
            self._seen = self._seen[self._seen[:, 0] < (self.since or 0)]
            self.raised, self._usual = True, 0
        elif self.raised:
            # By the window itself: that a change lasts is no news, and no end.
            usual = _p(look.statistic, np.concatenate([look.reference, self.grown])) > USUAL
            self._usual = self._usual + 1 if usual else 0
            if self._usual >= USUAL_WINDOWS:
                self.raised = False
                self._begin()
        if not self.raised:
            self._seen = np.vstack([self._seen, [self._number, look.statistic, self._before]])
        self._before = look.statistic
        self._number += 1

    def _news(self, look: Look) -> Floats:
        """What each window says that the one before did not: the grown reference, then the live one.

        A first window has none before: its distance from the mean is drawn in to the spread of others' news.
        """
        reference = np.asarray(look.reference, dtype=np.float64)
        memory, middle = self._memory(reference), reference.mean()
        off = np.concatenate([reference, self.grown, [look.statistic]]) - middle
        before = np.concatenate([[math.nan], reference[:-1], self._seen[:, 2], [self._before]]) - middle
        return np.asarray(np.where(np.isnan(before), math.sqrt(1 - memory**2) * off, off - memory * before))

    def _memory(self, reference: Floats) -> float:
        """That of the reference, or of it and the stable windows since then, whichever is more.

        Windows that the evidence comes from are left out: a change that lasts looks like memory, and would be
        explained away.
        """
        first = self._number if self.since is None else self.since
        stable = int((self._seen[:, 0] < first).sum()) // TOLD_ANEW * TOLD_ANEW
        if stable != self._stable:
            told = memory_of(np.concatenate([reference, self.grown[:stable]])) if stable else 0.0
            self._stable, self._of_stable = stable, told
        return max(memory_of(reference), self._of_stable)


def _p(value: float, others: Floats) -> float:
    """Share of windows, the live one included, that are at least as extreme."""
    least = value - 1e-9 * (1 + abs(value))
    return float((1 + (others >= least).sum()) / (1 + others.size))


def _fastest(windows: int, limit: float) -> int:
    """Windows until an alarm if each is more unusual than all of the reference."""
    total, count = np.zeros(BETS.size), 0
    while total.mean() < limit:
        total = (1 + total) * BETS * (1 / (windows + 1)) ** (BETS - 1)
        count += 1
    return count
