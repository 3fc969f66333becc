"""The text of a new model folder's files: each from its template, and what was decided about it.

Here is what a template can't say: the queries' columns and conditions.
"""

from __future__ import annotations

from typing import Any

import jinja2

from rescore.authoring.column_roles import quoted
from rescore.authoring.draft import Draft
from rescore.authoring.estimators import first_hyperparameters
from rescore.source import quote_identifier

__all__ = ["files"]

_FILES = {
    "model.yaml": "model.yaml.j2",
    "extract.sql": "extract.sql.j2",
    "labels.sql": "labels.sql.j2",
    "pipeline.py": "pipelines/{estimator}.py.j2",
    "expectations.py": "expectations.py.j2",
    "tests/test_folder.py": "test_folder.py.j2",
    "README.md": "README.md.j2",
}


def files(made: Draft) -> dict[str, str]:
    """Every file of the folder, by its relative name."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rescore.authoring"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - texts, of which each value is quoted by its own filter
    )
    environment.filters |= {"yaml": _yaml_scalar, "py": repr, "line": _one_line}
    shared: dict[str, Any] = {
        "made": made,
        "target": made.target,
        "table": f"{made.table.schema}.{made.table.name}",
        "event_name": _event_name(made),
        "estimator": "Regressor" if made.target_kind == "regression" else "Classifier",
        "categories": [one.name for one in made.features if one.kind == "categorical"],
        "commas": "{:,}".format,
        "hyperparameters": first_hyperparameters(made.estimator),
    }
    own = {
        "extract.sql": {"columns": _extract_columns(made), "rows_from": _rows_from(made)},
        "labels.sql": {"columns": _label_columns(made), "rows_from": _rows_from(made, labels=True)},
    }
    return {
        name: environment.get_template(template.format(estimator=made.estimator)).render(
            **shared, **own.get(name, {})
        )
        for name, template in _FILES.items()
    }


def _event_name(made: Draft) -> str:
    for one in made.key:
        if one.column.name == made.event_column and one.column.postgres in {"timestamptz", "timestamp"}:
            return one.name
    return "event_time"


def _extract_columns(made: Draft) -> list[str]:
    columns = [f"{one.expression} AS {quote_identifier(one.name)}" for one in made.key]
    if _event_name(made) == "event_time":
        columns.append(f"{made.event_time or ':interval_start'} AS event_time")
    return columns + [f"{one.expression} AS {quote_identifier(one.name)}" for one in made.features]


def _label_columns(made: Draft) -> list[str]:
    return [f"{one.expression} AS {quote_identifier(one.name)}" for one in (*made.key, made.target)]


def _rows_from(made: Draft, *, labels: bool = False) -> str:
    """FROM and WHERE: the rows of the interval, as known; of versions the last one known."""
    table = f"{quote_identifier(made.table.schema)}.{quote_identifier(made.table.name)}"
    conditions = []
    if made.event_time is not None:
        conditions += [f"{made.event_time} >= :interval_start", f"{made.event_time} < :interval_end"]
    if made.versions and len(made.known_by) == 1:
        # Of all versions known by then the last, wherever its event lies; only then the interval.
        keys = ", ".join(f"v.{quote_identifier(one.column.name)}" for one in made.key)
        inner = (made.known_sql or "").replace("t.", "v.", 1)
        rows = (
            f"FROM (\n  SELECT DISTINCT ON ({keys}) v.* FROM {table} v\n  WHERE {inner}\n"  # noqa: S608
            f"  ORDER BY {keys}, v.{quote_identifier(made.known_by[0])} DESC\n) t"
        )
    else:
        rows = f"FROM {table} t"
        conditions += [made.known_sql] if made.known_sql else []
    if labels and made.label_known_sql:
        conditions.append(made.label_known_sql)
    if labels and made.labels is not None:
        other = made.labels
        name = f"{quote_identifier(other.table.schema)}.{quote_identifier(other.table.name)}"
        same = (f"{quoted(one.column.name, 'l')} = {quoted(one.column.name)}" for one in made.key)
        rows += f"\nJOIN {name} l ON {' AND '.join(same)}"
        conditions += [other.known_sql] if other.known_sql else []
    return rows + (f"\nWHERE {(chr(10) + '  AND ').join(conditions)}" if conditions else "")


def _yaml_scalar(text: str) -> str:
    """A YAML scalar that is read back as this text: quoted always, as ``y`` and ``null`` are not text."""
    return '"' + _one_line(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _one_line(text: str) -> str:
    return " ".join(text.split())
