"""The step between a trained package and its pin: who approves it, and on what evidence."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowSkipException

from rescore.spec import ModelSpec
from rescore_airflow.failures import fail_typed
from rescore_airflow.train_request import train_request

__all__ = ["PromotionApproval", "evidence_text"]

#: How long a package waits for a person before it stays a challenger.
RESPONSE_TIMEOUT = timedelta(days=7)


def evidence_text(model: str, package: Mapping[str, Any]) -> str:
    """What the person who decides reads, as Markdown."""
    lines = [
        f"**{model} {package['version']}**",
        "",
        f"- package: `{package['sha256']}`",
        f"- snapshot: `{package['snapshot_digest']}`",
    ]
    return "\n".join(lines)


class PromotionApproval(ApprovalOperator):
    """Get the approval that the model declares; everything after it is skipped without one.

    - Param ``pin`` off: skipped, the package stays a challenger.
    - Param ``approve`` now: whoever started the run has approved it, with a reason.
    - ``promotion.approval: auto``: the rule decides.
    - ``promotion.approval: required``: a person answers in the UI under Required Actions; no answer
      within seven days counts as Reject.

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
