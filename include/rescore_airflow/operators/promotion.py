"""The step between a trained package and its pin: who approves it, and on what evidence."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowSkipException

from rescore.errors import RescoreError
from rescore.spec import ModelSpec
from rescore_airflow.notify import Message, tell
from rescore_airflow.operators.failures import fail_typed
from rescore_airflow.requests import train_request

if TYPE_CHECKING:
    from rescore.pipeline import Context

__all__ = ["PromotionApproval", "compared"]


def compared(ctx: Context, model: str, made: Mapping[str, Any]) -> dict[str, Any]:
    """Compare a new package with the one that scores, for whoever decides: a person or the rule.

    A comparison that has to be refused (a champion that does not give its recorded metrics, no row that
    both have not seen) is no reason to keep a person from deciding; the rule never passes it.

    Parameters
    ----------
    ctx : Context
        Store and archive.
    model : str
        The model.
    made : mapping
        What ``pipeline.train_package`` returned.

    Returns
    -------
    dict
        ``comparison_id`` (None if there is none), ``by_rule``, ``reasons``, ``champion`` (its sha256 or
        None) and ``text`` (Markdown).
    """
    from rescore import pipeline

    pinned = ctx.store.current_pin(model)
    champion = None if pinned is None else pinned.sha256
    try:
        comparison = pipeline.compare_packages(ctx, model, made["sha256"])
    except RescoreError as error:
        if error.retryable:
            raise
        reasons = [f"the comparison is refused: {error.what}"]
        text = f"**{model} {made['version']}** can't be compared with the package that scores.\n\n{error}"
        found: dict[str, Any] = {"comparison_id": None, "by_rule": False, "reasons": reasons, "text": text}
    else:
        passes, reasons = comparison.by_rule()
        found = {
            "comparison_id": comparison.comparison_id,
            "by_rule": passes,
            "reasons": reasons,
            "text": comparison.markdown() + _with_pictures(model, comparison.comparison_id),
        }
    found["champion"] = champion
    found["text"] += (
        f"\n\nTrained on {made['rows']:,} rows. Package `{made['sha256']}`, snapshot "
        f"`{made['snapshot_digest']}`, code `{made['code_revision']}`."
    )
    return found


def _with_pictures(model: str, comparison_id: int | None) -> str:
    if comparison_id is None:
        return ""
    from airflow.sdk import conf

    base = (conf.get("api", "base_url", fallback="") or "").rstrip("/")
    return f"\n\n[The comparison with pictures]({base}/rescore/score_{model}/comparisons/{comparison_id})"


class PromotionApproval(ApprovalOperator):
    """Get the approval that the model declares; everything after it is skipped without one.

    - Param ``pin`` off: skipped, the package stays a challenger.
    - Param ``approve`` now: whoever started the run has approved it, with a reason.
    - The package is the pinned one, byte for byte: skipped, there is nothing to decide.
    - ``promotion.approval: auto``: needs no person if the rule passes (``Comparison.by_rule``).
    - Else a person answers in the UI under Required Actions; no answer within ``airflow.answer_within``
      counts as Reject.

    Returns ``{"by", "how", "reason", "at"}``.
    """

    def __init__(self, *, model: str, spec: ModelSpec, **kwargs: Any) -> None:
        super().__init__(
            subject=f"Promote {model} {{{{ ti.xcom_pull(task_ids='package')['version'] }}}}?",
            body="{{ ti.xcom_pull(task_ids='compare')['text'] }}",
            defaults=self.REJECT,
            response_timeout=spec.airflow.answer_within,
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
        made, found = (context["ti"].xcom_pull(task_ids=task) for task in ("package", "compare"))
        if found["champion"] == made["sha256"]:
            raise AirflowSkipException("the package is the pinned one, byte for byte")
        if request.approved_by is not None:
            return _decision(request.approved_by, "started the run with approve: now", request.reason, now)
        reasons = "; ".join(found["reasons"])
        if self._spec.promotion.approval == "auto":
            if found["by_rule"]:
                return _decision("rule", "promotion.approval: auto", reasons, now)
            self.log.info("promotion.approval is auto, but a person has to decide: %s", reasons)
        self._tell(context, made, found)
        return super().execute(context)

    def _tell(self, context: Any, made: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        data = {"package": dict(made), "by_rule": found["by_rule"], "reasons": found["reasons"]}
        subject = f"{self.model} {made['version']} waits for approval"
        text = f"{found['text']}\n\nAnswer under Required Actions of {context['dag'].dag_id}."
        try:
            tell(Message("approval", self.model, subject, text, data), context)
        except Exception:  # it waits whether or not somebody hears of it
            self.log.exception("not everybody was told")

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Go on with the person's answer; a rejection skips what follows."""
        answer = event.get("chosen_options") or [self.REJECT]
        who = event.get("responded_by_user")
        if who is None:
            self.log.warning("nobody answered within %s: rejected", self.response_timeout)
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
