"""What a task tells OpenLineage: tables, digests as versions, expectations as assertions, the package.

The provider asks a task that has ended for a method of a name that it knows. A task of ours gets it once it
knows its run or its training rows; where the provider is not installed, or sends nothing, nobody asks, and
nothing is imported.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from airflow.sdk import get_current_context

if TYPE_CHECKING:
    from rescore.pipeline import Context, RunLineage, TrainingLineage
    from rescore.settings import Settings

__all__ = ["tell_lineage", "tell_training"]

log = logging.getLogger(__name__)

#: What a task writes that catalogues know; most only read the frozen input.
Writes = Literal["input", "scores"]

#: Airflow imports it in every process of a task where the provider is installed and has somewhere to send to.
_LISTENER = "airflow.providers.openlineage.plugins.listener"


def tell_lineage(ctx: Context, run_id: str, *, writes: Writes | None = None) -> str:
    """Let the running task say what its run read and wrote, whether it ends well or not.

    Parameters
    ----------
    ctx : Context
        The task's.
    run_id : str
        Our run.
    writes : {"input", "scores"}, optional
        The task froze the input, or it publishes the scores; else it reads the frozen input.

    Returns
    -------
    str
        The run's id.
    """
    _tell(ctx, f"run {run_id}", lambda: ctx.store.runs.get(run_id).model, partial(_of_run, run_id, writes))
    return run_id


def tell_training(
    ctx: Context, model_name: str, snapshot_digest: str, *, package_sha256: str | None = None, reads: bool
) -> None:
    """Let the running task say what its training read and wrote, whether it ends well or not.

    Parameters
    ----------
    ctx : Context
        The task's.
    model_name : str
        The model.
    snapshot_digest : str
        The training rows.
    package_sha256 : str, optional
        The package that the task made of them.
    reads : bool
        The task reads the training rows; else it froze them.
    """
    told = partial(_of_training, model_name, snapshot_digest, package_sha256, reads)
    _tell(ctx, f"training snapshot {snapshot_digest}", lambda: model_name, told)


def _tell(ctx: Context, what: str, model_name: Callable[[], str], tell: Callable[[Context], Any]) -> None:
    if _LISTENER not in sys.modules:
        return
    try:
        source_url = ctx.source_url(ctx.model(model_name()))
    except Exception as error:  # only what extracts needs the source: no other task fails for it
        log.warning("OpenLineage is told nothing of %s: %s", what, error)
        return
    task: Any = get_current_context()["task"]
    # Not at the class: most tasks are functions, whose operator is Airflow's own.
    task.get_openlineage_facets_on_complete = _Lineage(ctx.settings, source_url, what, tell)


@dataclass(frozen=True, repr=False)
class _Lineage:
    """What the provider calls once the task has ended: in a fork of its process, and not for long.

    There Airflow's connections can't be asked for, so the addresses are resolved before. They are not in its
    own text: the provider may send a task's attributes.
    """

    settings: Settings
    source_url: str
    what: str
    tell: Callable[[Context], Any]

    def __repr__(self) -> str:
        return f"the lineage of {self.what}"

    def __call__(self, task_instance: Any) -> Any:
        """As the provider's ``OperatorLineage``."""
        from rescore import pipeline

        with pipeline.Context.from_environment(self.settings, connection=lambda _: self.source_url) as ctx:
            return self.tell(ctx)


def _of_run(run_id: str, writes: Writes | None, ctx: Context) -> Any:
    from airflow.providers.openlineage.extractors import OperatorLineage

    from rescore import pipeline

    found = pipeline.run_lineage(ctx, run_id)
    tables = _tables(found)
    facets = {"rescore": _made_by(found)}
    if writes == "input":
        return OperatorLineage(inputs=tables, outputs=[_frozen(found)], run_facets=facets)
    if writes == "scores":
        published = [] if found.run.publication is None else [_scores(found)]
        return OperatorLineage(inputs=[*tables, _held(found)], outputs=published, run_facets=facets)
    return OperatorLineage(inputs=[_held(found)], run_facets=facets)


def _of_training(
    model_name: str, snapshot_digest: str, package_sha256: str | None, reads: bool, ctx: Context
) -> Any:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import InputDataset

    from rescore import pipeline

    found = pipeline.training_lineage(ctx, model_name, snapshot_digest, package_sha256)
    rows, package = found.snapshot, found.package
    facets = {"rescore": _trained_by(found)}
    if not reads:
        frozen = _written(*_place(rows.uri), rows.digest, rows.rows)
        return OperatorLineage(inputs=_tables(found), outputs=[frozen], run_facets=facets)
    written = [] if package is None else [_written(*_place(package.uri), package.sha256, None)]
    read = InputDataset(*_place(rows.uri), facets=_version(rows.digest))
    return OperatorLineage(inputs=[read], outputs=written, run_facets=facets)


def _tables(found: RunLineage | TrainingLineage) -> list[Any]:
    from openlineage.client.event_v2 import InputDataset

    return [InputDataset(found.source_server, name) for name in found.tables]


def _frozen(found: RunLineage) -> Any:
    """The frozen input as what a task wrote."""
    return _written(*_place(found.run.input_uri), found.run.input_digest, found.run.rows_extracted)


def _scores(found: RunLineage) -> Any:
    """What consumers read."""
    return _written(found.store_server, found.scores, found.run.score_digest, found.run.rows_scored)


def _written(namespace: str, name: str, digest: str | None, rows: int | None) -> Any:
    """A data set that a task wrote: its content's digest is its version."""
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

    facets: dict[str, Any] = (
        {} if rows is None else {"outputStatistics": statistics.OutputStatisticsOutputDatasetFacet(rows)}
    )
    return OutputDataset(namespace, name, facets=_version(digest), outputFacets=facets)


def _held(found: RunLineage) -> Any:
    """The frozen input as what a task read, with the expectations that it was held to."""
    from openlineage.client.event_v2 import InputDataset
    from openlineage.client.facet_v2 import data_quality_assertions_dataset as quality

    assertions = [
        quality.Assertion(
            assertion=one.type,  # its message may name a row: it stays here
            success=one.success,
            column=one.column,
            severity="error" if one.severity == "critical" else "warn",
        )
        for one in found.expectations
    ]
    facets: dict[str, Any] = {}
    if assertions:
        facets["dataQualityAssertions"] = quality.DataQualityAssertionsDatasetFacet(assertions)
    run = found.run
    return InputDataset(*_place(run.input_uri), facets=_version(run.input_digest), inputFacets=facets)


def _version(digest: str | None) -> dict[str, Any]:
    from openlineage.client.facet_v2 import dataset_version_dataset as versions

    return {} if digest is None else {"version": versions.DatasetVersionDatasetFacet(str(digest))}


def _place(uri: str | None) -> tuple[str, str]:
    """Namespace and name of a file, by OpenLineage's convention."""
    parts = urlsplit(uri or "")
    if parts.scheme in {"", "file"}:
        return "file", parts.path
    return f"{parts.scheme}://{parts.netloc}", parts.path.lstrip("/")


def _made_by(found: RunLineage) -> Any:
    """Which run of ours it is, and which package, code and data made it."""
    from openlineage.client.facet_v2 import RunFacet

    run = found.run
    return RunFacet().with_additional_properties(
        run_id=run.run_id,
        model=run.model,
        interval_start=run.interval.start.isoformat(),
        interval_end=run.interval.end.isoformat(),
        as_of=run.as_of.isoformat(),
        input_digest=run.input_digest,
        query_sha256=run.query_sha256,
        package_version=run.package_version,
        package_sha256=run.package_sha256,
        score_digest=run.score_digest,
        code_revision=run.code_revision,
        verdict=run.verdict,
    )


def _trained_by(found: TrainingLineage) -> Any:
    """Which model was trained on which rows, and which package came of it."""
    from openlineage.client.facet_v2 import RunFacet

    rows, package = found.snapshot, found.package
    return RunFacet().with_additional_properties(
        model=rows.model,
        interval_start=rows.interval.start.isoformat(),
        interval_end=rows.interval.end.isoformat(),
        as_of=rows.as_of.isoformat(),
        snapshot_digest=rows.digest,
        package_version=None if package is None else package.version,
        package_sha256=None if package is None else package.sha256,
    )
