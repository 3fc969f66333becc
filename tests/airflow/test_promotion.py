"""Who decides about a new package: whoever started the run, the rule, or somebody who is asked."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from rescore.errors import StoreError
from rescore.folder import load_model
from rescore_airflow.operators.promotion import PromotionApproval, refuse_another_champion
from rescore_airflow.requests.train import train_params

MADE = {"version": "1.0.1", "sha256": "sha256:new"}


class Asked(Exception):
    """A person is asked."""


@pytest.fixture
def decide(models: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the approval decides, for a declaration, a comparison and Params."""

    def decide(approval: str, conf: dict[str, Any] | None = None, **found: Any) -> dict[str, Any]:
        spec = load_model(models, "tides").spec
        spec = spec.model_copy(update={"promotion": spec.promotion.model_copy(update={"approval": approval})})
        found = {"by_rule": False, "reasons": ["r1", "r2"], "champion": "sha256:old", "text": "t", **found}
        operator = PromotionApproval(task_id="approval", model_name="tides", spec=spec)

        def ask(self: Any, context: Any) -> Any:
            raise Asked

        # What Airflow's own operator does needs a running Airflow: test_actions sees it.
        monkeypatch.setattr("airflow.providers.standard.operators.hitl.ApprovalOperator.execute", ask)
        conf = conf or {}
        run = SimpleNamespace(
            conf=conf,
            run_type="manual",
            run_after=datetime(2024, 3, 1, tzinfo=UTC),
            triggering_user_name="ada",
        )
        pulled = {"package": MADE, "compare": found}
        return operator.execute(
            {
                "dag_run": run,
                "params": {**{name: param.value for name, param in train_params(spec).items()}, **conf},
                "ti": SimpleNamespace(xcom_pull=lambda task_ids: pulled[task_ids]),
                "dag": SimpleNamespace(dag_id="train_tides", params=train_params(spec)),
            }
        )

    return decide


def test_the_rule_promotes_where_that_is_declared_and_its_reasons_are_kept(decide: Any) -> None:
    decision = decide("auto", by_rule=True)
    assert (decision["by"], decision["how"], decision["reason"]) == (
        "rule",
        "promotion.approval: auto",
        "r1; r2",
    )


@pytest.mark.parametrize(("approval", "by_rule"), [("auto", False), ("required", True), ("required", False)])
def test_everything_else_asks_a_person(decide: Any, approval: str, by_rule: bool) -> None:
    with pytest.raises(Asked):
        decide(approval, by_rule=by_rule)


def test_who_starts_the_run_with_a_reason_has_decided(decide: Any) -> None:
    decision = decide("required", {"approve": "now", "reason": "seen it"})
    assert (decision["by"], decision["reason"]) == ("ada", "seen it")


def test_there_is_nothing_to_decide_about_the_pinned_package_or_a_mere_challenger(decide: Any) -> None:
    with pytest.raises(AirflowSkipException, match="byte for byte"):
        decide("auto", by_rule=True, champion=MADE["sha256"])
    with pytest.raises(AirflowSkipException, match="stays a challenger"):
        decide("auto", {"pin": False}, by_rule=True)


def test_nothing_is_pinned_over_a_package_that_it_was_not_compared_with() -> None:
    evidence: Any = {"champion": "sha256:old"}
    refuse_another_champion(evidence, "sha256:old", "sha256:new")
    refuse_another_champion(evidence, "sha256:new", "sha256:new")  # cleared after it was pinned
    for pinned in ("sha256:rolled-back", None):
        with pytest.raises(StoreError, match="another one scores now"):
            refuse_another_champion(evidence, pinned, "sha256:new")
