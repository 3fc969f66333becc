"""Whether weighting training's rows by the live window's features makes a better estimate of the AUC.

    python bench/weighted_estimates.py                  # some three minutes
    python bench/weighted_estimates.py --short          # a third of the windows

*Ours* calibrates scores by training's out-of-fold rows as they are. *Weighted* is probabilistic adaptive
performance estimation (Białek, Kuberski, Perrakis and Bifet, arXiv:2401.08348): a classifier tells the
window's rows from training's, its odds weigh training's rows, and the calibration is learnt on those.
Flights: trained on January to March, each week from April on is held out. Simulated: a linear model under
rules that it does not know.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from estimates_under_shift import FEATURES, logits
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from rescore.demo.flights import data_folder
from rescore.performance import ScoreCalibration, estimated_performance

SEED = 20_130_401
FOLDS = 5
#: Training's rows that the classifier of windows is given, and how often weighted rows are drawn.
CLASSIFIED, DRAWN = 10_000, 4

Floats = npt.NDArray[np.float64]
Truth = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Trained:
    """Training's rows with their out-of-fold scores, and the model of all of them."""

    features: Floats
    positive: Truth
    scores: Floats
    model: object
    calibration: ScoreCalibration

    @classmethod
    def of(cls, estimator, features: Floats, positive: Truth) -> Trained:  # type: ignore[no-untyped-def]
        scores = np.empty(len(positive))
        for fold in np.array_split(np.arange(len(positive)), FOLDS):
            seen = np.ones(len(positive), dtype=bool)
            seen[fold] = False
            fitted = clone(estimator).fit(features[seen], positive[seen])
            scores[fold] = fitted.predict_proba(features[fold])[:, 1]
        calibration = ScoreCalibration.fit(scores, positive, [0, len(scores)])
        assert calibration is not None
        return cls(features, positive, scores, clone(estimator).fit(features, positive), calibration)

    def errors(self, features: Floats, positive: Truth) -> tuple[float, float]:
        """How far the estimated AUC of a window is off what came true: ours, weighted."""
        scores = self.model.predict_proba(features)[:, 1]  # type: ignore[attr-defined]
        realised = roc_auc_score(positive, scores)
        found = []
        for calibration in (self.calibration, self._weighted(features)):
            estimate = estimated_performance(scores, calibration)["auc"].value
            assert estimate is not None
            found.append(abs(estimate - realised))
        return found[0], found[1]

    def _weighted(self, features: Floats) -> ScoreCalibration:
        random = np.random.default_rng(SEED)
        some = random.choice(len(self.scores), min(CLASSIFIED, len(self.scores)), replace=False)
        both = np.vstack([self.features[some], features])
        live = np.r_[np.zeros(len(some)), np.ones(len(features))]
        classifier = HistGradientBoostingClassifier(max_iter=50, min_samples_leaf=50, random_state=0)
        chance = np.clip(classifier.fit(both, live).predict_proba(self.features)[:, 1], 1e-6, 1 - 1e-6)
        weights = chance / (1 - chance)
        rows = random.choice(len(weights), DRAWN * len(weights), p=weights / weights.sum())
        found = ScoreCalibration.fit(self.scores[rows], self.positive[rows], [0, len(rows)])
        assert found is not None
        return found


def simulated(rule: str, by: float, windows: int) -> list[tuple[float, float]]:
    """Of windows of 1,000 rows whose first feature moved."""
    random = np.random.default_rng([SEED, round(10 * by)])

    def drawn(rows: int, shift: float) -> tuple[Floats, Truth]:
        features = random.standard_normal((rows, FEATURES))
        features[:, 0] += shift
        return features, random.random(rows) < 1 / (1 + np.exp(-logits(features, rule)[:, 1]))

    trained = Trained.of(LogisticRegression(), *drawn(12_000, 0.0))
    return [trained.errors(*drawn(1_000, by * sign)) for _ in range(windows // 2) for sign in (1, -1)]


def flights(weeks: int) -> list[tuple[float, float]]:
    """Of weeks from April on: whether a flight is a quarter of an hour late, by its plan and the weather."""
    folder = data_folder()
    rows = pd.read_csv(folder / "flights.csv.zip").dropna(subset=["arr_delay"])
    weather = pd.read_csv(folder / "weather.csv").drop(columns=["time_hour"])
    rows = rows.merge(weather, on=["year", "month", "day", "hour", "origin"], how="left")
    at = pd.to_datetime(rows[["year", "month", "day"]])
    features = rows[["hour", "distance", "temp", "humid", "wind_speed", "precip", "pressure", "visib"]].copy()
    features["weekday"] = at.dt.day_of_week
    for name in ("carrier", "origin"):
        features[name] = pd.factorize(rows[name], sort=True)[0]
    values, positive = features.to_numpy(np.float64), (rows["arr_delay"] > 15).to_numpy()
    past = (at < "2013-04-01").to_numpy()
    estimator = HistGradientBoostingClassifier(max_iter=100, random_state=0)
    trained = Trained.of(estimator, values[past], positive[past])
    week = ((at - pd.Timestamp("2013-04-01")).dt.days // 7).to_numpy()
    return [trained.errors(values[week == one], positive[week == one]) for one in range(0, 39, 39 // weeks)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a third of the windows")
    short = parser.parse_args().short
    print("| windows | number | error of the AUC, ours | weighted | ours less weighted | ± |")
    print("|---|--:|--:|--:|--:|--:|", flush=True)
    worlds = [("flights, weeks from April", lambda: flights(13 if short else 39))]
    for rule in ("saturating", "square and product"):
        for by in (0.0, 0.5, 1.0):
            name = f"{rule}, one feature moved by {by:g} sd"
            worlds.append((name, lambda rule=rule, by=by: simulated(rule, by, 8 if short else 24)))
    for name, made in worlds:
        ours, weighted = np.asarray(made()).T
        gain = ours - weighted
        width = 1.96 * gain.std(ddof=1) / np.sqrt(gain.size)
        print(
            f"| {name} | {gain.size} | {ours.mean():.4f} | {weighted.mean():.4f} | {gain.mean():+.4f} "
            f"| {width:.4f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
