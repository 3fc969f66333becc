"""Write the folder of a new model, drafted from a table."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp

from rescore import source
from rescore.authoring.column_roles import plain_name
from rescore.authoring.draft import Draft, draft
from rescore.authoring.estimators import DEFAULT
from rescore.authoring.file_templates import files
from rescore.errors import ParameterError
from rescore.folder import ModelFolder, load_model
from rescore.pipeline import Context
from rescore.spec_values import NAME_EXPECTED, is_name

__all__ = ["new_model"]

#: ``"Bank"."Loan"``, ``public."Loan"``: as a query names a table.
_IN_SQL = re.compile(r'(?=.*")("(?:[^"]|"")+"|[a-z_][a-z0-9_$]*)\.("(?:[^"]|"")+"|[a-z_][a-z0-9_$]*)')


def new_model(
    ctx: Context,
    name: str,
    table: str,
    *,
    connection: str = "source",
    key: Sequence[str] = (),
    event_time: str | None = None,
    target: str | None = None,
    labels_from: str | None = None,
    estimator: str = DEFAULT,
    keep: Sequence[str] = (),
    schedule: str | None = None,
) -> tuple[ModelFolder, Draft]:
    """Write the folder of a new model, drafted from a table; whole, or not at all.

    Where the newest rows have no label yet, the draft is one of what is still to come: delay and schedule
    are taken from the rows that have one, and ``labels.sql`` gives a label only from when it was known.

    Parameters
    ----------
    ctx : Context
        Where models are; how connections resolve.
    name : str
        The model: lower-case letters, digits and ``_``.
    table : str
        ``schema.table``, as the database has it.
    connection : str
        The source connection's id.
    key, event_time, target : optional
        Columns; default what the table's constraints, types and names suggest.
    labels_from : str, optional
        Another table, ``schema.table``, that has the target and the key's columns by the same names.
    estimator : str
        What pipeline.py begins with: one of :data:`rescore.authoring.estimators.ESTIMATORS`.
    keep : sequence of str
        Columns that are features although they look as if they were known only after the event.
    schedule : str, optional
        A cron expression, in UTC; default one that the rows suggest.

    Returns
    -------
    tuple of ModelFolder and Draft
        The folder as read back, and what was decided.

    Raises
    ------
    ParameterError
        The name, a table or a column is wrong; there is a folder of that name; the table has no key.
    """
    destination = _free_folder(ctx, name)
    schema, relation = _schema_and_table(table, "--table")
    url = ctx.connection(connection)
    ctx.progress(f"looking at {table}")
    facts = source.inspect_table(url, schema, relation)
    label_facts = None
    if labels_from is not None:
        ctx.progress(f"looking at {labels_from}")
        label_facts = source.inspect_table(url, *_schema_and_table(labels_from, "--labels-from"))
    made = draft(
        name, connection, facts, key=key, event_time=event_time, target=target, label_table=label_facts,
        estimator=estimator, keep=keep, schedule=schedule,
        unique=lambda table, columns: source.is_unique(url, table, columns),
        late=lambda columns, event, label: source.late_columns(url, facts, columns, event, label),
        to_come=lambda columns, event, label: source.open_rows(url, facts, event, label, columns),
    )  # fmt: skip
    ctx.settings.models.mkdir(parents=True, exist_ok=True)
    partial = Path(mkdtemp(prefix=f".{name}.", dir=ctx.settings.models))
    try:
        for relative, content in files(made).items():
            path = partial / name / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        load_model(partial, name, shared=ctx.settings.models.parent / "features")
        (partial / name).rename(destination)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return ctx.model(name), made


def _free_folder(ctx: Context, name: str) -> Path:
    if not is_name(name):
        raise ParameterError(
            f"{name!r} can't be a model's name",
            expected=NAME_EXPECTED,
            fix=f"try {plain_name(name) or 'my_model'}",
        )
    destination = ctx.settings.models / name
    if destination.exists():
        raise ParameterError(
            f"there is a folder {name} already",
            where=str(destination),
            expected="a name that no model has",
            fix="choose another name, or remove that folder first",
        )
    return destination


def _schema_and_table(table: str, option: str) -> tuple[str, str]:
    schema, dot, relation = table.partition(".")
    if as_in_sql := _IN_SQL.fullmatch(table):
        schema, relation = (
            part[1:-1].replace('""', '"') if part.startswith('"') else part for part in as_in_sql.groups()
        )
    if not (dot and schema and relation):
        raise ParameterError(
            f"{option} {table!r} does not name a schema and a table",
            expected="schema.table",
            fix=f"write public.{table}, if it is in that schema",
        )
    return schema, relation
