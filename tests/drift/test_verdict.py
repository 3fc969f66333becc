"""Which flags matter: importance, scores and expected performance, joined to a verdict and a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rescore.drift.report import FeatureDrift, JointDrift, PairDrift
from rescore.drift.verdict import judge, say_share_missing
from rescore.spec import DriftSpec


def feature(name: str, importance: float, *, flagged: bool = True, effect: float = 0.3, **set_: Any) -> Any:
    given: dict[str, Any] = {
        "name": name,
        "kind": "numeric",
        "psi": 0.31,
        "distance": 4.25,
        "unit": "°C",
        "missing": 0.0,
        "missing_reference_max": 0.0,
        "p_value": 0.016 if flagged else 0.6,
        "importance": importance,
        "effect": effect,
        "flagged": flagged,
        "outage": False,
        "share_of_statistic": 0.5,
        "note": "",
    }
    return FeatureDrift(**{**given, **set_})


def judged(*features: FeatureDrift, p: float = 0.016, **estimated: float) -> tuple[str, str]:
    return judge(features, [], p, DriftSpec(), (estimated.get("auc"), estimated.get("auc_reference_low")))


IMPORTANT = feature("hour", 0.8, flagged=False)


def test_drift_in_what_the_model_hardly_uses_is_drift_alone() -> None:
    verdict, sentence = judged(IMPORTANT, feature("pressure", 0.02))
    assert verdict == "drifted"
    assert sentence == (
        "pressure moved by 4.25 °C (PSI 0.31) (p = 0.016, declared rate 0.05). "
        "Together 2 % of the model's importance"
    )


def test_drift_in_what_the_model_uses_is_consequential_and_named() -> None:
    verdict, sentence = judged(IMPORTANT, feature("pressure", 0.02), feature("temp", 0.15, p_value=0.01))
    assert verdict == "consequential"
    assert sentence.startswith("temp moved by 4.25 °C (PSI 0.31); pressure moved by ")
    assert sentence.endswith("It matters: 17 % of the model's importance")
    assert "hour" not in sentence


def test_small_importances_matter_together() -> None:
    few = [feature(f"f{i}", 0.025) for i in range(3)]
    assert judged(IMPORTANT, *few)[0] == "drifted"
    verdict, sentence = judged(IMPORTANT, *few, feature("f3", 0.025))
    assert verdict == "consequential"
    assert "and 1 more" in sentence


def test_an_effect_too_small_to_matter_never_is_consequential() -> None:
    sure = feature("temp", 0.7, effect=0.019)
    assert judged(sure)[0] == "drifted"
    assert judged(feature("temp", 0.7, effect=0.021))[0] == "consequential"
    score = feature("score", 0.0, kind="score", effect=0.019)
    assert judged(score)[0] == "drifted"


def test_scores_that_moved_matter_whatever_moved_them() -> None:
    score = feature("score", 0.0, kind="score", unit="")
    verdict, sentence = judged(IMPORTANT, feature("pressure", 0.02), score)
    assert verdict == "consequential"
    assert sentence.endswith("It matters: the scores themselves moved")


@pytest.mark.parametrize(
    ("auc", "expected"), [(0.66, "consequential"), (0.695, "drifted"), (0.75, "drifted")]
)
def test_expected_performance_below_training_matters(auc: float, expected: str) -> None:
    verdict, sentence = judged(feature("pressure", 0.02), auc=auc, auc_reference_low=0.70)
    assert verdict == expected
    said = "It matters: expected AUC 0.660, in training's windows at least 0.700"
    assert (said in sentence) == (expected == "consequential")


def test_expected_performance_alone_alarms_nobody() -> None:
    verdict, sentence = judged(IMPORTANT, p=0.4, auc=0.6, auc_reference_low=0.7)
    assert verdict == "ok"
    assert "No more unlike training" in sentence


def test_features_that_go_together_otherwise_count_by_their_importance() -> None:
    names = ("a", "b")
    pair = PairDrift(features=names, columns=names, correlation=0.61, correlation_reference=0.02, share=1.0)
    joint = JointDrift(
        method="classifier_rank",
        auc=0.655,
        auc_reference_median=0.5,
        auc_reference_high=0.55,
        p_value=0.016,
        effect=0.2,
        flagged=True,
        rows=100,
        reference_rows=6000,
        columns=2,
        features=names,
        pairs=(pair,),
    )
    unknown = (None, None)
    quiet = [feature("a", 0.06, flagged=False), feature("b", 0.06, flagged=False), IMPORTANT]
    verdict, sentence = judge(tuple(quiet), [], 0.016, DriftSpec(), unknown, joint)
    assert verdict == "consequential"
    assert sentence == (
        "a and b go together unlike in training (correlation 0.61, there 0.02; a classifier tells the window "
        "from training with AUC 0.66) (p = 0.016, declared rate 0.05). "
        "It matters: 12 % of the model's importance"
    )
    slight = joint.model_copy(update={"effect": 0.01})
    assert judge(tuple(quiet), [], 0.016, DriftSpec(), unknown, slight)[0] == "drifted"
    silent = joint.model_copy(update={"flagged": False})
    assert "effect floor" in judge(tuple(quiet), [], 0.016, DriftSpec(), unknown, silent)[1]


def test_a_sentence_says_the_share_with_a_value_where_that_is_what_moved() -> None:
    moved = feature("phone", 0.2, unit="share of rows", distance=0.0, note="", effect=10.56, psi=10.6)
    there = moved.model_copy(update={"note": say_share_missing(0.0, np.full(30, 0.97))})
    assert "phone is there in 100 % of rows; in training at most 3 %" in judged(there)[1]
    unknown = moved.model_copy(update={"distance": None})
    assert "phone moved (PSI 11)" in judged(unknown)[1]


@pytest.mark.parametrize(
    ("missing", "before", "said"),
    [
        (0.16, [0.01, 0.0], "missing in 16 % of rows; in training at most 1 %"),
        (0.2, [0.0, 0.0], "missing in 20 % of rows; in training never"),
        (0.40, [0.05] * 28 + [1.0, 1.0], "typically 5 %, as much in 2 of 30 windows"),
        (0.40, [0.05] * 28 + [0.9, 0.7], "typically 5 %, at most 90 % (as much in 2 of 30 windows)"),
        (0.0, [1.0, 1.0], "there in 100 % of rows, but missing in all of training: train again, or drop it"),
        (0.3, [0.9, 0.9, 0.3, 0.9, 0.9], "there in 70 % of rows; in training typically 10 %"),
        (0.15, [0.13, 0.17], ""),
        (0.0, [0.0, 0.0], ""),
    ],
)
def test_what_is_said_of_missing_values(missing: float, before: list[float], said: str) -> None:
    assert said in say_share_missing(missing, np.asarray(before))
    if not said:
        assert say_share_missing(missing, np.asarray(before)) == ""


def test_a_share_is_never_told_beside_the_same_share_as_the_most() -> None:
    """76.4 % beside "at most 76 %" would be "76 %; at most 76 % (as much in 0 of 3 windows)"."""
    said = say_share_missing(0.764, np.array([0.4, 0.53, 0.761]))
    assert said == "missing in 76 % of rows; in training typically 53 %, as much in 0 of 3 windows"
