"""Train a model and compare what comes of it with what scores now, in one go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rescore.errors import RescoreError
from rescore.pipeline.compare.compare_packages import compare_packages
from rescore.pipeline.context import Context
from rescore.pipeline.training.train import TrainedPackage, train_model

__all__ = ["Retrained", "retrain"]


@dataclass(frozen=True)
class Retrained:
    """A new package beside the one that scores.

    Attributes
    ----------
    package : TrainedPackage
        What was trained.
    champion : str or None
        The version that scores now; None if nothing is pinned.
    passes : bool or None
        Whether the declared rule would promote it; None where nothing was compared.
    reasons : sequence of str
        Why, or why nothing was compared.
    comparison_id : int or None
        Of the comparison that is kept.
    """

    package: TrainedPackage
    champion: str | None
    passes: bool | None
    reasons: Sequence[str]
    comparison_id: int | None = None


def retrain(
    ctx: Context, model_name: str, *, as_of: datetime | None = None, who: str | None = None
) -> Retrained:
    """Train as the DAG does, and compare with the pinned package; nothing is pinned.

    Parameters
    ----------
    ctx : Context
        Store, archive and source.
    model_name : str
        The model.
    as_of : datetime, optional
        Labels known by then are used.
    who : str, optional
        Who trains.
    """
    trained = train_model(ctx, model_name, as_of=as_of, who=who)
    pinned = ctx.store.pins.current(model_name)
    if pinned is None:
        return Retrained(
            trained, None, None, ["no package is pinned yet, so there is nothing to compare with"]
        )
    if pinned.sha256 == trained.sha256:
        return Retrained(trained, pinned.version, None, ["it is the very package that scores now"])
    try:
        compared = compare_packages(ctx, model_name, trained.version)
    except RescoreError as error:
        return Retrained(trained, pinned.version, None, [f"not comparable: {error.what}"])
    rule = compared.report.rule
    return Retrained(trained, pinned.version, rule.passes, rule.reasons, compared.comparison_id)
