"""What a fit notes of its rows and no prediction reads is in no package."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.semi_supervised import SelfTrainingClassifier

from rescore.model.artifact import serialise
from rescore.model.child.kept_rows import find_kept_rows
from rescore.model.child.seen_rows import SeenRows
from rescore.model.runtime.artifact import load_artifact
from tests.model.child.test_kept_rows import NUMBERS, people


def test_the_labels_that_self_training_gave_are_none_of_a_packages(seed: int) -> None:
    frame, risk, _ = people(seed)
    some = np.where(np.arange(len(risk)) % 3, risk, -1)
    fitted = SelfTrainingClassifier(LogisticRegression(max_iter=1_000)).fit(frame[NUMBERS], some)
    before = fitted.predict_proba(frame[NUMBERS])
    content, types = serialise(fitted, model="tests")
    seen = SeenRows.of(fitted, frame[NUMBERS], risk)
    assert find_kept_rows(fitted, content, seen) == []
    loaded = load_artifact(content, types)
    assert (loaded.predict_proba(frame[NUMBERS]) == before).all()
    assert not hasattr(loaded, "transduction_")
