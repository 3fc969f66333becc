"""The step between a trained package and its pin: who approves it, and on what evidence."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowSkipException

from rescore.spec import ModelSpec
from rescore_airflow.connections import pipeline_context
from rescore_airflow.failures import fail_typed
from rescore_airflow.train_request import train_request

if TYPE_CHECKING:
    from rescore.pipeline import Context

__all__ = ["PromotionApproval", "evidence_text"]

#: How long a package waits for a person before it stays a challenger.
RESPONSE_TIMEOUT = timedelta(days=7)


def evidence_text(ctx: Context, model: str, made: Mapping[str, Any]) -> str:
    """What the person who decides reads, as Markdown: the new package beside the one that scores.

    Parameters
    ----------
    ctx : Context
        The store.
    model : str
        The model.
    made : mapping
        What ``pipeline.train_package`` returned.
    """
    challenger = ctx.store.find_package(model, made["sha256"]).manifest
    pinned = ctx.store.current_pin(model)
    champion = None if pinned is None else ctx.store.find_package(model, pinned.sha256).manifest
    window = challenger["lineage"]["window"]
    lines = [
        f"**{model} {made['version']}**, trained on {made['rows']:,} rows of {window}"
        + (": no package is pinned yet." if pinned is None else f", to replace {pinned.version}."),
        "",
        f"| hold-out | {made['version']} |" + (f" {pinned.version} |" if pinned else ""),
        "|---|---|" + ("---|" if pinned else ""),
    ]
    for name, value in challenger["metrics"].items():
        if isinstance(value, float | int):
            before = champion["metrics"].get(name) if champion else None
            old = f" {before:.4f} |" if isinstance(before, float | int) else " |"
            lines.append(f"| {name} | {value:.4f} |" + (old if champion else ""))
    lines += [
        "",
        *(["Each was measured on its own hold-out, so small differences mean nothing."] if champion else []),
        f"Package `{made['sha256']}`, snapshot `{made['snapshot_digest']}`, code `{made['code_revision']}`.",
    ]
    return "\n".join(lines)


def _rule(ctx: Context, spec: ModelSpec, package: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether ``promotion.approval: auto`` lets the package through without a person, and why."""
    revision = package["code_revision"]
    if revision == "unknown" or revision.endswith("+dirty"):
        return False, f"its code revision is {revision}, and only committed code is promoted by rule"
    if ctx.store.current_pin(spec.name) is None:
        return True, "the first package of the model"
    if spec.promotion.metric is None:
        return True, "the model declares no metric that it has to better"
    return False, f"it has to better the pinned package in {spec.promotion.metric}: a person compares"


class PromotionApproval(ApprovalOperator):
    """Get the approval that the model declares; everything after it is skipped without one.

    - Param ``pin`` off: skipped, the package stays a challenger.
    - Param ``approve`` now: whoever started the run has approved it, with a reason.
    - ``promotion.approval: auto``: committed code, and no metric to better, needs no person.
    - Else a person answers in the UI under Required Actions; no answer within seven days counts as
      Reject.

    Returns ``{"by", "how", "reason", "at"}``.
    """

    def __init__(self, *, model: str, spec: ModelSpec, **kwargs: Any) -> None:
        super().__init__(
            subject=f"Promote {model} {{{{ ti.xcom_pull(task_ids='package')['version'] }}}}?",
            body="{{ ti.xcom_pull(task_ids='package', key='evidence') }}",
            defaults=self.REJECT,
            response_timeout=RESPONSE_TIMEOUT,
            **kwargs,
        )
        self.model = model
        self._spec = spec

    @fail_typed
    def execute(self, context: Any) -> Any:
        """Decide at once where that is declared; else ask a person and wait."""
        now = datetime.now(UTC)
        request = train_request(self._spec, context["dag_run"], context["params"], now=now)
        if not request.promote:
            raise AirflowSkipException("Param pin is off: the package stays a challenger")
        if request.approved_by is not None:
            return _decision(request.approved_by, "started the run with approve: now", request.reason, now)
        if self._spec.promotion.approval == "auto":
            package = context["ti"].xcom_pull(task_ids="package")
            passes, reason = _rule(pipeline_context(), self._spec, package)
            if passes:
                return _decision("rule", "promotion.approval: auto", reason, now)
            self.log.info("promotion.approval is auto, but a person has to decide: %s", reason)
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Go on with the person's answer; a rejection skips what follows."""
        answer = event.get("chosen_options") or [self.REJECT]
        who = event.get("responded_by_user")
        if who is None:
            self.log.warning("nobody answered within %s: rejected", RESPONSE_TIMEOUT)
        decision = _decision(
            "nobody" if who is None else str(who["name"]),
            f"chose {answer[0]} in Airflow",
            (event.get("params_input") or {}).get("reason"),
            event.get("responded_at") or datetime.now(UTC),
        )
        context["ti"].xcom_push("decision", decision)
        super().execute_complete(context, event)  # raises the skip of what follows on Reject
        return decision


def _decision(by: str, how: str, reason: str | None, at: datetime) -> dict[str, Any]:
    return {"by": by, "how": how, "reason": reason or None, "at": at.isoformat()}
