"""The step between a trained package and its pin: who approves it, and on what evidence."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypedDict

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowSkipException

from rescore.errors import RescoreError, StoreError
from rescore.report import duration
from rescore.spec import ModelSpec
from rescore_airflow.connections import pipeline_context
from rescore_airflow.notify import Message, try_to_tell
from rescore_airflow.operators.answers import Answer, keeps_answer
from rescore_airflow.operators.failures import fail_typed
from rescore_airflow.operators.siblings import sibling
from rescore_airflow.requests import train_request

if TYPE_CHECKING:
    from rescore.pipeline import Context, Shadowed

__all__ = [
    "ApprovalCase",
    "Decision",
    "PromotionApproval",
    "compare_with_pinned",
    "refuse_another_champion",
    "waits_for_approval",
]


class ApprovalCase(TypedDict):
    """What the approver of a package decides on; between tasks it is a dict.

    ``comparison_id`` is None if there is no comparison; ``champion`` is the pinned package's sha256 or
    None; ``text`` is Markdown.
    """

    comparison_id: int | None
    by_rule: bool
    reasons: list[str]
    champion: str | None
    text: str


class Decision(TypedDict):
    """Who approved or rejected a package, how, why and when (ISO 8601)."""

    by: str
    how: str
    reason: str | None
    at: str


def compare_with_pinned(ctx: Context, model_name: str, built: Mapping[str, Any]) -> ApprovalCase:
    """Compare a new package with the one that scores, for whoever decides: a person or the rule.

    If the comparison is refused (the pinned package does not give its recorded metrics, or there is no
    row that neither has seen), a person can still decide; the rule does not pass the package.

    Parameters
    ----------
    ctx : Context
        Store and archive.
    model_name : str
        The model.
    built : mapping
        What ``pipeline.train_package`` returned.
    """
    from rescore import pipeline

    pinned = ctx.store.pins.current(model_name)
    comparison_id = None
    try:
        comparison = pipeline.compare_packages(ctx, model_name, built["sha256"])
    except RescoreError as error:
        if error.retryable:
            raise
        passes, reasons = False, [f"the comparison is refused: {error.what}"]
        text = (
            f"**{model_name} {built['version']}** can't be compared with the package that scores.\n\n{error}"
        )
    else:
        passes, reasons = comparison.report.rule.passes, list(comparison.report.rule.reasons)
        comparison_id = comparison.comparison_id
        text = comparison.markdown() + _link_to_page(model_name, comparison_id)
    return ApprovalCase(
        comparison_id=comparison_id,
        by_rule=passes,
        reasons=reasons,
        champion=None if pinned is None else pinned.sha256,
        text=f"{text}\n\nTrained on {built['rows']:,} rows. Package `{built['sha256']}`, snapshot "
        f"`{built['snapshot_digest']}`, code `{built['code_revision']}`.",
    )


def refuse_another_champion(evidence: ApprovalCase, pinned: str | None, challenger: str) -> None:
    """Refuse to pin a package over one that it was not compared with.

    Parameters
    ----------
    evidence : ApprovalCase
        What was decided on.
    pinned : str or None
        The sha256 of the package that scores now.
    challenger : str
        The sha256 of the package that is to be pinned; that it scores already is no objection.

    Raises
    ------
    StoreError
        Another package was pinned since, by a person or another training.
    """
    if pinned in (evidence["champion"], challenger):
        return
    raise StoreError(
        f"{challenger} was compared with {evidence['champion'] or 'no package'}, and another one scores now",
        where=f"the pin in force, {pinned or 'none'}",
        expected="the package that the decision was about",
        fix="clear compare and what follows it: the two are compared, and the decision is asked for",
    )


def waits_for_approval(one: Shadowed) -> Message:
    """What people are told of a challenger that live days have shown to be better."""
    rule = one.report.rule
    version = f"{one.model} {one.version}"
    verdict = f"By rule: {'yes' if rule.passes else 'no'}. {'; '.join(rule.reasons)}."
    text = (
        f"{version}: {one.sentence}.\n\n{verdict}\n\n"
        f"`rescore pin {one.model} --to {one.version} --reason …` makes it the package that scores."
    )
    data = {
        "package": {"version": one.version, "sha256": one.sha256},
        "by_rule": rule.passes,
        "reasons": [*rule.reasons],
    }
    return Message("approval", one.model, f"{version} waits for approval", text, data)


def _link_to_page(model_name: str, comparison_id: int | None) -> str:
    if comparison_id is None:
        return ""
    from airflow.sdk import conf

    base = (conf.get("api", "base_url", fallback="") or "").rstrip("/")
    return (
        f"\n\n[The comparison with pictures]({base}/rescore/score_{model_name}/comparisons/{comparison_id})"
    )


class PromotionApproval(ApprovalOperator):
    """Get the approval that the model declares; everything after it is skipped without one.

    - Param ``pin`` off: skipped, the package stays a challenger.
    - Param ``approve`` now: whoever started the run has approved it, with a reason.
    - The package is the pinned one, byte for byte: skipped, there is nothing to decide.
    - ``promotion.approval: auto``: needs no person if the rule passes (``rescore.comparison.decide``).
    - ``promotion.approval: four_eyes``: who trained the package may not approve it. An answer of theirs fails
      the task; cleared, it asks again.
    - Else a person answers in the UI under Required Actions; no answer within ``airflow.answer_within``
      counts as Reject.

    Returns a :class:`Decision`.
    """

    def __init__(self, *, model_name: str, spec: ModelSpec, **kwargs: Any) -> None:
        super().__init__(
            subject=f"Promote {model_name} "
            "{{ ti.xcom_pull(task_ids=task.beside('package'))['version'] }}?",
            body="{{ ti.xcom_pull(task_ids=task.beside('compare'))['text'] }}",
            defaults=self.REJECT,
            response_timeout=spec.airflow.answer_within,
            **kwargs,
        )
        self.model_name = model_name
        self._spec = spec

    def beside(self, name: str) -> str:
        """The id of the task ``name`` of the same training; the templates ask for it."""
        return sibling(self.task_id, name)

    @fail_typed
    def execute(self, context: Any) -> Any:
        """Decide at once where that is declared; else ask a person and wait."""
        now = datetime.now(UTC)
        request = train_request(self._spec, context, now=now)
        if not request.promote:
            raise AirflowSkipException("Param pin is off: the package stays a challenger")
        built: dict[str, Any] = context["ti"].xcom_pull(task_ids=self.beside("package"))
        evidence: ApprovalCase = context["ti"].xcom_pull(task_ids=self.beside("compare"))
        if evidence["champion"] == built["sha256"]:
            raise AirflowSkipException("the package is the pinned one, byte for byte")
        if request.approved_by is not None:
            return _decision(request.approved_by, "started the run with approve: now", request.reason, now)
        reasons = "; ".join(evidence["reasons"])
        if self._spec.promotion.approval == "auto":
            if evidence["by_rule"]:
                return _decision("rule", "promotion.approval: auto", reasons, now)
            self.log.info("promotion.approval is auto, but a person has to decide: %s", reasons)
        message = self._message(built, evidence, context["dag"].dag_id)
        told: Any = functools.partial(try_to_tell, message)
        self.notifiers = [told]  # called once the question stands: what failed before has told nobody
        return super().execute(context)

    def _message(self, built: Mapping[str, Any], evidence: ApprovalCase, dag_id: str) -> Message:
        data = {"package": dict(built), "by_rule": evidence["by_rule"], "reasons": evidence["reasons"]}
        subject = f"{self.model_name} {built['version']} waits for approval"
        text = f"{evidence['text']}\n\nAnswer under Required Actions of {dag_id}."
        return Message("approval", self.model_name, subject, text, data, once=False)

    @keeps_answer
    @fail_typed
    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Go on with the person's answer; a rejection skips what follows."""
        answer = Answer.of(event)
        if answer.who is None:
            self.log.warning(
                "nobody answered within %s: rejected", duration(self._spec.airflow.answer_within)
            )
        how = f"chose {answer.choice or self.REJECT} in Airflow"
        decision = _decision(answer.who or "nobody", how, answer.reason, answer.at)
        context["ti"].xcom_push("decision", decision)
        if answer.choice == self.APPROVE:
            self._refuse_own(context, decision["by"])
        super().execute_complete(context, event)  # raises the skip of what follows on Reject
        return decision

    def _refuse_own(self, context: Any, who: str) -> None:
        from rescore import pipeline

        built: dict[str, Any] = context["ti"].xcom_pull(task_ids=self.beside("package"))
        with pipeline_context() as ctx:
            pipeline.refuse_own_approval(ctx, self.model_name, built["sha256"], who)


def _decision(by: str, how: str, reason: str | None, at: datetime) -> Decision:
    return Decision(by=by, how=how, reason=reason or None, at=at.isoformat())
