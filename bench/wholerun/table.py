"""The table that is scored, and the model folders that score it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2
import yaml

from rescore.interval import Interval

START = datetime(2024, 1, 1, tzinfo=UTC)
TRAINED_DAYS = 12
TRAINED_ROWS = 1_000  # of each day
DAY = timedelta(days=1)
#: The day of many rows, after the days of training.
SCORED = Interval(START + TRAINED_DAYS * DAY, START + (TRAINED_DAYS + 1) * DAY)

PIPELINES = {
    "logistic": """
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def build(hyperparameters, seed):
    return make_pipeline(
        make_column_transformer(
            (make_pipeline(SimpleImputer(), StandardScaler()), {numbers}),
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), {texts}),
        ),
        LogisticRegression(random_state=seed),
    )
""",
    "boosted": """
from sklearn.ensemble import HistGradientBoostingClassifier


def build(hyperparameters, seed):
    return HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=seed)
""",
}


@dataclass(frozen=True)
class Shape:
    """A table's features: how many are numbers, texts (categories of ``levels`` values) and flags."""

    name: str
    numbers: int
    texts: int
    flags: int = 1
    levels: int = 12

    @property
    def number_names(self) -> list[str]:
        return [f"n{i}" for i in range(self.numbers)]

    @property
    def text_names(self) -> list[str]:
        return [f"t{i}" for i in range(self.texts)]

    @property
    def flag_names(self) -> list[str]:
        return [f"b{i}" for i in range(self.flags)]

    @property
    def features(self) -> list[str]:
        return [*self.number_names, *self.text_names, *self.flag_names]

    @property
    def columns(self) -> list[str]:
        return ["id", "event_time", *self.features]


#: 20 columns with the key and the event time, as in the design's budget; and others.
SHAPES = {
    shape.name: shape
    for shape in (
        Shape("wide20", 13, 4),
        Shape("narrow4", 1, 1, flags=0),
        Shape("wide200", 158, 38, flags=2),
        Shape("texts", 3, 15, flags=0, levels=60),
    )
}


def make_schema(url: str) -> None:
    """Make the schema of the source, as its owner."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA bench")


def make_table(url: str, name: str, shape: Shape, rows: int) -> None:
    """Fill ``bench.<name>`` as its owner: days of training, then one day of ``rows`` rows, in no order."""
    numbers = [f"sin(i * {2 * n + 3}) + hashint8(i + {n}) / 4e9 AS n{n}" for n in range(shape.numbers)]
    texts = [
        f"'level ' || ((hashint8(i * {n + 2}) & 2147483647) % {shape.levels}) AS t{n}"
        for n in range(shape.texts)
    ]
    flags = [f"hashint8(i * {n + 7}) % 2 = 0 AS b{n}" for n in range(shape.flags)]
    columns = ", ".join([*numbers, *texts, *flags])
    first, trained = START.isoformat(), TRAINED_DAYS * TRAINED_ROWS
    statements = [
        f"DROP TABLE IF EXISTS bench.{name}",
        # The order of rows on disk is not that of the key: what has to be sorted is sorted.
        f"""CREATE TABLE bench.{name} AS
        SELECT i AS id,
          timestamptz '{first}' + CASE WHEN i <= {trained} THEN (i % {TRAINED_DAYS}) * interval '1 day'
            ELSE {TRAINED_DAYS} * interval '1 day' END + (i % 86400) * interval '1 second' AS event_time,
          timestamptz '{first}' AS recorded_at, sin(i * 3) + hashint8(i) / 3e9 > 0.3 AS late, {columns}
        FROM (SELECT g::int8 AS i FROM generate_series(1, {trained + rows}) g ORDER BY hashint8(g)) s""",
        f"CREATE INDEX ON bench.{name} (event_time)",
        f"VACUUM ANALYZE bench.{name}",  # or whoever reads it first would pay for that
    ]
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        for statement in statements:
            cursor.execute(statement)


def make_model(folder: Path, model: str, table: str, shape: Shape) -> None:
    """A model's folder, with an expectation for each feature and two of the table."""
    kinds = {"n": "numeric", "t": "categorical", "b": "boolean"}
    spec = {
        "name": table,
        "version": "1.0",
        "owner": "bench",
        "source": {
            "connection": "bench",
            "key": ["id"],
            "event_time": "event_time",
            "known_by": {"column": "recorded_at"},
        },
        "features": [{"name": name, "kind": kinds[name[0]]} for name in shape.features],
        "target": {"name": "late", "kind": "binary"},
        "output": {"unit": "probability", "meaning": "nothing"},
        "schedule": {"cron": "0 0 * * *", "start": START.date().isoformat()},
        "training": {"intervals": TRAINED_DAYS, "seed": 1},
        "drift": {"on_outage": "publish_flagged"},
    }
    where = (
        f"FROM bench.{table} WHERE event_time >= :interval_start AND event_time < :interval_end"
        " AND recorded_at <= :as_of"
    )
    numbers, texts = [*shape.number_names, *shape.flag_names], shape.text_names
    values = [f"level {n}" for n in range(shape.levels)]
    expectations = [
        f'gxe.ExpectColumnValuesToBeBetween(column="{name}", min_value=-9, max_value=9, severity="warning")'
        for name in shape.number_names
    ]
    expectations += [
        f'gxe.ExpectColumnValuesToBeInSet(column="{name}", value_set={values}, severity="warning")'
        for name in texts
    ]
    expectations += [
        f'gxe.ExpectColumnValuesToNotBeNull(column="{name}", severity="warning")'
        for name in [*shape.flag_names, "event_time"]
    ]
    expectations += ['gxe.ExpectTableRowCountToBeBetween(min_value=1, severity="critical")']
    listed = ",\n        ".join(expectations)
    pipeline = PIPELINES[model].replace("{numbers}", repr(numbers)).replace("{texts}", repr(texts))
    files = {
        "model.yaml": yaml.safe_dump(spec),
        "extract.sql": f"SELECT {', '.join(shape.columns)} {where}",
        "labels.sql": f"SELECT id, late {where}",
        "pipeline.py": pipeline,
        "expectations.py": "import great_expectations as gx\n"
        "import great_expectations.expectations as gxe\n\n"
        f'def suite():\n    return gx.ExpectationSuite(name="bench", expectations=[\n        {listed}])\n',
    }
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (folder / file).write_text(text)
