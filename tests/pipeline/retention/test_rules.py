"""What is due is past its time, and neither needed nor held: a law over any facts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rescore.interval import Interval
from rescore.pipeline.retention.rules import Facts, FrozenTable, RunRows, due
from rescore.spec import RetentionSpec
from rescore.store import LegalHold

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)

days = st.integers(0, 100)
models = st.sampled_from(["loans", "cards", "gone"])
digests = st.sampled_from(["sha256:a", "sha256:b", "sha256:c"])


def interval(age: int) -> Interval:
    return Interval(NOW - (age + 1) * DAY, NOW - age * DAY)


frozen = st.builds(
    lambda digest, model, age: FrozenTable(digest, "frozen input", model, interval(age), NOW - age * DAY, 5),
    digests,
    models,
    days,
)
rows = st.builds(
    lambda run, what, model, age: RunRows(run, what, model, interval(age), NOW - age * DAY),
    st.uuids().map(str),
    st.sampled_from(["scores", "staged rows"]),
    models,
    days,
)
holds = st.builds(
    lambda model, age, lifted: LegalHold(
        1,
        model,
        None if age is None else interval(age),
        "ada",
        "court",
        NOW,
        lifted_at=NOW if lifted else None,
    ),
    st.one_of(st.none(), models),
    st.one_of(st.none(), days),
    st.booleans(),
)
retention = st.fixed_dictionaries(
    {
        name: st.builds(
            lambda a, b, c: RetentionSpec(
                frozen_inputs=a * DAY, superseded_scores=b * DAY, abandoned_runs=c * DAY
            ),
            days,
            days,
            days,
        )
        for name in ("loans", "cards")  # ``gone`` has no folder
    }
)
facts = st.builds(
    Facts,
    retention=retention,
    frozen=st.lists(frozen, max_size=6),
    runs=st.lists(rows, max_size=4),
    needed=st.dictionaries(digests, st.just("a pin"), max_size=1),
    holds=st.lists(holds, max_size=2),
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # the machine is busy, not the strategy large
@given(facts)
def test_nothing_young_needed_held_or_undeclared_is_due(facts: Facts) -> None:
    found = {one.subject: one for one in due(facts, NOW)}
    assert len(found) == len(due(facts, NOW))
    for table in facts.frozen:
        if table.digest in found:
            assert table.digest not in facts.needed
            assert NOW - table.frozen_at > facts.retention[table.model].frozen_inputs
            assert not any(hold.covers(table.model, table.interval) for hold in facts.holds)
    for run in facts.runs:
        if run.run_id in found:
            declared = facts.retention[run.model]
            keep = declared.superseded_scores if run.what == "scores" else declared.abandoned_runs
            assert NOW - run.since > keep
            assert not any(hold.covers(run.model, run.interval) for hold in facts.holds)


@given(facts)
def test_what_is_past_its_time_by_every_name_goes(facts: Facts) -> None:
    free = Facts(facts.retention, facts.frozen, facts.runs)
    found = {one.subject for one in due(free, NOW + 1000 * DAY)}
    undeclared = {table.digest for table in facts.frozen if table.model == "gone"}
    assert found == (
        {table.digest for table in facts.frozen} - undeclared
        | {run.run_id for run in facts.runs if run.model != "gone"}
    )
