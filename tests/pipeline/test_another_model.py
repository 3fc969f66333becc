"""A model folder of another shape runs without a change to anything but itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from rescore import pipeline

FOLDER = {
    "model.yaml": """\
name: wind
version: "2.3"
owner: harbour-office
source:
  connection: harbour
  key: [day, exact, reading]
  event_time: measured_at
  known_by: {column: recorded_at}
features:
  - {name: level, kind: numeric}
  - {name: high, kind: boolean}
  - {name: gauge, kind: categorical}
  - {name: moment, kind: datetime}
target: {name: wind, kind: multiclass}
output: {unit: probability, meaning: how sure the model is of the wind it names}
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


def test_a_forest_of_winds_by_the_week_runs_from_training_to_reproduction(harbour, tmp_path):
    """Multiclass, keys of date, boolean and number, an own transformer, weeks in another time zone."""
    models = tmp_path / "models"
    (models / "wind").mkdir(parents=True)
    for name, content in FOLDER.items():
        (models / "wind" / name).write_text(content)
    ctx = replace(harbour.ctx, settings=replace(harbour.ctx.settings, models=models))
    schedule = ctx.model("wind").spec.schedule.schedule()
    week = schedule.interval_ending(schedule.floor(harbour.day(36).end))

    package = pipeline.train_model(ctx, "wind", as_of=week.start)
    pipeline.pin(ctx, "wind", package.version, who="tester", why="first")
    done = pipeline.score_interval(ctx, "wind", week)

    assert package.version == "2.3.0"
    assert week.duration == timedelta(days=7)
    assert done.rows == 2 * 24 * 7
    labels = {label for (label,) in harbour.execute("SELECT DISTINCT label FROM scores.wind")}
    assert labels <= {"north", "east", "south", "west"}
    [(kind,)] = harbour.execute(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 'scores.wind'::regclass AND attname = 'day'"
    )
    assert kind == "date"
    assert pipeline.reproduce_run(ctx, done.run_id).verdict == "identical"
    measured = pipeline.measure_run(ctx, done.run_id, week.end + timedelta(hours=1))
    assert measured.labelled == done.rows


def test_training_again_from_the_same_rows_is_the_same_package(harbour):
    first = harbour.ctx.store.packages.of_model("tides")
    again = pipeline.train_model(harbour.ctx, "tides", as_of=harbour.day(30).start)
    assert again.sha256 == first[0].sha256
    assert len(harbour.ctx.store.packages.of_model("tides")) == len(first) == 1
