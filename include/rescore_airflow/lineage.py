"""What a task tells OpenLineage: tables, digests as versions, expectations as assertions, the package.

The provider asks a task that has ended for a method of a name that it knows. A task of ours gets it once it
knows its run; where the provider is not installed, or sends nothing, nobody asks, and nothing is imported.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from airflow.sdk import get_current_context

if TYPE_CHECKING:
    from rescore.pipeline import Context, RunLineage
    from rescore.settings import Settings

__all__ = ["tell_lineage"]

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
    if _LISTENER in sys.modules:
        try:
            source_url = ctx.source_url(ctx.model(ctx.store.runs.get(run_id).model))
        except Exception as error:  # only what extracts needs the source: no other task fails for it
            log.warning("OpenLineage is told nothing of run %s: %s", run_id, error)
            return run_id
        task: Any = get_current_context()["task"]
        # Not at the class: most tasks are functions, whose operator is Airflow's own.
        task.get_openlineage_facets_on_complete = _Lineage(ctx.settings, source_url, run_id, writes)
    return run_id


@dataclass(frozen=True, repr=False)
class _Lineage:
    """What the provider calls once the task has ended: in a fork of its process, and not for long.

    There Airflow's connections can't be asked for, so the addresses are resolved before. They are not in its
    own text: the provider may send a task's attributes.
    """

    settings: Settings
    source_url: str
    run_id: str
    writes: Writes | None

    def __repr__(self) -> str:
        return f"the lineage of {self.run_id}"

    def __call__(self, task_instance: Any) -> Any:
        """As the provider's ``OperatorLineage``."""
        from airflow.providers.openlineage.extractors import OperatorLineage
        from openlineage.client.event_v2 import InputDataset

        from rescore import pipeline

        with pipeline.Context.from_environment(self.settings, connection=lambda _: self.source_url) as ctx:
            found = pipeline.run_lineage(ctx, self.run_id)
        tables = [InputDataset(found.source_server, name) for name in found.tables]
        facets = {"rescore": _made_by(found)}
        if self.writes == "input":
            return OperatorLineage(inputs=tables, outputs=[_frozen(found)], run_facets=facets)
        if self.writes == "scores":
            published = [] if found.run.publication is None else [_scores(found)]
            return OperatorLineage(inputs=[*tables, _held(found)], outputs=published, run_facets=facets)
        return OperatorLineage(inputs=[_held(found)], run_facets=facets)


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

    counted = statistics.OutputStatisticsOutputDatasetFacet(rowCount=rows)
    return OutputDataset(namespace, name, facets=_version(digest), outputFacets={"outputStatistics": counted})


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
