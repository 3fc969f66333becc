"""The step that publishes a run that is held or was stopped, once a person releases it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from rescore.errors import ParameterError
from rescore.report import duration
from rescore.shown_text import number_of
from rescore.spec import ModelSpec
from rescore_airflow.connections import pipeline_context
from rescore_airflow.operators.answers import Answer, keeps_answer
from rescore_airflow.operators.failures import fail_typed
from rescore_airflow.plain_values import plain_values
from rescore_airflow.requests import release_request

if TYPE_CHECKING:
    from rescore.pipeline import Context
    from rescore.store import Run

__all__ = ["Release", "release_text"]

#: Features in the text that the person reads.
MAX_FEATURES = 8


def release_text(ctx: Context, run_id: str) -> str:
    """What the person who decides reads, as Markdown: the verdict, and the most unusual features."""
    from rescore.report import drift_report_of

    run = ctx.store.runs.get(run_id)
    report = drift_report_of(ctx.store, run_id)
    unusual = [] if report is None else report.worst_first
    worst = [one for one in unusual if one.flagged or one.outage][:MAX_FEATURES]
    lines = [
        f"**{run.model} {run.interval}** is **{run.verdict}**: {run.sentence}",
        "",
        f"{number_of(run.rows_scored or 0, 'score')} of package {run.package_version} wait; "
        f"{number_of(run.rows_quarantined or 0, 'row is', 'rows are')} quarantined, "
        f"{run.rows_rejected:,} rejected. Approved, they are published with your name and "
        "reason beside them. Rejected, or unanswered in time, they stay unpublished.",
    ]
    if worst:
        lines += ["", "| feature | PSI | missing | importance |", "|---|---|---|---|"]
        lines += [
            f"| {one.name} | {one.psi:.3f} | {one.missing or 0:.1%} "
            f"(training at most {one.missing_reference_max:.1%}) | {one.importance:.0%} |"
            for one in worst
        ]
    lines += ["", f"Run `{run.run_id}`, input `{run.input_digest}`, scores `{run.score_digest}`."]
    return "\n".join(lines)


def _refuse_unreleasable(run: Run) -> None:
    """Ask nobody about a run that no answer can publish."""
    if run.state == "stopped" or (run.state == "checked" and run.held):
        return
    raise ParameterError(
        f"run {run.run_id} is {run.state} and not held",
        where="Param run_id",
        expected="a run that is held or was stopped",
        fix="take it from the Rescore page, or from scores.status (attempt_run_id)",
    )


class Release(ApprovalOperator):
    """Publish the run that the Params name, once a person releases it; emits the scores' asset event.

    A person who triggers the DAG with a reason has released it. Else a person is asked under Required
    Actions. Both need the right to run this model's DAG. Fence, row accounting and digest are checked as
    for any publication.
    """

    def __init__(self, *, model_name: str, spec: ModelSpec, scores: Asset, **kwargs: Any) -> None:
        super().__init__(
            subject="Publish held scores?",
            body="",
            defaults=self.REJECT,
            response_timeout=spec.airflow.answer_within,
            outlets=[scores],
            **kwargs,
        )
        self.model_name = model_name
        self._scores = scores
        self._spec = spec

    @fail_typed
    def execute(self, context: Any) -> Any:
        """Publish at once where a person has given the reason; else ask, and wait."""
        request = release_request(context["dag_run"], context["dag_run"].conf or {})
        with pipeline_context() as ctx:
            run = ctx.store.runs.get(request.run_id)
            if run.model != self.model_name:
                raise ParameterError(
                    f"run {run.run_id} is one of {run.model}",
                    where="Param run_id",
                    expected=f"a run of {self.model_name}",
                    fix=f"trigger publish_{run.model}",
                )
            if request.who is not None and request.why is not None:
                return self._publish(context, ctx, run.run_id, request.who, request.why)
            _refuse_unreleasable(run)
            self.subject = f"Publish {run.model} {run.interval}, which is {run.verdict}?"
            self.body = release_text(ctx, run.run_id)
        return super().execute(context)

    @keeps_answer
    @fail_typed
    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Publish, or fail with who rejected it, so that nobody takes the interval for published."""
        answer = Answer.of(event)
        run_id = release_request(context["dag_run"], context["dag_run"].conf or {}).run_id
        if answer.who is None or answer.choice != self.APPROVE:
            with pipeline_context() as ctx:
                if ctx.store.runs.get(run_id).publication is not None:
                    raise AirflowSkipException(f"run {run_id} was published while this one waited")
        if answer.who is None:
            waited = duration(self._spec.airflow.answer_within)
            raise AirflowFailException(f"nobody answered within {waited}: run {run_id} stays unpublished")
        if answer.choice != self.APPROVE:
            reason = f": {answer.reason}" if answer.reason else ""
            raise AirflowFailException(f"{answer.who} rejected run {run_id}; it stays unpublished{reason}")
        if answer.reason is None:
            raise AirflowFailException(
                f"{answer.who} approved run {run_id} without a reason, and one is shown beside the scores: "
                "clear this task to be asked again"
            )
        with pipeline_context() as ctx:
            return self._publish(context, ctx, run_id, answer.who, answer.reason)

    def _publish(self, context: Any, ctx: Context, run_id: str, who: str, why: str) -> dict[str, Any]:
        from rescore import pipeline

        publication = plain_values(pipeline.release_run(ctx, run_id, who, why).to_dict())
        context["outlet_events"][self._scores].extra = publication
        return publication
