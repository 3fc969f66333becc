"""Keys that are moments at the ends of the calendar are scored, read and proved like any other."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rescore import pipeline
from rescore.errors import IntervalError, SourceKeyError, SourceSchemaError
from rescore.interval import Interval
from tests.shared.harbour import MODEL, TRAINED_AS_OF

#: Year 1 for two gauges and 9999 for the third; each reading is an hour from the next.
AT = """CASE gauge WHEN 'pier' THEN timestamptz '9999-12-31 23:59:59.999999Z' - reading * interval '1 hour'
 ELSE timestamptz '0001-01-01 00:00Z' + reading * interval '1 hour' END"""
DAY = "CASE gauge WHEN 'pier' THEN date '9999-12-31' - reading ELSE date '0001-01-01' + reading END"


def keyed(ctx, expression):
    folder = ctx.model(MODEL).path
    for name in ("extract.sql", "labels.sql"):
        path = folder / name
        path.write_text(
            path.read_text().replace("SELECT gauge, reading", f"SELECT gauge, {expression} AS at")
        )
    yaml = (folder / "model.yaml").read_text()
    (folder / "model.yaml").write_text(yaml.replace("key: [gauge, reading]", "key: [gauge, at]"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("expression", "last"), [(AT, "9999-12-01T23:59:59.999999+00:00"), (DAY, "9998-01-10")]
)
def test_keys_of_the_first_and_the_last_year(untrained, expression, last):
    ctx = untrained
    keyed(ctx, expression)
    package = pipeline.train_model(ctx, MODEL, as_of=TRAINED_AS_OF, who="trainer")
    pipeline.pin(ctx, MODEL, package.version, who="tester", why="first")
    done = pipeline.score_interval(ctx, MODEL, Interval(TRAINED_AS_OF, TRAINED_AS_OF + timedelta(days=1)))
    assert done.rows == 72
    assert pipeline.reproduce_run(ctx, done.run_id).verdict == "identical"
    proved = pipeline.reproduce_score(ctx, MODEL, {"gauge": "pier", "at": last})
    assert [one.verdict for one in proved] == ["identical"]


@pytest.mark.parametrize(
    "expression",
    [
        "CASE reading WHEN 720 THEN 'infinity' ELSE measured_at END",
        "'0044-03-15 BC'::date + reading",
        "date '10000-01-01' + reading",
    ],
)
def test_keys_outside_the_calendar_are_named(untrained, expression):
    keyed(untrained, expression)
    day = Interval(TRAINED_AS_OF, TRAINED_AS_OF + timedelta(days=1))
    with pytest.raises(SourceSchemaError, match="'at' holds an infinite value, or one outside the") as caught:
        pipeline.begin_extract(untrained, MODEL, day)
    assert "WHEN at BETWEEN '0001-01-01' AND '9999-12-31'" in caught.value.fix


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("0001-01-01T00:00:00Z/0001-01-02T00:00:00Z", "schedule"),
        ("9999-12-30T00:00:00Z/9999-12-31T00:00:00Z", "not ended|has not"),
        ("9999-12-31T00:00:00Z/9999-12-31T23:59:59.999999Z", "schedule|not ended|has not"),
    ],
)
def test_intervals_at_the_ends_are_refused_by_name(untrained, text, what):
    with pytest.raises(IntervalError, match=what):
        pipeline.begin_extract(untrained, MODEL, Interval.parse(text))


@pytest.mark.parametrize("moment", ["'infinity'::timestamptz", "'-infinity'::date", "date '10000-01-01'"])
def test_a_key_outside_the_calendar_that_occurs_twice_is_named_too(untrained, moment):
    keyed(untrained, moment)
    day = Interval(TRAINED_AS_OF, TRAINED_AS_OF + timedelta(days=1))
    with pytest.raises(SourceKeyError, match=r"a key occurs more than once \(gauge, at\)") as caught:
        pipeline.begin_extract(untrained, MODEL, day)
    assert caught.value.examples[0].startswith("gauge=buoy, at=a moment outside the years")
