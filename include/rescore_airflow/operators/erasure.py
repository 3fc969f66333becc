"""The steps that erase a person, once somebody has approved what a dry run found."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowFailException

from rescore.shown_text import number_of
from rescore_airflow.connections import pipeline_context
from rescore_airflow.operators.answers import Answer, keeps_answer
from rescore_airflow.operators.failures import fail_typed
from rescore_airflow.requests import erase_request

__all__ = ["Erase"]


class Erase(ApprovalOperator):
    """Erase the person whom the Params name, after a person has approved the dry run in its body."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(subject="Erase a person?", body="", defaults=self.REJECT, **kwargs)

    @fail_typed
    def execute(self, context: Any) -> Any:
        """Say what would be erased, and wait for an answer."""
        from rescore import pipeline

        request = erase_request(context["dag_run"].conf, context["params"])
        with pipeline_context() as ctx:
            found = pipeline.erase_subject(
                ctx, request.subject, ground=request.ground, who="dry run", dry_run=True
            )
        lines = [
            f"**{number_of(sum(found.frozen.values()), 'row')}** of "
            f"{number_of(len(found.frozen), 'frozen table')}, and what "
            f"{number_of(len(found.rows), 'run')} made of them, would be erased. It can't be undone.",
            "",
            f"Ground: {request.ground}",
            *(f"- package {package}: {meaning}" for package, meaning in found.packages.items()),
            *(
                f"- run {run} has no scores yet and would end: score its interval again"
                for run in found.ended
            ),
            *(
                f"- run {run} can't be searched: neither frozen rows nor keys say whose its scores are"
                for run in found.unsearched
            ),
            *(f"- file {digest} of no frozen table would be deleted whole" for digest in found.strays),
            *(f"- not searched: {what}" for what in found.passed_over),
            *(f"- **{hold}**" for hold in found.legal_holds),
        ]
        self.body = "\n".join(lines)
        return super().execute(context)

    @keeps_answer
    @fail_typed
    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Erase in the name of who approved; fail with who rejected it."""
        from rescore import pipeline

        answer = Answer.of(event)
        if answer.who is None or answer.choice != self.APPROVE:
            raise AirflowFailException(f"{answer.who or 'nobody'} approved it: nothing was erased")
        request = erase_request(context["dag_run"].conf, context["params"])
        with pipeline_context() as ctx:
            done = pipeline.erase_subject(ctx, request.subject, ground=request.ground, who=answer.who)
        # Ids and counts; neither name nor value of the person.
        return {
            "erasure_id": done.erasure_id,
            "pseudonym": done.pseudonym,
            "packages": done.packages,
            "strays": done.strays,
            "unsearched": done.unsearched,
            "passed_over": done.passed_over,
        }
