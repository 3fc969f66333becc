"""Publishing a run that is held or was stopped: who releases it, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Asset, Param
from airflow.sdk.exceptions import AirflowFailException

from rescore.errors import ParameterError
from rescore.spec import ModelSpec
from rescore_airflow.connections import pipeline_context
from rescore_airflow.operators.failures import fail_typed
from rescore_airflow.requests import check_conf, text_param

if TYPE_CHECKING:
    from rescore.pipeline import Context

__all__ = ["Release", "ReleaseRequest", "release_params", "release_request", "release_text"]


def release_params() -> dict[str, Param]:
    """The Params of ``publish_<model>``."""
    return {
        "run_id": text_param("Run", "The id of the run that is held or was stopped, as the page shows it."),
        "reason": text_param(
            "Reason",
            "Why its scores are published all the same; shown beside them with your name. Empty: somebody is "
            "asked under Required Actions.",
            maxLength=2000,
        ),
    }


@dataclass(frozen=True)
class ReleaseRequest:
    """A run, and who releases it why; both None if a person still has to be asked."""

    run_id: str
    who: str | None
    why: str | None


def release_request(dag_run: Any, params: Mapping[str, Any]) -> ReleaseRequest:
    """Read the Params of a run of ``publish_<model>``.

    Raises
    ------
    ParameterError
        An unknown Param, no run, or a reason that no person gives.
    """
    check_conf(dag_run.conf, release_params())
    run_id, why = ((params.get(name) or "").strip() for name in ("run_id", "reason"))
    if not run_id:
        raise ParameterError(
            "no run is named",
            where="Param run_id",
            expected="the id of a run that is held or was stopped",
            fix="take it from the Rescore page, or from scores.status (attempt_run_id)",
        )
    if not why:
        return ReleaseRequest(run_id, None, None)
    who = dag_run.triggering_user_name or None
    if who is None:
        raise ParameterError(
            "a reason is given, but nobody in person started this run",
            where="Param reason",
            expected="a run started by a person in the UI or through the API",
            fix="leave the reason empty; a person is asked then",
        )
    return ReleaseRequest(run_id, who, why)


def release_text(ctx: Context, run_id: str) -> str:
    """What the person who decides reads, as Markdown: what was found, and in which features most."""
    run = ctx.store.run(run_id)
    report = ctx.store.drift_of(run_id) or {}
    worst = sorted(
        (one for one in report.get("features", []) if one["flagged"] or one["outage"]),
        key=lambda one: (not one["outage"], one["p_value"], -one["share_of_statistic"]),
    )[:8]
    lines = [
        f"**{run.model} {run.interval}** is **{run.verdict}**: {run.sentence}",
        "",
        f"{run.rows_scored:,} scores of package {run.package_version} wait; {run.rows_quarantined:,} rows "
        f"are quarantined, {run.rows_rejected:,} rejected. Approved, they are published with your name and "
        "reason beside them. Rejected, or unanswered in time, they stay unpublished.",
    ]
    if worst:
        lines += ["", "| feature | PSI | missing | importance |", "|---|---|---|---|"]
        lines += [
            f"| {one['name']} | {one['psi'] or 0:.3f} | {one['missing'] or 0:.1%} "
            f"(training at most {one['missing_reference_max'] or 0:.1%}) | {one['importance'] or 0:.0%} |"
            for one in worst
        ]
    lines += ["", f"Run `{run.run_id}`, input `{run.input_digest}`, scores `{run.score_digest}`."]
    return "\n".join(lines)


class Release(ApprovalOperator):
    """Publish the run that the Params name, once a person says so and why; emits the scores' asset event.

    Who triggers the DAG with a reason has said so. Else somebody is asked under Required Actions; both
    need the right to run this model's DAG. Fence, row accounting and digest are checked as ever.
    """

    def __init__(self, *, model: str, spec: ModelSpec, scores: Asset, **kwargs: Any) -> None:
        super().__init__(
            subject="Publish held scores?",
            body="",
            defaults=self.REJECT,
            response_timeout=spec.airflow.answer_within,
            outlets=[scores],
            **kwargs,
        )
        self.model = model
        self._scores = scores

    @fail_typed
    def execute(self, context: Any) -> Any:
        """Publish at once where a person has given the reason; else ask, and wait."""
        request = release_request(context["dag_run"], context["dag_run"].conf or {})
        ctx = pipeline_context()
        run = ctx.store.run(request.run_id)
        if run.model != self.model:
            raise ParameterError(
                f"run {run.run_id} is one of {run.model}",
                where="Param run_id",
                expected=f"a run of {self.model}",
                fix=f"trigger publish_{run.model}",
            )
        if request.who is not None and request.why is not None:
            return self._publish(context, request.run_id, request.who, request.why)
        self.subject = f"Publish {run.model} {run.interval}, which is {run.verdict}?"
        self.body = release_text(ctx, run.run_id)
        return super().execute(context)

    @fail_typed
    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Publish, or fail with who rejected it: nobody shall take the interval for published."""
        answer = (event.get("chosen_options") or [self.REJECT])[0]
        who = event.get("responded_by_user")
        why = ((event.get("params_input") or {}).get("reason") or "").strip()
        run_id = release_request(context["dag_run"], context["dag_run"].conf or {}).run_id
        if who is None:
            raise AirflowFailException(
                f"nobody answered within {self.response_timeout}: run {run_id} stays unpublished"
            )
        if answer != self.APPROVE:
            raise AirflowFailException(
                f"{who['name']} rejected run {run_id}; it stays unpublished" + (f": {why}" if why else "")
            )
        if not why:
            raise AirflowFailException(
                f"{who['name']} approved run {run_id} without a reason, and one is shown beside the scores: "
                "clear this task to be asked again"
            )
        return self._publish(context, run_id, str(who["name"]), why)

    def _publish(self, context: Any, run_id: str, who: str, why: str) -> dict[str, Any]:
        from rescore import pipeline

        publication = dict(pipeline.release_run(pipeline_context(), run_id, who, why))
        context["outlet_events"][self._scores].extra = publication
        return publication
