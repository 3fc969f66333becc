"""Pictures of a model from its store: what they say is what was scored, compared and measured there."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from rescore import report as charts
from rescore.errors import NotFoundError, ParameterError
from rescore.report import from_store
from tests.shared.bank import LAST, ROWS, Bank, day


def texts(chart: Any) -> list[str]:
    root = ElementTree.fromstring(charts.svg(chart))
    return ["".join(node.itertext()) for node in root.iter() if node.tag.endswith("}text")]


def values(chart: Any, field: str) -> list[dict[str, Any]]:
    return [row for rows in chart.to_dict()["datasets"].values() for row in rows if field in row]


@pytest.mark.slow
def test_every_picture_of_a_model_is_drawn_from_the_store_alone(bank: Bank) -> None:
    store = bank.ctx.store
    pictures = from_store.model_pictures(store, "loans")
    assert {"drift", "scores", "performance", "performance_by_week", "calibration", "rows"} <= set(pictures)
    assert "feature:score" in pictures and "feature:amount" in pictures
    for name, chart in pictures.items():
        shown = texts(chart)
        assert shown, name
        assert not any(text.startswith(("no ", "nothing")) for text in shown), name


def test_the_heat_map_has_the_latest_windows(bank: Bank) -> None:
    shown = texts(from_store.drift_heatmap_of(bank.ctx.store, "loans", last=3))
    assert {"loans: drift", "15 Feb", "17 Feb", "score"} <= set(shown)
    assert "14 Feb" not in shown
    assert any(text.startswith("amount") and "70 %" in text for text in shown)


def test_a_feature_is_drawn_with_its_rows_and_unit(bank: Bank) -> None:
    store = bank.ctx.store
    first = store.history.runs("loans")[0]
    chart = from_store.feature_distribution_of(store, "loans", "amount", first.run_id)
    shown = texts(chart)
    assert "in thousand euros" in shown
    assert f"this window, {first.rows_scored:,} rows" in shown
    [(above,)] = bank.execute(
        "SELECT avg((amount > 41)::int)::float8 FROM bank.loan JOIN scores.loans USING (loan)"
        " WHERE interval_start = %s",
        day(40).start,
    )
    drawn = [one for one in values(chart, "cell") if one["cell"].startswith("above")]
    assert drawn[1]["share"] == pytest.approx(above, abs=0.03)
    with pytest.raises(ParameterError, match="no distribution of 'age'"):
        from_store.feature_distribution_of(store, "loans", "age")
    with pytest.raises(NotFoundError, match="no drift report of"):
        from_store.feature_distribution_of(store, "nobody", "age")


def test_performance_has_a_row_for_runs_whose_labels_are_to_come(bank: Bank) -> None:
    metric, rows = from_store.performance_rows(bank.ctx.store, "loans")
    assert metric == "auc"
    assert [row.interval_start for row in rows] == [day(n).start for n in range(40, LAST + 1)]
    assert [row.value is not None for row in rows] == [True] * 6 + [False] * 2
    assert all(row.estimated_low < row.estimated < row.estimated_high for row in rows)
    assert [row.within for row in rows[4:]] == [False, False, None, None]
    assert len(from_store.performance_rows(bank.ctx.store, "loans", 3)[1]) == 3
    shown = texts(from_store.performance_of(bank.ctx.store, "loans"))
    assert {"AUC", "on the hold-out", "loans: performance by run"} <= set(shown)
    with pytest.raises(ParameterError, match="no realised rmse"):
        from_store.performance_rows(bank.ctx.store, "loans", metric="rmse")


def test_rows_set_aside_are_counted(bank: Bank) -> None:
    chart = from_store.extracted_rows_of(bank.ctx.store, "loans", 1)
    [run] = bank.ctx.store.history.runs("loans", 1)
    assert run.rows_quarantined > 0
    tops = {part["outcome"]: part["high"] for part in values(chart, "outcome") if part["high"] > 1}
    assert tops["scored"] == run.rows_scored
    assert tops["quarantined"] == ROWS


def test_a_stopped_run_is_drawn_until_another_is_published(bank: Bank) -> None:
    """What was published stands for its interval; a later attempt that stopped does not."""
    store = bank.ctx.store
    before = [row.run_id for row in store.history.drift("loans")]
    again = store.runs.claim("loans", day(41), day(41).end)
    assert [row.run_id for row in store.history.drift("loans")] == before
    assert [row.run_id for row in store.history.runs("loans")] == before
    fresh = store.runs.claim("loans", day(LAST + 1), day(LAST + 1).end)
    assert store.history.runs("loans")[-1].run_id == fresh.run_id
    assert store.history.runs("loans")[-1].published is False
    for run in (again, fresh):
        store.runs.fail(run, NotFoundError("given up by the test"))


def test_an_empty_store_says_that_there_is_nothing_yet(bank: Bank) -> None:
    said = {name: texts(chart) for name, chart in from_store.model_pictures(bank.ctx.store, "nobody").items()}
    assert "no drift report yet" in said["drift"]
    assert "no labels yet" in said["performance"]
    assert "no run yet" in said["rows"]
