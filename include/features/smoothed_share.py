"""Shares of small counts, drawn towards the overall share.

Two late arrivals of three are no reason to expect two of three: the fewer there were, the more the
overall share counts. Only additions and one division, so the result has the same bits everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

__all__ = ["SmoothedShare"]


class SmoothedShare(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Replace pairs of counts by ``(count + weight * overall) / (out_of + weight)``.

    ``overall`` is the sum of counts over the sum of totals in the rows it was fitted on. This is
    the posterior mean of a share under a beta prior worth ``weight`` observations.

    Parameters
    ----------
    shares : mapping of str to (str, str)
        New column to the columns (count, out of) it is made of, both in number of events.
    weight : float
        How many events the overall share is worth; > 0.

    Attributes
    ----------
    overall_ : dict of str to float
        The overall share for each new column; 0.5 where there was no event at all.
    """

    def __init__(self, shares: Mapping[str, tuple[str, str]], weight: float = 10.0) -> None:
        self.shares = shares
        self.weight = weight

    def fit(self, X: pd.DataFrame, y: Any = None) -> SmoothedShare:  # noqa: N803 - scikit-learn's name
        """Learn the overall shares.

        Raises
        ------
        ValueError
            ``weight`` is not above 0.
        """
        if not self.weight > 0:
            raise ValueError(f"weight is {self.weight}, expected a number above 0")
        self.overall_ = {}
        for name, (count, out_of) in self.shares.items():
            total = float(X[out_of].sum())
            self.overall_[name] = float(X[count].sum()) / total if total > 0 else 0.5
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:  # noqa: N803
        """The frame with the shares at its end in place of the counts; a missing count stays missing."""
        check_is_fitted(self, "overall_")
        made = {
            name: (X[count] + self.weight * self.overall_[name]) / (X[out_of] + self.weight)
            for name, (count, out_of) in self.shares.items()
        }
        used = {column for pair in self.shares.values() for column in pair}
        return X.drop(columns=[column for column in X.columns if column in used]).assign(**made)
