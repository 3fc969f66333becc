"""Is an interval fully loaded? The model's own SQL says so."""

from __future__ import annotations

from datetime import datetime
from itertools import islice

from rescore.errors import SpecError
from rescore.folder import ModelFolder
from rescore.interval import Interval, parse_moment
from rescore.source.query import render
from rescore.source.session import Session

__all__ = ["is_ready"]


def is_ready(url: str, folder: ModelFolder, interval: Interval, as_of: datetime) -> bool:
    """Run ``source.ready.sql``; True where none is declared, or an asset is waited for instead.

    The query gives one row with one boolean; NULL and no row count as no. It may ask for the time,
    as an extract may not.

    Raises
    ------
    SpecError
        It gives something else.
    SourceUnavailableError, SourceQueryError, SettingsError
        The database is down, or refuses it.
    """
    ready = folder.spec.source.ready
    if ready is None or ready.sql is None:
        return True
    where = f"{folder.path / 'model.yaml'}: source.ready.sql"
    query = render(ready.sql, interval, parse_moment(as_of, name="as_of"), where=where)
    with Session(url, folder.spec.source) as session:
        columns = session.describe(query)
        if [column.postgres for column in columns] != ["bool"]:
            got = ", ".join(f"{column.name} {column.postgres}" for column in columns) or "no column"
            raise _not_an_answer(f"the query gives {got}", where)
        rows = (answer for batch in session.rows(query.text, query) for answer in batch.column(0).to_pylist())
        answers = list(islice(rows, 2))
    if len(answers) > 1:
        raise _not_an_answer("the query gives more than one row", where)
    return answers == [True]


def _not_an_answer(what: str, where: str) -> SpecError:
    return SpecError(
        what,
        where=where,
        expected="one row with one boolean",
        fix="write SELECT EXISTS (…), or SELECT count(*) > 0 FROM …",
    )
