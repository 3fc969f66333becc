"""A model that scores no more: nothing of it is due, no run begins, and registering takes it back."""

from __future__ import annotations

import pytest

from rescore import pipeline
from rescore.errors import NotFoundError, StoreError
from rescore.report import read_model_states
from tests.shared.bank import MODEL, Bank, day


@pytest.fixture
def retired(fresh_bank: Bank) -> Bank:
    """Day 40 was published, later ones are overdue; then its folder's model was retired."""
    fresh_bank.publish(40)
    fresh_bank.ctx.store.retirements.retire(MODEL, who="ada", why="replaced by credit")
    return fresh_bank


def test_it_is_neither_late_nor_an_alarm_and_says_who_retired_it(retired: Bank) -> None:
    [row] = retired.ctx.store.history.status()
    assert (row.late, row.due_at, row.retired_at is None) == (False, row.due_at, False)
    assert "; retired on 20" in row.why
    assert " UTC by ada: replaced by credit" in row.why
    assert pipeline.alarms(retired.ctx) == []
    assert [
        one.state
        for one in read_model_states(
            retired.ctx.store, {MODEL: retired.ctx.model(MODEL).spec}, now=day(45).end
        )
    ] == ["retired"]
    assert pipeline.standing_alarms(retired.ctx) == []


def test_no_run_of_it_begins_and_what_was_published_stays(retired: Bank) -> None:
    with pytest.raises(StoreError, match="loans was retired by ada: replaced by credit") as refused:
        pipeline.begin_extract(retired.ctx, MODEL, day(41))
    assert refused.value.fix == f"to use it again: `rescore store register {MODEL}`"
    assert retired.ctx.store.timetables.declared(MODEL) is None
    assert len(retired.ctx.store.runs.published(MODEL)) == 1


def test_its_share_of_false_alarms_is_free_for_the_others(retired: Bank) -> None:
    limit = retired.ctx.evidence_limit(MODEL, day(41).end)
    pipeline.register_model(retired.ctx, MODEL)
    assert retired.ctx.store.retirements.current() == {}
    assert retired.ctx.evidence_limit(MODEL, day(41).end) >= limit
    [row] = retired.ctx.store.history.status()
    assert row.retired_at is None
    retired.publish(41)


def test_who_and_why_are_kept_in_the_chain(retired: Bank) -> None:
    assert pipeline.verify_history(retired.ctx).findings == ()
    said = retired.execute("SELECT entry::jsonb->'row'->>'why' FROM rescore.chain WHERE about = 'retirement'")
    assert said == [("replaced by credit",)]


@pytest.mark.parametrize(
    ("model", "who", "why", "error", "said"),
    [
        ("nobody", "ada", "x", NotFoundError, "the store knows no model nobody"),
        (MODEL, " ", "x", StoreError, "not said who retires loans, or why"),
        (MODEL, "ada", "", StoreError, "not said who retires loans, or why"),
        (MODEL, "bob", "again", StoreError, "was retired by ada"),
    ],
)
def test_what_cannot_be_retired_is_refused(
    retired: Bank, model: str, who: str, why: str, error: type[StoreError], said: str
) -> None:
    with pytest.raises(error, match=said):
        retired.ctx.store.retirements.retire(model, who=who, why=why)
