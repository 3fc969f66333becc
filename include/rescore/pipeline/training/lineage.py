"""What a training read and wrote, by the names that catalogues of data have: for whoever draws lineage."""

from __future__ import annotations

from dataclasses import dataclass

from rescore import source
from rescore.errors import NotFoundError
from rescore.pipeline.context import Context
from rescore.postgres_url import PostgresUrl
from rescore.store import Package, Snapshot

__all__ = ["TrainingLineage", "training_lineage"]


@dataclass(frozen=True)
class TrainingLineage:
    """What a training snapshot was read from, and a package that was trained on it.

    Attributes
    ----------
    snapshot : Snapshot
        The frozen rows.
    source_server : str
        ``postgres://host:port``; no user, no password.
    tables : tuple of str
        What ``labels.sql`` reads, and ``extract.sql`` unless the rows were frozen when they were scored; as
        ``database.schema.relation``.
    package : Package or None
        None if none was asked for.
    """

    snapshot: Snapshot
    source_server: str
    tables: tuple[str, ...]
    package: Package | None


def training_lineage(
    ctx: Context, model_name: str, snapshot_digest: str, package_sha256: str | None = None
) -> TrainingLineage:
    """Look up what a training read and, where a package is named, what it wrote.

    Raises
    ------
    NotFoundError
        No such snapshot or package of this model.
    SourceUnavailableError
        The source, which knows the full names of what the queries read, can't be reached now.
    """
    snapshots = ctx.store.snapshots.of_model(model_name, kind="training", digest=snapshot_digest)
    if not snapshots:
        raise NotFoundError(f"{model_name} has no training snapshot {snapshot_digest}")
    [snapshot, *_] = snapshots
    folder = ctx.model(model_name)
    url = ctx.source_url(folder)
    frozen_before = snapshot.details.get("from") == "frozen_inputs"
    queries = ("labels.sql",) if frozen_before else ("extract.sql", "labels.sql")
    found = None if package_sha256 is None else ctx.store.packages.find(model_name, package_sha256)
    return TrainingLineage(
        snapshot=snapshot,
        source_server=PostgresUrl.parse(url, where=f"the source connection of {model_name}").server,
        tables=source.tables_read(url, folder, snapshot.interval, queries),
        package=found,
    )
