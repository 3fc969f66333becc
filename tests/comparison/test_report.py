"""The report of a comparison is a document: what was stored is read, kept and ordered in one way."""

from __future__ import annotations

from typing import Any

import pytest

from rescore.comparison import Comparison, ComparisonReport, MovedScores, decide
from rescore.errors import DocumentError
from tests.comparison.builders import STORED, report_of


def kept(stored: Any, written: Any) -> bool:
    """Whether all that was stored is in what is written; fields that came later may stand beside it."""
    if isinstance(stored, dict):
        return all(name in written and kept(value, written[name]) for name, value in stored.items())
    if isinstance(stored, list):
        return len(stored) == len(written) and all(map(kept, stored, written))
    return bool(stored == written)


def test_nothing_that_was_stored_is_lost_by_reading_and_writing() -> None:
    for stored in (STORED, {**STORED, "movement": {"rows": 0, "runs": 0, "left_out": ["gone"]}}):
        report = ComparisonReport.from_dict(stored)
        assert kept(stored, report.to_dict())
        assert ComparisonReport.from_dict(report.to_dict()) == report
    assert isinstance(ComparisonReport.from_dict(STORED).movement, MovedScores)


def test_what_a_later_release_added_is_kept() -> None:
    later = {**STORED, "weather": "wet", "holdout": {**STORED["holdout"], "weather": "wet"}}
    assert kept(later, ComparisonReport.from_dict(later).to_dict())
    with pytest.raises(DocumentError, match="has format 2"):
        ComparisonReport.from_dict({**STORED, "format": 2})


def test_the_metric_that_decides_comes_first_and_the_others_by_name() -> None:
    report = report_of(metrics=dict.fromkeys(("log_loss", "brier", "auc"), STORED["metrics"]["auc"]))
    assert [name for name, _ in report.main_first()] == ["auc", "brier", "log_loss"]
    text = Comparison(1, report).markdown()
    assert text.index("**auc**") < text.index("| brier") < text.index("| log_loss")


def test_the_rule_wants_committed_code_a_sure_gain_and_no_lost_segment() -> None:
    def reasons(**changed):
        rule = decide(report_of(**changed))
        return rule.passes, list(rule.reasons)

    assert reasons()[0] is True
    challenger, auc = STORED["challenger"], STORED["metrics"]["auc"]
    for revision in ("unknown", "0" * 40 + "+dirty"):
        passes, why = reasons(challenger={**challenger, "code_revision": revision})
        assert (passes, len(why)) == (False, 1)
        assert "only committed code" in why[0]
    passes, why = reasons(main={**auc, "low": -1e-9})
    assert (passes, len(why)) == (False, 1)
    assert "may be chance" in why[0]
    passes, why = reasons(promotion={**STORED["promotion"], "smallest_gain": auc["gain"] + 1e-6})
    assert (passes, len(why)) == (False, 1)
    passes, why = reasons(blocks=6)
    assert (passes, len(why)) == (False, 1)
    passes, why = reasons(main={**auc, "low": None})
    assert (passes, len(why)) == (False, 1)
    lost = {"value": "pier", "rows": 300, "champion": 0.8, "challenger": 0.74, "gain": -0.06}
    segment = {**lost, "low": -0.1, "high": 0.1, "judged": True}
    passes, why = reasons(segments={"gauge": [segment]})
    assert (passes, len(why)) == (False, 1)
    assert "gauge pier (300 rows) loses" in why[0]
    assert reasons(segments={"gauge": [{**segment, "judged": False}]})[0] is True
    assert reasons(segments={"gauge": [{**segment, "gain": -0.05}]})[0] is True


def test_in_the_targets_unit_bounds_are_shares_of_the_champions() -> None:
    gain = {"champion": 200.0, "challenger": 196.0, "gain": 4.0, "low": 1.0, "high": 7.0, "better": "lower"}
    bounds = {**STORED["promotion"], "smallest_gain": 0.03}
    rule = decide(report_of(metric="rmse", main=gain, segments={}, promotion=bounds))
    assert not rule.passes
    assert "+2.00% of the champion's" in rule.reasons[0]
    assert "3.00% of the champion's" in rule.reasons[0]
    bounds["smallest_gain"] = 0.02
    assert decide(report_of(metric="rmse", main=gain, segments={}, promotion=bounds)).passes
