"""A model folder of another shape runs without a change to anything but itself.

It also publishes the probability of each class, one of which never occurs.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from rescore import pipeline
from rescore.drift import DriftReport
from rescore.errors import ModelError
from rescore.pipeline.audit import bundle_verifier
from tests.shared.harbour import Harbour, harbour_context

FOLDER = {
    "model.yaml": """\
name: wind
version: "2.3"
owner: harbour-office
source:
  connection: harbour
  key: [day, exact, reading]
  subject: [gauge]
  event_time: measured_at
  known_by: {column: recorded_at}
features:
  - {name: level, kind: numeric}
  - {name: high, kind: boolean}
  - {name: gauge, kind: categorical}
  - {name: moment, kind: datetime}
target: {name: wind, kind: multiclass}
output:
  unit: probability
  meaning: how sure the model is of the wind it names
  probabilities: {north: p_north, east: p_east, south: p_south, west: p_west, none: p_calm}
schedule: {cron: "0 0 * * 1", timezone: Europe/Berlin, start: 2024-01-08}
training: {intervals: 3, holdout_intervals: 1, folds: 2, seed: 5}
drift: {false_alarm_rate: 0.1}
""",
    "extract.sql": """\
SELECT measured_at::date AS day, gauge = 'pier' AS exact, reading + 1000 * length(md5(gauge)) AS reading,
       measured_at, level, level > 0 AS high, gauge, measured_at AS moment
FROM harbour.readings
WHERE gauge IN ('pier', 'lock') AND measured_at >= :interval_start AND measured_at < :interval_end
  AND recorded_at <= :as_of
""",
    "labels.sql": """\
SELECT measured_at::date AS day, gauge = 'pier' AS exact, reading + 1000 * length(md5(gauge)) AS reading, wind
FROM harbour.readings
WHERE gauge IN ('pier', 'lock') AND measured_at >= :interval_start AND measured_at < :interval_end
  AND recorded_at <= :as_of
""",
    "pipeline.py": '''\
"""A small forest with a transformer of its own."""

from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder


class HourOfDay(TransformerMixin, BaseEstimator):
    """The hour, 0 to 23, of each datetime column."""

    def fit(self, X, y=None):
        """Learn nothing."""
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        """Replace datetimes by hours."""
        return X.apply(lambda column: column.dt.hour.astype("float64")).to_numpy()


def build(hyperparameters, seed):
    """Build the unfitted pipeline."""
    return make_pipeline(
        make_column_transformer(
            (HourOfDay(), ["moment"]), (OrdinalEncoder(), ["gauge"]), ("passthrough", ["level", "high"])
        ),
        RandomForestClassifier(n_estimators=20, random_state=seed, n_jobs=2),
    )
''',
    "expectations.py": '''\
"""What a week has to look like."""

import great_expectations as gx
import great_expectations.expectations as gxe


def suite():
    """Return the suite."""
    return gx.ExpectationSuite(
        name="wind", expectations=[gxe.ExpectColumnValuesToNotBeNull(column="level", severity="critical")]
    )
''',
}


def _winds(harbour: Harbour, home: Path, **changes: str) -> pipeline.Context:
    """A context that knows the model alone, its declaration changed by whole lines."""
    models = home / f"models{len(changes)}"
    (models / "wind").mkdir(parents=True, exist_ok=True)
    for name, content in FOLDER.items():
        (models / "wind" / name).write_text(content)
    declared = FOLDER["model.yaml"] + "".join(f"{key}: {value}\n" for key, value in changes.items())
    (models / "wind" / "model.yaml").write_text(declared)
    return replace(harbour.ctx, settings=replace(harbour.ctx.settings, models=models))


@pytest.fixture(scope="module")
def scored_winds(trained_harbour, postgres_server, tmp_path_factory):
    """Training takes long: a database and a home with a week of winds, to be copied."""
    _, home = trained_harbour
    mine = tmp_path_factory.mktemp("winds")
    shutil.copytree(home / "archive", mine / "archive")
    url = postgres_server.create_database("winds_template", template="harbour_template")
    with harbour_context(postgres_server, url, mine) as opened:
        harbour = Harbour(opened, url, mine)
        ctx = _winds(harbour, mine)
        week = _week(ctx, harbour)
        package = pipeline.train_model(ctx, "wind", as_of=week.start)
        pipeline.pin(ctx, "wind", package.version, who="tester", why="first")
        done = pipeline.score_interval(ctx, "wind", week)
    assert package.version == "2.3.0"
    return mine, done


def _week(ctx, harbour):
    schedule = ctx.model("wind").spec.schedule.schedule()
    return schedule.interval_ending(schedule.floor(harbour.day(36).end))


@pytest.fixture
def winds(scored_winds, postgres_server, tmp_path):
    """A harbour of this test's own with the published week, and what was published."""
    home, done = scored_winds
    shutil.copytree(home / "archive", tmp_path / "home" / "archive")
    url = postgres_server.create_database(f"winds_{tmp_path.name}"[:60], template="winds_template")
    with harbour_context(postgres_server, url, tmp_path / "home") as ctx:
        yield Harbour(_winds(Harbour(ctx, url, tmp_path), tmp_path), url, tmp_path / "home"), done
    postgres_server.drop_database(f"winds_{tmp_path.name}"[:60])


def test_a_forest_of_winds_by_the_week_runs_from_training_to_reproduction(winds):
    """Multiclass, keys of date, boolean and number, an own transformer, weeks in another time zone."""
    harbour, done = winds
    assert done.interval.duration == timedelta(days=7)
    assert done.rows == 2 * 24 * 7
    labels = {label for (label,) in harbour.execute("SELECT DISTINCT label FROM scores.wind")}
    assert labels <= {"north", "east", "south", "west"}
    [(kind,)] = harbour.execute(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 'scores.wind'::regclass AND attname = 'day'"
    )
    assert kind == "date"
    assert pipeline.reproduce_run(harbour.ctx, done.run_id).verdict == "identical"
    measured = pipeline.measure_run(harbour.ctx, done.run_id, done.interval.end + timedelta(hours=1))
    assert measured.labelled == done.rows
    at_scoring = DriftReport.from_dict(harbour.ctx.store.reports.drift_of(done.run_id)).estimated["accuracy"]
    assert at_scoring.value == pytest.approx(measured.estimated["accuracy"].value)
    assert at_scoring.low < at_scoring.value < at_scoring.high


CLASSES = {"north": "p_north", "east": "p_east", "south": "p_south", "west": "p_west", "none": "p_calm"}


def test_consumers_read_the_probability_of_each_class_in_every_view(winds):
    harbour, _ = winds
    for view in ("wind", "wind_latest", "wind_history"):
        columns = harbour.execute(
            "SELECT attname, col_description(attrelid, attnum) FROM pg_attribute"
            f" WHERE attrelid = 'scores.{view}'::regclass AND attname LIKE 'p\\_%%' ORDER BY attnum",
        )
        assert columns == [
            (column, f"The probability of the class {name}") for name, column in CLASSES.items()
        ], view
        rows = harbour.execute(f"SELECT label, score, {', '.join(CLASSES.values())} FROM scores.{view}")
        assert rows
        for label, score, *found in rows:
            given = dict(zip(CLASSES, found, strict=True))
            assert given[label] == score == max(found)
            assert sum(found) == pytest.approx(1.0)
            assert given["none"] == 0.0, "the package never saw it"
    assert len(set(rows)) > 10


def test_shards_give_the_same_digest_with_probabilities(winds, tmp_path):
    harbour, done = winds
    ctx = _winds(harbour, tmp_path, scoring="{shard_rows: 65536}")
    again = pipeline.score_interval(ctx, "wind", done.interval)
    assert again.run_id != done.run_id
    assert again.score_digest == done.score_digest


def test_a_changed_probability_is_found_by_every_proof(winds):
    harbour, done = winds
    assert pipeline.verify_history(harbour.ctx, scores=True).findings == ()
    [(day, reading)] = harbour.execute("SELECT day::text, reading FROM scores.wind WHERE exact LIMIT 1")
    harbour.execute(
        "SET session_replication_role = replica;"
        "UPDATE rescore.scores_wind SET p_south = p_south + 1e-9 WHERE exact AND day = %s AND reading = %s",
        day,
        reading,
    )
    run = pipeline.reproduce_run(harbour.ctx, done.run_id)
    assert run.verdict == "differs"
    [apart] = run.differences
    assert (apart.column, apart.key["reading"]) == ("p_south", str(reading))
    assert apart.published == pytest.approx(apart.rederived + 1e-9)
    [one] = pipeline.reproduce_score(
        harbour.ctx, "wind", {"day": day, "reading": str(reading), "exact": "true"}
    )
    assert (one.verdict, one.published) == ("differs", one.rederived)
    assert one.reason.startswith("the p_south in the table is not what its row gives")
    assert [finding.what for finding in pipeline.verify_history(harbour.ctx, scores=True).findings] == [
        "the stored scores are not those that were staged"
    ]


def test_what_is_exported_of_one_score_and_what_an_erasure_leaves_verify(winds, tmp_path):
    harbour, done = winds
    [(day, reading)] = harbour.execute("SELECT day::text, reading FROM scores.wind WHERE exact LIMIT 1")
    key = {"day": day, "exact": "true", "reading": str(reading)}
    pipeline.export_bundle(harbour.ctx, tmp_path / "one.zip", model_name="wind", key=key)
    told = bundle_verifier.verify((tmp_path / "one.zip").read_bytes())
    assert told[-1].startswith("VERIFIED")
    shown = pipeline.show_subject(harbour.ctx, {"gauge": "pier"})
    assert {*CLASSES.values(), "score", "label", "run_id"} == set(
        next(one.scores for one in shown if one.scores)[0]
    )
    erased = pipeline.erase_subject(harbour.ctx, {"gauge": "pier"}, ground="asked for", who="officer")
    assert erased.rows[done.run_id] == done.rows // 2
    assert pipeline.verify_history(harbour.ctx, scores=True).findings == ()
    assert pipeline.reproduce_run(harbour.ctx, done.run_id).verdict == "identical"


def test_a_class_without_a_column_is_refused_before_anything_is_fitted(harbour, tmp_path):
    ctx = _winds(harbour, tmp_path)
    declared = tmp_path / "models0" / "wind" / "model.yaml"
    declared.write_text(declared.read_text().replace("south: p_south, ", ""))
    with pytest.raises(ModelError, match="no column for 1 of the 4 classes") as caught:
        pipeline.train_model(ctx, "wind", as_of=_week(ctx, harbour).start)
    assert "south" in str(caught.value) and "p_south" not in str(caught.value)


def test_training_again_from_the_same_rows_is_the_same_package(harbour):
    first = harbour.ctx.store.packages.of_model("tides")
    again = pipeline.train_model(harbour.ctx, "tides", as_of=harbour.day(30).start)
    assert again.sha256 == first[0].sha256
    assert len(harbour.ctx.store.packages.of_model("tides")) == len(first) == 1
