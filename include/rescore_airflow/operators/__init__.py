"""What the tasks of the DAGs are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rescore.lazy_names import lazy_names

if TYPE_CHECKING:
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

if not TYPE_CHECKING:  # or each name that is misspelt would be one for it
    __getattr__ = lazy_names(__name__, __file__)
