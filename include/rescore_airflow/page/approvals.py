"""What waits for a person's answer in Airflow, read from Airflow's own tables."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from sqlalchemy import select

__all__ = ["Approval", "open_approvals"]

#: States of a task that still waits; one that was cleared or failed asks nobody any more.
_WAITING = ("deferred", "awaiting_input")


@dataclass(frozen=True)
class Approval:
    """A question that nobody has answered."""

    dag_id: str
    dag_run: str
    task_id: str
    subject: str
    asked_at: datetime


def open_approvals(dag_ids: Collection[str]) -> list[Approval]:
    """What the runs of some DAGs ask and nobody has answered, oldest first."""
    query = (
        select(
            TaskInstance.dag_id,
            TaskInstance.run_id,
            TaskInstance.task_id,
            HITLDetail.subject,
            HITLDetail.created_at,
        )
        .join(TaskInstance, TaskInstance.id == HITLDetail.ti_id)
        .where(HITLDetail.responded_at.is_(None), TaskInstance.state.in_(_WAITING))
        .where(TaskInstance.dag_id.in_(dag_ids))
        .order_by(HITLDetail.created_at)
    )
    with create_session() as session:
        return [Approval(*row) for row in session.execute(query)]
