"""The text of a new model folder's files, from what was decided about it."""

# ruff: noqa: E501, S608 - texts as they will stand in the files; names are quoted
from __future__ import annotations

from typing import TYPE_CHECKING

from rescore.source import quote_identifier

if TYPE_CHECKING:
    from rescore.authoring.column_roles import Drafted
    from rescore.authoring.draft import Draft

__all__ = ["files"]


def files(made: Draft) -> dict[str, str]:
    """Every file of the folder, by its relative name."""
    return {
        "model.yaml": _model_yaml(made),
        "extract.sql": _extract_sql(made),
        "labels.sql": _labels_sql(made),
        "pipeline.py": _pipeline_py(made),
        "expectations.py": _expectations_py(made),
        "tests/test_folder.py": _test_py(made),
        "README.md": _readme(made),
    }


def _model_yaml(made: Draft) -> str:
    table, target, rhythm = made.table, made.target, made.rhythm
    return f"""\
# Drafted from {table.schema}.{table.name} ({table.rows:,} rows). A person has to decide where it says DECIDE.
name: {made.name}
version: "0.1"
owner: nobody  # DECIDE: who answers for this model
description: Predicts {target.name} of each row of {table.schema}.{table.name}.

source:
  connection: {made.connection}
  key: [{", ".join(_scalar(one.name) for one in made.key)}]
  event_time: {_event_name(made)}{_event_comment(made)}
{_known_by(made)}

features:
{"".join(_feature(one) for one in made.features)}{"".join(_left_out(*one) for one in made.left_out)}
target:
  name: {_scalar(target.name)}  # DECIDE: is this what is to be predicted?
  kind: {made.target_kind}
{f"  positive: {made.positive}{chr(10)}" if made.positive is not None else ""}\
  delay: 0s  # DECIDE: how long after an interval's end its labels are known (90s, 30m, 24h, 7d)

output:
  unit: {"probability" if made.target_kind != "regression" else "DECIDE"}
  meaning: {_scalar(_meaning(made))}

schedule:
  cron: "{rhythm.cron}"  # {rhythm.words}; DECIDE: when the scores are needed
  timezone: UTC
  start: {rhythm.start:%Y-%m-%dT%H:%M:%SZ}
  empty: {"publish" if rhythm.gaps else "error"}

training:
{"" if made.known_by else "  from: frozen_inputs  # what was really scored; the source can't be read again" + chr(10)}\
  intervals: {rhythm.intervals}
  holdout_intervals: {rhythm.holdout}
  folds: {max(2, min(5, rhythm.intervals))}
  seed: 42
  hyperparameters: {{max_iter: 100, max_leaf_nodes: 15, min_samples_leaf: 20}}
"""


def _event_name(made: Draft) -> str:
    for one in made.key:
        if one.column.name == made.event_column and one.column.postgres in {"timestamptz", "timestamp"}:
            return _scalar(one.name)
    return "event_time"


def _event_comment(made: Draft) -> str:
    if made.event_column is None:
        return "  # DECIDE: the table has no such column, so each run scores every row"
    return f"  # from {made.event_column}"


def _known_by(made: Draft) -> str:
    if not made.known_by:
        return (
            "  # DECIDE: nothing tells when a row was recorded, so what was known at a past moment can't be read\n"
            "  # again. A column that does, filled by the database and never changed, would mend that.\n"
            "  known_by: none"
        )
    if len(made.known_by) == 1:
        return (
            "  # DECIDE: is this when a row became readable here, and is no row changed afterwards?\n"
            f"  known_by: {{column: {_scalar(made.known_by[0])}}}"
        )
    return f"  known_by: {{valid_range: [{', '.join(map(_scalar, made.known_by))}]}}"


def _feature(one: Drafted) -> str:
    note = f", description: {_scalar(one.note)}" if one.note else ""
    missing = f"  # {one.column.nulls:,} missing" if one.column.nulls else ""
    return f"  - {{name: {_scalar(one.name)}, kind: {one.kind}{note}}}{missing}\n"


def _left_out(column: str, why: str) -> str:
    return f"  # left out: {_one_line(column)} ({_one_line(why)})\n"


def _meaning(made: Draft) -> str:
    if made.target_kind == "regression":
        return f"expected {made.target.name}"
    if made.target_kind == "multiclass":
        return f"how sure the model is of the {made.target.name} it names"
    return f"probability that {made.target.name} is {(made.positive or '').strip(chr(39))}"


def _rows_from(made: Draft, indent: str = "") -> str:
    """FROM and WHERE: the rows of the interval, as known; of versions the last one known."""
    table = f"{quote_identifier(made.table.schema)}.{quote_identifier(made.table.name)}"
    conditions = []
    if made.event_time is not None:
        conditions += [f"{made.event_time} >= :interval_start", f"{made.event_time} < :interval_end"]
    known = [made.known_sql] if made.known_sql else []
    if made.versions and len(made.known_by) == 1:
        # Of all versions known by then the last, wherever its event lies; only then the interval.
        keys = ", ".join(f"v.{quote_identifier(one.column.name)}" for one in made.key)
        inner = (made.known_sql or "").replace("t.", "v.", 1)
        latest = (
            f"(\n  SELECT DISTINCT ON ({keys}) v.* FROM {table} v\n  WHERE {inner}\n"
            f"  ORDER BY {keys}, v.{quote_identifier(made.known_by[0])} DESC\n) t"
        )
        return _where(f"FROM {latest}", conditions)
    return _where(f"FROM {table} t", [*conditions, *known])


def _where(text: str, conditions: list[str]) -> str:
    return text + (f"\nWHERE {(chr(10) + '  AND ').join(conditions)}" if conditions else "")


def _extract_sql(made: Draft) -> str:
    columns = [f"{one.expression} AS {quote_identifier(one.name)}" for one in made.key]
    if _event_name(made) == "event_time":
        columns.append(f"{made.event_time or ':interval_start'} AS event_time")
    columns += [f"{one.expression} AS {quote_identifier(one.name)}" for one in made.features]
    known = "as known by :as_of" if made.known_by else "as they are now: nothing tells what they were"
    return (
        f"-- The rows of {_one_line(made.table.schema)}.{_one_line(made.table.name)} in the interval, {known}.\n"
        "-- DECIDE: does any column hold what is known only later? The model would learn from the future.\n"
        f"SELECT {(',' + chr(10) + '       ').join(columns)}\n{_rows_from(made)}\n"
    )


def _labels_sql(made: Draft) -> str:
    columns = [f"{one.expression} AS {quote_identifier(one.name)}" for one in made.key]
    columns.append(f"{made.target.expression} AS {quote_identifier(made.target.name)}")
    return (
        f"-- What became of the rows of the interval: {made.target.name}, where it is known.\n"
        "-- DECIDE: is the label in the same row, and known as soon as the row is?\n"
        f"SELECT {(',' + chr(10) + '       ').join(columns)}\n{_rows_from(made)}\n"
    )


def _pipeline_py(made: Draft) -> str:
    kind = "Regressor" if made.target_kind == "regression" else "Classifier"
    return f'''\
"""Boosted trees: they take missing values and categories as they are. A start, to be bettered."""

from __future__ import annotations

from typing import Any

from sklearn.ensemble import HistGradientBoosting{kind}
from sklearn.pipeline import Pipeline


def build(hyperparameters: dict[str, Any], seed: int) -> Pipeline:
    """Build the unfitted pipeline.

    Parameters
    ----------
    hyperparameters : dict
        ``training.hyperparameters`` of model.yaml.
    seed : int
        ``training.seed``; every estimator that draws gets it.
    """
    trees = HistGradientBoosting{kind}(
        categorical_features="from_dtype", early_stopping=False, random_state=seed, **hyperparameters
    )
    return Pipeline([("trees", trees)])
'''


def _expectations_py(made: Draft) -> str:
    lines = []
    for one in made.features:
        name = repr(one.name)
        if not one.column.nulls:
            lines.append(f'gxe.ExpectColumnValuesToNotBeNull(column={name}, severity="warning"),')
        if one.kind == "categorical" and one.column.levels:
            levels = repr(sorted(one.column.levels))
            lines.append(
                f'gxe.ExpectColumnValuesToBeInSet(column={name}, value_set={levels}, severity="info"),'
            )
        if one.kind == "numeric" and isinstance(one.column.low, float) and isinstance(one.column.high, float):
            low, high = _bounds(one.column.low, one.column.high)
            lines.append(
                f"gxe.ExpectColumnValuesToBeBetween(column={name}, min_value={low!r}, max_value={high!r}, "
                'severity="info"),'
            )
    body = "".join(f"            {line}\n" for line in lines)
    return f'''\
"""What rows of {made.name} have to look like before they are scored.

Critical stops the run, warning sets a failing row aside with the reason, info is recorded.
DECIDE: these are what the table's rows keep today; say what must hold, and how bad it is if not.
"""

# ruff: noqa: E501
import great_expectations as gx
import great_expectations.expectations as gxe


def suite() -> gx.ExpectationSuite:
    """Return the expectations, each with its severity."""
    return gx.ExpectationSuite(
        name={made.name!r},
        expectations=[
{body}        ],
    )
'''


def _bounds(low: float, high: float) -> tuple[float, float]:
    """The range seen and half as much on each side; no less than 0 where nothing was."""
    room = (high - low) / 2 or 1.0
    return (0.0 if low >= 0 and low - room < 0 else low - room), high + room


def _test_py(made: Draft) -> str:
    return f'''\
"""What `rescore check {made.name}` runs for this model: no database, seconds."""

from pathlib import Path

from rescore.folder import load_model
from rescore.validation import load_suite

FOLDER = Path(__file__).parents[1]


def folder():
    return load_model(FOLDER.parent, FOLDER.name)


def test_the_target_is_no_feature():
    spec = folder().spec
    assert spec.target.name not in spec.feature_names


def test_the_suite_is_about_declared_columns_with_severities():
    assert {{one.severity for one in load_suite(folder()).expectations}} <= {{"critical", "warning", "info"}}
'''


def _readme(made: Draft) -> str:
    table = f"{made.table.schema}.{made.table.name}"
    as_of = "" if made.last_event is None else f" --as-of {made.last_event:%Y-%m-%d}T00:00:00Z"
    history = (
        ""
        if made.known_by
        else f"""
**Its history can't be extracted again.** Nothing in {table} tells when a row was recorded, so the rows that were
scored are kept and are the only evidence; training uses them (`training.from: frozen_inputs`).
"""
    )
    return f"""\
# {made.name}
Predicts `{made.target.name}` ({made.target_kind}) of each row of `{table}`, {made.rhythm.words}.
Drafted from the table by `rescore new`; {table} had {made.table.rows:,} rows then.
{history}
## To decide
{"".join(f"- {one}{chr(10)}" for one in made.decide)}
## Then
```
rescore check {made.name}
rescore train {made.name}{as_of}
rescore pin {made.name} --to 0.1.0 --reason "first package"
```
"""


def _scalar(text: str) -> str:
    """A YAML scalar that is read back as this text: quoted always, as ``y`` and ``null`` are not text."""
    return '"' + _one_line(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _one_line(text: str) -> str:
    return " ".join(text.split())
