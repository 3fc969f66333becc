"""What a run read and wrote, by the names that catalogues of data have: for whoever draws lineage."""

from __future__ import annotations

from dataclasses import dataclass

from rescore import source
from rescore.pipeline.context import Context
from rescore.postgres_url import PostgresUrl
from rescore.store import Run
from rescore.validation import ExpectationResult, ValidationReport

__all__ = ["RunLineage", "run_lineage"]


@dataclass(frozen=True)
class RunLineage:
    """What a run read and wrote, as far as it got.

    Attributes
    ----------
    run : Run
        With the digests of the frozen input and the scores, and with the package.
    source_server, store_server : str
        ``postgres://host:port``; no user, no password.
    tables : tuple of str
        What ``extract.sql`` reads, as ``database.schema.relation``; empty where the run's rows were read by
        another text than today's.
    scores : str
        What consumers read, as ``database.schema.view``.
    expectations : tuple of ExpectationResult
        What the frozen rows were held to; empty before they were validated.
    """

    run: Run
    source_server: str
    tables: tuple[str, ...]
    store_server: str
    scores: str
    expectations: tuple[ExpectationResult, ...]


def run_lineage(ctx: Context, run_id: str) -> RunLineage:
    """Look up what a run read and wrote.

    Raises
    ------
    NotFoundError
        No such run.
    SourceUnavailableError
        The source, which knows the full names of what the query reads, can't be reached now.
    """
    run = ctx.store.runs.get(run_id)
    folder = ctx.model(run.model)
    url = ctx.source_url(folder)
    where = f"the source connection of {run.model}"
    file = str(folder.path / "extract.sql")
    today = source.render(folder.extract_sql, run.interval, run.as_of, where=file).sha256
    same_query = run.query_sha256 in {None, today}  # None: nothing was extracted yet
    stored = ctx.store.reports.validation_of(run)
    report = None if stored is None else ctx.read_stored(ValidationReport, stored, f"validation of {run_id}")
    store = ctx.store.database.address
    return RunLineage(
        run=run,
        source_server=PostgresUrl.parse(url, where=where).server,
        tables=source.tables_read(url, folder, run.interval) if same_query else (),
        store_server=store.server,
        scores=f"{store.parameters.get('dbname', '')}.{ctx.settings.consumer_schema}.{run.model}",
        expectations=() if report is None else report.results,
    )
