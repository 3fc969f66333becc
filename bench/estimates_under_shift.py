"""Whether bands of estimates hold where features moved, and what is called outside of what training saw.

    python bench/estimates_under_shift.py                  # some four minutes
    python bench/estimates_under_shift.py --table contradictions --write docs/guides/performance.md

Labels follow rules that a linear model does not know: with a square and a product, or saturating; three
classes by one of each. 40 windows of 300 rows, days off by .1; estimates by scores of three folds. Features
move by so many standard deviations, one of five, or all together (the length of the shift is what is said).
Of several classes the logits are multiplied, so that the model is too sure of itself (2), not enough (.5),
or of each class otherwise. *Contradictions*: how often the shares that came true are said to contradict
what was expected where nothing changed, a feature moved, or one class has become more frequent for the
same features.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from docs_tables import replace_table
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from rescore.drift import build_reference, compare
from rescore.performance import Outcomes, measure
from rescore.spec import DriftSpec, ModelSpec

SEED = 20_130_401
WINDOWS, ROWS, FEATURES, FOLDS = 40, 300, 5, 3
SHIFTS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
#: By how much the logit of one of three classes is higher for the same features.
MORE_OFTEN = (0.25, 0.5, 1.0)

Floats = npt.NDArray[np.float64]


def logits(features: Floats, rule: str) -> Floats:
    """Of the truth, shape (n_rows, n_classes); of two classes the first has 0."""
    x = features.T
    if rule == "three classes":
        third = 0.6 * x[3] - 0.4 * x[4] ** 2 + 0.5
        return np.stack([1.5 * np.tanh(x[0]) + np.sin(2 * x[1]), 0.8 * x[2] - 1.5 * np.tanh(x[0]), third], 1)
    if rule == "saturating":
        positive = 2.5 * np.tanh(x[0]) + np.sin(2 * x[1]) + 0.5 * x[2]
    else:
        positive = 1.2 * x[0] - 0.5 * x[1] ** 2 + 0.8 * x[2] * x[3] + 0.3
    return np.stack([np.zeros(len(features)), positive], 1)


@dataclass(frozen=True)
class Rule:
    """How labels come about, and by what a model's logits are multiplied, of each class."""

    name: str
    kind: str = "binary"
    times: tuple[float, ...] = (1.0, 1.0)
    said: str = "AUC"


RULES = (
    Rule("square and product"),
    Rule("saturating"),
    Rule("three classes", "multiclass", (2.0, 2.0, 2.0), "accuracy, logits times 2"),
    Rule("three classes", "multiclass", (0.5, 0.5, 0.5), "accuracy, logits times .5"),
    Rule("three classes", "multiclass", (2.0, 1.0, 0.5), "accuracy, logits times 2, 1 and .5 by class"),
)


class World:
    """A trained model, and windows whose features moved."""

    def __init__(self, seed: list[int], rule: Rule) -> None:
        self._random, self._rule = np.random.default_rng(seed), rule
        drawn = [self._window(np.zeros(FEATURES)) for _ in range(WINDOWS)]
        features, truth = (np.concatenate([one[place] for one in drawn]) for place in (0, 1))
        self._names = [f"x{number}" for number in range(FEATURES)]
        scores, named = np.empty(len(truth)), np.empty(len(truth), dtype=np.int64)
        for fold in np.array_split(np.arange(len(truth)), FOLDS):
            seen = np.ones(len(truth), dtype=bool)
            seen[fold] = False
            fitted = LogisticRegression().fit(features[seen], truth[seen])
            scores[fold], named[fold] = self._scored(fitted, features[fold])
        self._fitted = LogisticRegression().fit(features, truth)
        snapshot = pa.table({name: features[:, place] for place, name in enumerate(self._names)})
        starts = np.repeat(np.arange(WINDOWS) * 86_400_000_000, ROWS)
        snapshot = snapshot.append_column("interval_start", pa.array(starts, pa.timestamp("us", tz="UTC")))
        snapshot = snapshot.append_column("y", pa.array(truth))
        importance = dict.fromkeys(self._names, 1.0)
        self._profile = build_reference(snapshot, self._spec(), scores, importance, named=self._texts(named))

    def look(self, shift: Floats, more_often: float = 0.0) -> tuple[bool, bool, bool] | None:
        """Whether the band held the realised metric, the window was outside, and shares contradicted."""
        features, truth = self._window(shift, more_often)
        table = pa.table({name: features[:, place] for place, name in enumerate(self._names)})
        score, named = self._scored(self._fitted, features)
        report = compare(self._profile, table, score, DriftSpec())
        spec: Any = SimpleNamespace(target=SimpleNamespace(kind=self._rule.kind))
        came_true = truth if self._rule.kind == "binary" else named == truth
        texts, true = self._texts(named), self._texts(truth)
        rows = Outcomes(score, came_true.astype(np.float64), {}, named=texts, true=true)
        found = measure(rows, spec, report.score_calibration)
        agreement = found.agreement.get("auc" if self._rule.kind == "binary" else "accuracy")
        said = bool(found.contradiction())
        return None if agreement is None else (agreement.within, report.outside, said)

    def _window(self, shift: Floats, more_often: float = 0.0) -> tuple[Floats, npt.NDArray[np.int64]]:
        day = 0.1 * self._random.standard_normal(FEATURES)
        features = self._random.standard_normal((ROWS, FEATURES)) + day + shift
        of_classes = logits(features, self._rule.name)
        of_classes[:, -1] += more_often
        chance = softmax(of_classes + 0.1 * self._random.standard_normal(of_classes.shape[1]), axis=1)
        drawn = (chance.cumsum(axis=1) < self._random.random((ROWS, 1))).sum(axis=1)
        return features, np.minimum(drawn, chance.shape[1] - 1)

    def _scored(self, fitted: LogisticRegression, features: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Scores, and of several classes those that they name."""
        found = fitted.decision_function(features)
        of_classes = np.stack([np.zeros(len(found)), found], 1) if found.ndim == 1 else found
        chance = softmax(of_classes * np.asarray(self._rule.times), axis=1)
        named = chance.argmax(axis=1)
        return (chance[:, 1] if self._rule.kind == "binary" else chance.max(axis=1)), named

    def _texts(self, named: npt.NDArray[np.int64]) -> npt.NDArray[np.object_] | None:
        return None if self._rule.kind == "binary" else named.astype(str).astype(object)

    def _spec(self) -> ModelSpec:
        return ModelSpec.model_validate(
            {
                "name": "shifted",
                "version": "1.0",
                "owner": "bench",
                "source": {"connection": "none", "key": ["id"], "known_by": {"column": "recorded_at"}},
                "features": [{"name": name, "kind": "numeric"} for name in self._names],
                "target": {"name": "y", "kind": self._rule.kind},
                "output": {"unit": "probability", "meaning": "of y"},
                "schedule": {"cron": "0 4 * * *", "timezone": "UTC", "start": "1970-01-01"},
                "training": {"intervals": WINDOWS, "seed": 1},
            }
        )


def lines(references: int, looks: int, rules: Sequence[Rule] = RULES) -> list[str]:
    """One line for each kind, rule and shift."""
    found = [
        "| estimated | rule | moved | by, sd | band held | ± | called outside |",
        "|---|---|---|--:|--:|--:|--:|",
    ]
    for rule in rules:
        made = [World([SEED, RULES.index(rule), number], rule) for number in range(references)]
        for moved in ("one feature", "all features"):
            for by in SHIFTS[1:] if moved == "all features" else SHIFTS:
                shift = np.zeros(FEATURES)
                shift[: FEATURES if moved == "all features" else 1] = by
                shift /= math.sqrt(FEATURES) if moved == "all features" else 1.0
                often = looks if by <= 1 else looks // 3  # farther out the window is called outside
                seen = [
                    world.look(sign * shift)
                    for world in made
                    for sign in (1, -1)
                    for _ in range(often if by else 2 * often)
                ]
                held, outside, _ = np.asarray([one for one in seen if one is not None], dtype=np.float64).T
                rate = float(held.mean())
                width = 1.96 * math.sqrt(max(rate * (1 - rate), 0.25 / held.size) / held.size)
                found.append(
                    f"| {rule.said} | {rule.name} | {moved if by else 'nothing'} | {by:g} "
                    f"| {rate:.2f} | {width:.2f} | {outside.mean():.2f} |"
                )
                print(found[-1], flush=True)
    return found


def contradictions(references: int, looks: int) -> list[str]:
    """How often the shares that came true are said to contradict, by what changed."""
    found = ["| target | what changed | by | contradicted | ± |", "|---|---|--:|--:|--:|"]
    for rule in (RULES[0], RULES[2]):
        made = [World([SEED, 100 + RULES.index(rule), number], rule) for number in range(references)]
        worlds = [("nothing", 0.0), *(("one feature, sd", by) for by in SHIFTS[1:3])]
        for what, by in [*worlds, *(("one class more often, logit", by) for by in MORE_OFTEN)]:
            shift = np.eye(FEATURES)[0] * (by if "feature" in what else 0.0)
            more = by if "class" in what else 0.0
            seen = [world.look(shift, more) for world in made for _ in range(looks)]
            said = np.asarray([one[2] for one in seen if one is not None], dtype=np.float64)
            each = said.reshape(references, -1).mean(axis=1) if said.size == references * looks else said
            spread = max(float(said.mean() * (1 - said.mean())), 1 / said.size)
            chance = math.sqrt(spread * each.size / said.size)
            width = 1.96 * max(float(each.std()), chance) / math.sqrt(each.size)
            kind = "two classes" if rule.kind == "binary" else "three classes"
            found.append(f"| {kind} | {what} | {by:g} | {said.mean():.3f} | {width:.3f} |")
            print(found[-1], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a third of the draws")
    parser.add_argument("--table", choices=["estimates", "contradictions"], help="only this one")
    parser.add_argument("--write", type=Path, help="the page whose tables are replaced")
    options = parser.parse_args()
    tables = {
        "estimates": lambda: lines(4, 6) if options.short else lines(8, 8),
        "contradictions": lambda: contradictions(*((4, 10) if options.short else (8, 20))),
    }
    for name, made in tables.items():
        if options.table not in (None, name):
            continue
        rows = made()
        if options.write:
            replace_table(options.write, name, Path(__file__).name, rows)


if __name__ == "__main__":
    main()
