"""Features that tell the label by themselves: more often the outcome in disguise than a discovery."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rescore.evidence import mid_ranks
from rescore.spec import ModelSpec

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Suspicion", "screen"]

_MIN_ROWS = 30
_NEARLY = 0.995
_PERFECT = 0.999999
#: Levels of a category must repeat, or each row's own value would tell its label.
_ROWS_PER_LEVEL = 5


@dataclass(frozen=True)
class Suspicion:
    """A feature that alone tells the label.

    ``strength`` is the share of rows it tells: AUC, accuracy, or the absolute rank correlation.
    """

    feature: str
    strength: float
    measure: str

    @property
    def perfect(self) -> bool:
        """Whether it tells every label."""
        return self.strength >= _PERFECT

    @property
    def sentence(self) -> str:
        """For people."""
        how = "perfectly" if self.perfect else "nearly perfectly"
        return f"{self.feature} predicts the label {how} ({self.measure} {self.strength:.4f})"


def screen(rows: pa.Table, spec: ModelSpec) -> list[Suspicion]:
    """Features whose value alone tells the label of nearly every row, strongest first.

    Parameters
    ----------
    rows : pyarrow.Table
        A training snapshot.
    spec : ModelSpec
        Which columns are features, which the target.
    """
    import pandas as pd

    frame = rows.to_pandas()
    target = frame[spec.target.name]
    if len(frame) < _MIN_ROWS or target.nunique() < 2:
        return []
    suspicions = []
    for feature in spec.features:
        values = frame[feature.name]
        present = values.notna()
        if present.sum() < _MIN_ROWS or values[present].nunique() < 2:
            continue
        if spec.target.kind == "regression":
            if feature.kind not in {"numeric", "boolean"}:
                continue
            one = _correlation(values[present].astype(float), target[present].astype(float))
        elif feature.kind == "numeric" and target.nunique() == 2:
            codes = pd.factorize(target[present])[0]
            one = ("AUC", _auc(values[present].to_numpy(dtype=float), codes.astype(bool)))
        else:
            one = ("accuracy", _accuracy(values[present].astype(str), target[present].astype(str)))
        if one[1] >= _NEARLY:
            suspicions.append(Suspicion(feature.name, one[1], one[0]))
    return sorted(suspicions, key=lambda one: -one.strength)


def _correlation(values: Any, target: Any) -> tuple[str, float]:
    strength = abs(values.rank().corr(target.rank())) if values.nunique() > 2 else 0.0
    return "rank correlation", 0.0 if np.isnan(strength) else float(strength)


def _auc(values: np.ndarray[Any, Any], positive: np.ndarray[Any, Any]) -> float:
    """Area under the ROC curve of the value itself, in the better direction (Mann and Whitney, 1947)."""
    many, few = int(positive.sum()), int((~positive).sum())
    if min(many, few) < 5:
        return 0.5
    ranks = mid_ranks(values)
    area = (ranks[positive].sum() - many * (many + 1) / 2) / (many * few)
    return float(max(area, 1 - area))


def _accuracy(values: Any, target: Any) -> float:
    """Accuracy of naming each level's commonest label; 0 if no better than the commonest of all."""
    import pandas as pd

    table = pd.crosstab(values, target)
    if len(values) < _ROWS_PER_LEVEL * len(table) or target.value_counts(normalize=True).iloc[0] > _NEARLY:
        return 0.0
    return float(table.max(axis=1).sum() / table.to_numpy().sum())
