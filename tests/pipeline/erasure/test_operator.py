"""The task of ``erase_subject``: a dry run in the question, an erasure in the name of who approves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from rescore.errors import ParameterError
from rescore_airflow.operators import Erase
from rescore_airflow.requests import erase_request
from tests.shared.bank import Bank

PARAMS = {"subject": "customer=customer-07", "ground": "ticket 4711"}


class Asked(Exception):
    """A person is asked."""


@pytest.fixture
def context(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the task gets, with the bank's store and its owner in the environment."""
    settings = bank.ctx.settings
    for name, value in (
        ("RESCORE_HOME", settings.home),
        ("RESCORE_MODELS", settings.models),
        ("RESCORE_OWNER_URL", settings.owner_url),
        ("AIRFLOW_CONN_RESCORE_STORE", str(settings.database_url).replace("postgresql", "postgres", 1)),
        ("AIRFLOW__CORE__EXECUTOR", "LocalExecutor"),
    ):
        monkeypatch.setenv(name, str(value))

    def ask(self: Any, context: Any) -> Any:
        raise Asked

    # What Airflow's own operator does needs a running Airflow.
    monkeypatch.setattr("airflow.providers.standard.operators.hitl.ApprovalOperator.execute", ask)
    return {"dag_run": SimpleNamespace(conf=PARAMS), "params": PARAMS}


def answer(choice: str, who: str | None) -> dict[str, Any]:
    return {"chosen_options": [choice], "responded_by_user": who and {"id": "1", "name": who}}


def test_a_person_sees_what_would_go_and_only_an_approval_erases(bank: Bank, context: dict[str, Any]) -> None:
    operator = Erase(task_id="erase")
    with pytest.raises(Asked):
        operator.execute(context)
    assert "**12 rows** of 2 frozen tables" in operator.body
    assert "customer-07" not in operator.body
    for choice, who in (("Reject", "ada"), ("Approve", None)):
        with pytest.raises(AirflowFailException, match="nothing was erased"):
            operator.execute_complete(context, answer(choice, who))
    assert bank.ctx.store.erasures.all() == []
    done = operator.execute_complete(context, answer("Approve", "ada"))
    [erasure] = bank.ctx.store.erasures.all()
    assert (erasure.asked_by, erasure.ground) == ("ada", "ticket 4711")
    assert done["pseudonym"] == erasure.pseudonym
    assert "customer-07" not in str(done)


def test_a_subject_is_named_by_its_columns() -> None:
    asked = {"ground": "x"}
    assert erase_request({}, asked | {"subject": " customer = 7 "}).subject == {"customer": "7"}
    both = '{"bank": "b=1", "customer": "7"}'
    assert erase_request({}, asked | {"subject": both}).subject == {"bank": "b=1", "customer": "7"}
    for nobody in ("customer", "=7", "{", "[1]", "customer="):
        with pytest.raises(ParameterError, match="names nobody"):
            erase_request({}, asked | {"subject": nobody})
