"""model.yaml: what is refused, and that each refusal names the file, the key and the fix."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rescore.errors import SpecError
from rescore.spec import DriftSpec, ModelSpec, ScheduleSpec
from rescore.spec_values import duration_text
from tests.core.conftest import MINIMAL, Write


def test_few_keys_are_required(write: Write) -> None:
    folder = write()
    spec = folder.spec
    assert (folder.name, folder.extract_sql, folder.labels_sql) == (
        "parcels",
        "-- extract.sql",
        "-- labels.sql",
    )
    assert spec.input_columns == ["depot", "parcel", "sent_at", "customer", "weight"]
    assert spec.source.row_columns == ["depot", "parcel", "sent_at"]
    daily = spec.source.model_copy(update={"event_time": "parcel"})
    assert daily.row_columns == ["depot", "parcel"], "a moment may be part of the key"
    assert spec.feature_names == ["weight", "depot"]
    assert spec.target.positive is True
    assert spec.schedule.empty == "error"
    assert spec.retention.frozen_inputs == timedelta(days=400)
    assert spec.source.known_by.reproducible_from_source


def test_a_date_without_a_zone_is_read_in_the_schedules_zone(write: Write) -> None:
    schedule = write({"schedule.end": "2025-01-01T00:00:00Z"}).spec.schedule.schedule()
    assert schedule.start is not None
    assert schedule.start.astimezone(UTC) == datetime(2024, 1, 1, 5, tzinfo=UTC)
    assert schedule.end == datetime(2025, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("7d", 604_800), ("2w", 1_209_600)],
)
def test_durations_have_units(write: Write, written: str, meant: int) -> None:
    spec = write({"source.statement_timeout": written}).spec
    assert spec.source.statement_timeout == timedelta(seconds=meant)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"owner": None}, "owner: missing"),
        ({"ownr": "x"}, "ownr: unknown key"),
        ({"name": "Parcels"}, "name: expected lower-case letters"),
        ({"version": "1"}, "version:"),
        ({"source.key": []}, "source.key:"),
        ({"source.key": ["depot", "depot"]}, "source.key names a column twice"),
        ({"source.known_by": None}, "source.known_by: missing"),
        ({"source.known_by": {"column": "a", "valid_range": ["b", "c"]}}, "not both"),
        ({"source.known_by": "none"}, "set training.from: frozen_inputs"),
        ({"source.ready": {}}, "exactly one of sql and asset"),
        ({"source.ready": {"sql": "SELECT true", "asset": "x"}}, "exactly one of sql and asset"),
        ({"source.statement_timeout": 30}, "expected a duration like 90s"),
        ({"source.statement_timeout": "5 parsecs"}, "expected a duration like 90s"),
        ({"features": []}, "features:"),
        ({"features": [{"name": "a", "kind": "number"}]}, "features.0.kind:"),
        ({"features": [{"name": "a", "kind": "text"}] * 2}, "feature 'a' is declared twice"),
        ({"features": [{"name": "late", "kind": "boolean"}]}, "that is a leak"),
        (
            {"features": [{"name": "interval_start", "kind": "datetime"}]},
            "is reserved: a training snapshot has a column of that name",
        ),
        ({"output.probabilities": {"a": "p_a"}}, "output.probabilities is of multiclass models; of a binary"),
        ({"target.kind": "multiclass", "output.probabilities": {"a": "p", "b": "p"}}, "names a column twice"),
        ({"target.kind": "multiclass", "output.probabilities": {"a": "P"}}, "lower-case letters"),
        ({"schedule.cron": "@daily"}, "not a cron expression of five fields"),
        ({"schedule.cron": "0 25 * * *"}, "not a cron expression of five fields"),
        ({"schedule.cron": "R 0 * * *"}, "no R or H, which are chance"),
        ({"schedule.cron": "0 1,r(2-4) * * *"}, "no R or H, which are chance"),
        ({"schedule.timezone": "New York"}, "unknown time zone"),
        ({"training.holdout_intervals": 60}, "holdout_intervals must be smaller"),
        ({"training.seed": None}, "training.seed: missing"),
        ({"drift.false_alarm_rate": 0}, "drift.false_alarm_rate:"),
        ({"validation.max_quarantined_fraction": 2}, "validation.max_quarantined_fraction:"),
    ],
)
def test_a_wrong_key_is_named_with_its_file(write: Write, changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        write(changes)
    message = str(caught.value)
    assert problem in message
    assert "models/parcels/model.yaml" in (caught.value.where or "")
    assert caught.value.fix


def test_classes_that_yaml_reads_as_numbers_or_booleans_are_what_labels_say(write: Write) -> None:
    declared = {0: "p_0", True: "p_true", "x": "p_x"}
    spec = write({"target.kind": "multiclass", "output.probabilities": declared}).spec
    assert spec.output.probabilities == {"0": "p_0", "true": "p_true", "x": "p_x"}


def test_all_problems_come_at_once(write: Write) -> None:
    with pytest.raises(SpecError, match="3 problems") as caught:
        write({"owner": None, "ownr": "x", "schedule.timezone": "Mars"})
    assert len(caught.value.data["problems"]) == 3


@pytest.mark.parametrize("text", ["a: [", "- a list", ""])
def test_what_is_no_mapping(write: Write, text: str) -> None:
    with pytest.raises(SpecError, match=r"YAML|mapping"):
        write(text=text)


def test_without_history_training_is_from_frozen_inputs(write: Write) -> None:
    spec = write({"source.known_by": "none", "training.from": "frozen_inputs"}).spec
    assert not spec.source.known_by.reproducible_from_source
    assert spec.training.source == "frozen_inputs"


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.dates()
    | st.datetimes()
    | st.text(max_size=8)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(declared: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every key and index in a declaration."""
    inner = declared.items() if isinstance(declared, dict) else enumerate(declared)
    found = []
    for key, value in inner:
        found.append((*above, key))
        if isinstance(value, dict | list):
            found += places(value, (*above, key))
    return found


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(places(yaml.safe_load(MINIMAL))), values)
def test_any_value_anywhere_is_taken_or_refused_by_name(
    write: Write, place: tuple[Any, ...], value: Any
) -> None:
    declared = yaml.safe_load(MINIMAL)
    inner = declared
    for part in place[:-1]:
        inner = inner[part]
    inner[place[-1]] = value
    try:
        write(text=yaml.safe_dump(declared, allow_unicode=True))
    except SpecError as error:
        assert error.where
        assert error.fix


def test_an_end_in_the_last_year_is_none(write: Write) -> None:
    assert write({"schedule.end": "9999-12-31"}).spec.schedule.schedule().end is None


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule.start": "0001-01-01"},
        {"schedule.end": "0001-01-01"},
        {"schedule.cron": "0 0 30 2 *"},
        {"schedule.start": "0001-01-01T00:00:00+14:00"},
        {"schedule.start": "9999-12-31T23:59:59-12:00"},
    ],
)
def test_a_schedule_at_the_ends_of_the_calendar_is_refused_with_one_fix(
    write: Write, changes: dict[str, str]
) -> None:
    with pytest.raises(SpecError) as caught:
        write(changes)
    [problem] = caught.value.examples
    assert problem.startswith("schedule: no run of ")
    assert "1 to 9999" in problem
    assert str(caught.value).count("fix:") == 1


def test_a_specification_does_not_change(write: Write) -> None:
    spec: ModelSpec = write().spec
    with pytest.raises(ValidationError, match="frozen"):
        spec.owner = "somebody else"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("start: 2024-01-01", "start: 2023-02-29", "'2023-02-29': day is out of range for month"),
        ("start: 2024-01-01", "start: 2024-01-01T25:00:00", "hour must be in 0..23"),
        ("seed: 1}", "seed: 1, max_age: 99999999999w}", "training.max_age: '99999999999w' is longer than"),
        ("0 4 * * *", "0 0 31 2 *", "no run of '0 0 31 2 *' is due"),
        ("start: 2024-01-01", "start: 0001-01-01", "no run of '0 4 * * *' is due"),
        ("owner: logistics", "owner: " + "[" * 3000, "not valid YAML"),
        ("owner: logistics", "owner: *nobody", "undefined alias"),
    ],
)
def test_a_value_that_a_parser_chokes_on_is_a_typed_error(
    write: Write, old: str, new: str, says: str
) -> None:
    with pytest.raises(SpecError) as caught:
        write(text=MINIMAL.replace(old, new))
    assert says in str(caught.value)
    assert "parcels/model.yaml" in (caught.value.where or "")
    assert caught.value.fix


@pytest.mark.parametrize(
    ("declared", "verdict", "alarm", "acts"),
    [
        ({}, "drifted", False, True),
        ({}, "ok", True, False),
        ({"acts_on": "consequential"}, "drifted", False, False),
        ({"acts_on": "alarm"}, "ok", True, True),
        ({"acts_on": "alarm"}, "consequential", False, False),
        ({"on_drift": "nothing"}, "consequential", False, False),
        ({"on_drift": "nothing", "acts_on": "alarm"}, "ok", True, False),
        ({}, "outage", False, False),
    ],
)
def test_what_is_declared_says_at_which_verdict_something_is_asked_for(
    declared: dict[str, Any], verdict: str, alarm: bool, acts: bool
) -> None:
    assert DriftSpec(**declared).acts_at(verdict, alarm=alarm) is acts


@pytest.mark.parametrize("text", ["90s", "30m", "36h", "14d", "0.5s"])
def test_a_duration_is_shown_as_it_is_written(text: str) -> None:
    declared = ScheduleSpec.model_validate(
        {"cron": "0 4 * * *", "start": "2024-01-01", "publish_within": text}
    )
    assert declared.publish_within is not None
    assert duration_text(declared.publish_within) == text
