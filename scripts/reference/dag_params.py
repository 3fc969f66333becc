"""The page on the DAGs and what can be asked of a run: their Params as Airflow shows them."""

from __future__ import annotations

import inspect
import os
from typing import Any

from scripts.reference.markdown import code, table

__all__ = ["dag_params"]

#: The model whose DAGs are shown; the repository has it.
MODEL = "flight_delay"


def dag_params() -> str:
    """The page."""
    os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
    from rescore_airflow import dags as builders

    builds = [getattr(builders, name) for name in builders.__all__ if name.endswith("_dag")]
    of_models = [build(MODEL) for build in builds if inspect.signature(build).parameters]
    dags = [*of_models, *(build() for build in builds if not inspect.signature(build).parameters)]
    parts = [
        "# DAGs and their Params",
        "What a run can be asked for: in the UI's form, or as `conf` through the API. Shown are the DAGs "
        f"of the model `{MODEL}`; a default may be another one where `model.yaml` declares it. An unknown "
        "key is refused.",
    ]
    for dag in dags:
        name = dag.dag_id.replace(MODEL, "<model>")
        parts += [f"## `{name}`", _purpose(dag.doc_md or "")]
        rows = [_row(key, dag.params.get_param(key)) for key in dag.params]
        parts.append(table(["Param", "Type", "Default", "Meaning"], rows) if rows else "It has no Params.")
    return "\n\n".join(parts) + "\n"


def _purpose(document: str) -> str:
    """What the UI shows beside a DAG under its first heading."""
    return document.partition("### Purpose\n")[2].split("\n\n")[0].strip()


def _row(name: str, param: Any) -> list[str]:
    schema = param.schema
    default = (
        ""
        if param.value is None
        else code(str(param.value).lower() if param.value in (True, False) else param.value)
    )
    return [code(name), _type(schema), default, param.description or ""]


def _type(schema: dict[str, Any]) -> str:
    if values := schema.get("enum"):
        return " or ".join(code(value) for value in values if value is not None)
    kind = (
        schema["type"] if isinstance(schema["type"], str) else next(t for t in schema["type"] if t != "null")
    )
    words = {"boolean": "true or false", "string": "text"}.get(kind, kind)
    words = {"date-time": "moment", "date": "date"}.get(schema.get("format", ""), words)
    bounds = [
        f"{word} {schema[key]:,}"
        for key, word in [("minimum", "at least"), ("maximum", "at most"), ("maxLength", "at most")]
        if key in schema
    ]
    return ", ".join([words, *bounds])
