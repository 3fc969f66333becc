"""What the tasks of the DAGs are made of."""

from rescore_airflow.operators.erasure import Erase
from rescore_airflow.operators.failures import fail_typed, log_reason
from rescore_airflow.operators.promotion import (
    ApprovalCase,
    Decision,
    PromotionApproval,
    compare_with_pinned,
    refuse_another_champion,
    waits_for_approval,
)
from rescore_airflow.operators.readiness import ReadinessGate
from rescore_airflow.operators.release import Release
from rescore_airflow.operators.retrain import Retrain, RetrainIfDue
from rescore_airflow.operators.verdict_branch import DriftCheck, Hold

__all__ = [
    "ApprovalCase",
    "Decision",
    "DriftCheck",
    "Erase",
    "Hold",
    "PromotionApproval",
    "ReadinessGate",
    "Release",
    "Retrain",
    "RetrainIfDue",
    "compare_with_pinned",
    "fail_typed",
    "log_reason",
    "refuse_another_champion",
    "waits_for_approval",
]
