"""Whether bands of estimates hold where features moved, and what is called outside of what training saw.

    python bench/estimates_under_shift.py                  # some two minutes
    python bench/estimates_under_shift.py --write docs/guides/performance.md

Labels follow two rules that a linear model does not know: with a square and a product, or saturating. 40
windows of 300 rows, days off by .1; estimates by scores of three folds. Features move by so many standard
deviations, one of five, or all together (the length of the shift is what is said). Of several classes the
certainty is of a logit times 1.5, too sure of itself.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from docs_tables import replace_table
from sklearn.linear_model import LogisticRegression

from rescore.drift import build_reference, compare
from rescore.performance import Outcomes, measure
from rescore.spec import DriftSpec, ModelSpec

SEED = 20_130_401
WINDOWS, ROWS, FEATURES, FOLDS = 40, 300, 5, 3
SHIFTS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)

Floats = npt.NDArray[np.float64]


def logits(features: Floats, rule: str) -> Floats:
    """Of the truth."""
    x = features.T
    if rule == "saturating":
        return np.asarray(2.5 * np.tanh(x[0]) + np.sin(2 * x[1]) + 0.5 * x[2])
    return np.asarray(1.2 * x[0] - 0.5 * x[1] ** 2 + 0.8 * x[2] * x[3] + 0.3)


class World:
    """A trained model, and windows whose features moved."""

    def __init__(self, seed: list[int], rule: str, kind: str) -> None:
        self._random, self._rule, self._kind = np.random.default_rng(seed), rule, kind
        drawn = [self._window(np.zeros(FEATURES)) for _ in range(WINDOWS)]
        features, positive = (np.concatenate([one[place] for one in drawn]) for place in (0, 1))
        self._names = [f"x{number}" for number in range(FEATURES)]
        scores = np.empty(len(positive))
        right = np.empty(len(positive))
        for fold in np.array_split(np.arange(len(positive)), FOLDS):
            seen = np.ones(len(positive), dtype=bool)
            seen[fold] = False
            fitted = LogisticRegression().fit(features[seen], positive[seen])
            scores[fold], right[fold] = self._scored(fitted, features[fold], positive[fold])
        self._fitted = LogisticRegression().fit(features, positive)
        spec = self._spec()
        snapshot = pa.table({name: features[:, place] for place, name in enumerate(self._names)})
        starts = np.repeat(np.arange(WINDOWS) * 86_400_000_000, ROWS)
        snapshot = snapshot.append_column("interval_start", pa.array(starts, pa.timestamp("us", tz="UTC")))
        snapshot = snapshot.append_column("y", pa.array(positive))
        importance = dict.fromkeys(self._names, 1.0)
        several = right if kind == "multiclass" else None
        self._profile = build_reference(snapshot, spec, scores, importance, named_right=several)

    def look(self, shift: Floats) -> tuple[bool, bool] | None:
        """Whether the band held the realised metric, and whether the window was called outside."""
        features, positive = self._window(shift)
        table = pa.table({name: features[:, place] for place, name in enumerate(self._names)})
        score, right = self._scored(self._fitted, features, positive)
        report = compare(self._profile, table, score, DriftSpec())
        spec: Any = SimpleNamespace(target=SimpleNamespace(kind=self._kind))
        truth = right if self._kind == "multiclass" else positive.astype(np.float64)
        found = measure(Outcomes(score, truth, {}), spec, report.score_calibration)
        agreement = found.agreement.get("accuracy" if self._kind == "multiclass" else "auc")
        return None if agreement is None else (agreement.within, report.outside)

    def _window(self, shift: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
        day = 0.1 * self._random.standard_normal(FEATURES)
        features = self._random.standard_normal((ROWS, FEATURES)) + day + shift
        chance = 1 / (1 + np.exp(-logits(features, self._rule) - 0.1 * self._random.standard_normal()))
        return features, self._random.random(ROWS) < chance

    def _scored(
        self, fitted: LogisticRegression, features: Floats, positive: npt.NDArray[np.bool_]
    ) -> tuple[Floats, Floats]:
        """Scores, and whether the class that they name came true."""
        logit = fitted.decision_function(features)
        right = ((logit >= 0) == positive).astype(np.float64)
        score = 1 / (1 + np.exp(-(1.5 if self._kind == "multiclass" else 1.0) * logit))
        return (np.maximum(score, 1 - score) if self._kind == "multiclass" else score), right

    def _spec(self) -> ModelSpec:
        return ModelSpec.model_validate(
            {
                "name": "shifted",
                "version": "1.0",
                "owner": "bench",
                "source": {"connection": "none", "key": ["id"], "known_by": {"column": "recorded_at"}},
                "features": [{"name": name, "kind": "numeric"} for name in self._names],
                "target": {"name": "y", "kind": self._kind},
                "output": {"unit": "probability", "meaning": "of y"},
                "schedule": {"cron": "0 4 * * *", "timezone": "UTC", "start": "1970-01-01"},
                "training": {"intervals": WINDOWS, "seed": 1},
            }
        )


def lines(references: int, looks: int) -> list[str]:
    """One line for each kind, rule and shift."""
    found = [
        "| estimated | rule | moved | by, sd | band held | ± | called outside |",
        "|---|---|---|--:|--:|--:|--:|",
    ]
    worlds = [("binary", "square and product"), ("binary", "saturating"), ("multiclass", "saturating")]
    for place, (kind, rule) in enumerate(worlds):
        made = [World([SEED, place, number], rule, kind) for number in range(references)]
        for moved in ("one feature", "all features"):
            for by in SHIFTS[1:] if moved == "all features" else SHIFTS:
                shift = np.zeros(FEATURES)
                shift[: FEATURES if moved == "all features" else 1] = by
                shift /= math.sqrt(FEATURES) if moved == "all features" else 1.0
                seen = [
                    world.look(sign * shift) for world in made for sign in (1, -1) for _ in range(looks // 2)
                ]
                held, outside = np.asarray([one for one in seen if one is not None], dtype=np.float64).T
                rate = float(held.mean())
                width = 1.96 * math.sqrt(max(rate * (1 - rate), 0.25 / held.size) / held.size)
                metric = "AUC" if kind == "binary" else "accuracy of classes"
                found.append(
                    f"| {metric} | {rule} | {moved if by else 'nothing'} | {by:g} | {rate:.2f} | {width:.2f} "
                    f"| {outside.mean():.2f} |"
                )
                print(found[-1], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a third of the draws")
    parser.add_argument("--write", type=Path, help="the page whose table is replaced")
    options = parser.parse_args()
    made = lines(6, 6) if options.short else lines(10, 10)
    if options.write:
        replace_table(options.write, "estimates", Path(__file__).name, made)


if __name__ == "__main__":
    main()
