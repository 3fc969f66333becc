"""How models stand: what the console's first page says of each."""

from __future__ import annotations

from datetime import UTC, datetime

from rescore.report import read_model_states
from tests.shared.bank import Bank


def test_a_model_whose_schedule_ended_before_anything_was_published_is_new(bank: Bank) -> None:
    spec = bank.ctx.model("loans").spec
    over = spec.schedule.model_copy(update={"end": datetime(2024, 3, 1, tzinfo=UTC)})
    ended = spec.model_copy(update={"name": "ended", "schedule": over})
    [state] = read_model_states(bank.ctx.store, {"ended": ended}, now=datetime(2024, 6, 1, tzinfo=UTC))
    assert (state.name, state.last_published, state.usable) == ("ended", None, False)
    assert state.days[-1].day.isoformat() == "2024-02-29"
