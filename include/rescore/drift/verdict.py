"""The one verdict of a run, and the sentences that go with it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from rescore.drift.binning import Tally
from rescore.drift.calibration import MIN_COMPARED, MIN_RANKED, windows_needed
from rescore.drift.outage import Outage, describe, join_names, percent
from rescore.drift.report import (
    SHARE_OF_ROWS,
    FeatureDrift,
    JointDrift,
    Method,
    Verdict,
    VolumeDrift,
    worst_first,
)
from rescore.shown_text import number_of
from rescore.spec import DriftSpec

__all__ = [
    "MATTERS",
    "SMALL_EFFECT",
    "judge",
    "say_limits",
    "say_missing",
    "say_note",
    "say_outside",
    "say_share_missing",
    "say_too_few",
]

Floats = npt.NDArray[np.float64]

#: Drifted features matter if together they carry at least this share of the model's importance.
MATTERS = 0.10

#: Effects below this can't matter, however sure they are: a shift by a seventh of a standard deviation.
SMALL_EFFECT = 0.02

#: A share of missing values that is named, even if other windows had more, if most had far fewer.
MUCH_MISSING = 0.20

#: An estimated AUC below every reference window's by at least this much is consequential.
AUC_LOSS = 0.01


def judge(
    features: tuple[FeatureDrift, ...],
    outages: list[tuple[str, Outage]],
    p_value: float | None,
    drift: DriftSpec,
    auc: tuple[float | None, float | None],
    joint: JointDrift | None = None,
    volume: VolumeDrift | None = None,
    *,
    nothing: str = "The window has no rows",
) -> tuple[Verdict, str]:
    """Join outages, drift, importance and estimated performance to one verdict and say why.

    *outage* if a column is broken or rows are missing; *drifted* if the whole window is more unusual than the
    declared rate allows, in at least one feature whose effect reaches the floor; *consequential* if besides
    the drifted features carry a tenth of the model's importance, or the scores moved (both by more than
    ``SMALL_EFFECT``), or the estimated AUC fell below every reference window's. Features that go together
    otherwise than in training (``joint``) count as one more drifted feature, with the importance of them all;
    an unusual number of rows (``volume``) counts as one with importance 0. ``auc`` is the estimated one, and
    the smallest of the reference windows. ``nothing`` says why there is no p-value.
    """
    if broken := _broken(outages, volume):
        return "outage", broken
    if p_value is None:
        return "ok", f"{nothing}: there is nothing to compare"
    chance = f"p = {p_value:.2g}, declared rate {drift.false_alarm_rate:g}"
    if p_value > drift.false_alarm_rate + 1e-12:
        return "ok", f"No more unlike training than training's own windows are ({chance})"
    flagged = worst_first(one for one in features if one.flagged)
    together = joint if joint is not None and joint.flagged else None
    said = [_say_moved(one) for one in flagged[:3]]
    said += [] if together is None else [_say_together(together)]
    said += [str(volume)] if volume is not None and volume.flagged else []
    if not said:
        return (
            "ok",
            f"Unlike training's windows ({chance}), but by less than the effect floor {drift.effect_floor:g}",
        )
    what = f"{'; '.join(said)}{_more(len(flagged) - 3)} ({chance})"
    if reasons := _reasons(flagged, together, features, auc):
        return "consequential", f"{what}. It matters: {', '.join(reasons)}"
    weight = _importance(flagged, together, features)
    return "drifted", f"{what}. Together {percent(weight)} of the model's importance"


def _broken(outages: list[tuple[str, Outage]], volume: VolumeDrift | None) -> str:
    """What is broken; empty if nothing is."""
    said = []
    if volume is not None and volume.outage:
        lost = percent(1 - volume.rows / volume.expected)
        said.append(f"Only {volume}: {lost} of them are missing")
    return ". ".join([*said, *([describe(outages)] if outages else [])])


def _reasons(
    flagged: list[FeatureDrift],
    together: JointDrift | None,
    features: tuple[FeatureDrift, ...],
    auc: tuple[float | None, float | None],
) -> list[str]:
    """Why what moved matters to the model; none if it does not."""
    felt = [one for one in flagged if one.effect >= SMALL_EFFECT]
    with_effect = together if together is not None and together.effect >= SMALL_EFFECT else None
    weight_felt = _importance(felt, with_effect, features)
    reasons = []
    if weight_felt >= MATTERS:
        reasons.append(f"{percent(weight_felt)} of the model's importance")
    if any(one.kind == "score" for one in felt):
        reasons.append("the scores themselves moved")
    expected, low = auc
    if expected is not None and low is not None and expected < low - AUC_LOSS:
        reasons.append(f"expected AUC {expected:.3f}, in training's windows at least {low:.3f}")
    return reasons


def _say_moved(one: FeatureDrift) -> str:
    if one.note.startswith(("missing", "there")):
        return f"{one.name} is {one.note}"
    if one.distance is None:
        return f"{one.name} moved (PSI {one.psi:.2g})"
    if one.unit == SHARE_OF_ROWS:
        size = f"{percent(one.distance)} of rows"
    else:
        size = f"{one.distance:.3g} {one.unit}".strip()
    return f"{one.name} moved by {size} (PSI {one.psi:.2g})"


def _importance(
    flagged: list[FeatureDrift], together: JointDrift | None, features: tuple[FeatureDrift, ...]
) -> float:
    """What flagged features are worth to the model, with those that go together otherwise."""
    names = {one.name for one in flagged} | set(together.features if together else ())
    return sum(one.importance for one in features if one.name in names)


def _say_together(joint: JointDrift) -> str:
    """``a and b go together unlike in training (correlation 0.61, there 0.02; AUC 0.64)``."""
    auc = f"a classifier tells the window from training with AUC {joint.auc:.2f}"
    if not joint.pairs:
        return f"features go together unlike in training ({auc})"
    pair = joint.pairs[0]
    one, other = pair.columns
    correlation = f"correlation {pair.correlation:.2f}, there {pair.correlation_reference:.2f}"
    return f"{one} and {other} go together unlike in training ({correlation}; {auc})"


def _more(count: int) -> str:
    return f"; and {count} more" if count > 0 else ""


def say_note(tally: Tally, outage: Outage | None, name: str, missing: float, before: Floats) -> str:
    """What there is to say of one feature besides its numbers."""
    if outage is not None:
        return describe([(name, outage)])
    notes = [said] if (said := say_share_missing(missing, before)) else []
    if tally.unseen:
        share = percent(int(tally.counts[-2]) / max(int(tally.counts[:-1].sum()), 1))
        like = join_names([repr(level) for level in tally.unseen])
        notes.append(f"{share} of rows have a level not known from training, like {like}")
    if tally.infinite:
        notes.append(f"infinite in {number_of(tally.infinite, 'row')}")
    return "; ".join(notes)


def say_share_missing(missing: float, before: Floats) -> str:
    """What is unusual about the share of rows without a value; empty if nothing is.

    ``before``, shape (n_windows,), are the shares in the reference windows.
    """
    if not before.size or math.isnan(missing):
        return ""
    most, typical = float(before.max()), float(np.median(before))
    if missing >= 0.01 and missing > 1.5 * most:
        training = "never" if most == 0 else f"at most {percent(most)}"
        return f"missing in {percent(missing)} of rows; in training {training}"
    if missing >= typical + MUCH_MISSING and missing > np.quantile(before, 0.75):
        as_many = f"as much in {int((before >= missing).sum())} of {number_of(before.size, 'window')}"
        told_apart = most < 1 and percent(most) != percent(missing)
        seen = f"at most {percent(most)} ({as_many})" if told_apart else as_many
        return f"missing in {percent(missing)} of rows; in training typically {percent(typical)}, {seen}"
    return _say_share_there(1 - missing, 1 - before)


def _say_share_there(there: float, before: Floats) -> str:
    """As above, where more rows have a value than in training."""
    most, typical = float(before.max()), float(np.median(before))
    if most == 0 and there > 0:
        return f"there in {percent(there)} of rows, but missing in all of training: train again, or drop it"
    if most <= 0.99 and 1 - most > 1.5 * (1 - there):
        return f"there in {percent(there)} of rows; in training at most {percent(most)}"
    if there >= typical + MUCH_MISSING and there > np.quantile(before, 0.75):
        return f"there in {percent(there)} of rows; in training typically {percent(typical)}"
    return ""


def say_missing(features: tuple[FeatureDrift, ...]) -> str:
    """Sentences to append: features with many missing values that the verdict does not name."""
    much = [
        (one.missing, one)
        for one in features
        if not one.flagged
        and one.missing is not None
        and one.missing >= MUCH_MISSING
        and one.note.startswith("missing")
    ]
    much.sort(key=lambda pair: (-pair[0], pair[1].name))
    said = [f". {one.name} is {one.note}" for _, one in much[:3]]
    return "".join(said) + (f". And {len(much) - 3} more have much missing" if len(much) > 3 else "")


def say_outside(reach: float) -> str:
    """Why the band of an estimate promises nothing."""
    return (
        "the estimate is outside of what training saw, and its band may miss: for rows like these, training "
        f"is worth {percent(reach)} of its rows"
    )


def say_too_few(windows: int, worth: float, stratum: str) -> str:
    """Why nothing is said about drift."""
    kind = "" if stratum == "all" else f"{stratum} "
    if windows < MIN_COMPARED:
        return (
            f"Only {number_of(windows, f'{kind}reference window')}, {MIN_COMPARED} are needed to "
            "tell drift from chance"
        )
    needed = windows_needed(windows, worth)
    return (
        f"{windows} {kind}reference windows resemble each other so much that they are worth {worth:.1f} "
        f"independent ones; {needed} such windows are needed to tell drift from chance"
    )


def say_limits(reference_rows: npt.NDArray[Any], rows: int, method: Method, stratum: str) -> tuple[str, ...]:
    """What limits the statement about this window; ``reference_rows``: rows a window, shape (n_windows,)."""
    notes = []
    count = int(reference_rows.size)
    kind = "" if stratum == "all" else f"{stratum} "
    if method == "extrapolated":
        notes.append(
            f"only {number_of(count, f'{kind}reference window')}, fewer than {MIN_RANKED}: the "
            "p-value is extrapolated beyond their ranks"
        )
    if method in {"conformal", "extrapolated"} and count and rows:
        low, high = int(np.min(reference_rows)), int(np.max(reference_rows))
        if not low <= rows <= high:
            target = min(rows, int(np.median(reference_rows)))
            notes.append(
                f"{number_of(rows, 'row')}, in reference windows {low:,} to {high:,}: "
                f"compared as if all had {target:,} (drawn by a fixed seed)"
            )
    return tuple(notes)
