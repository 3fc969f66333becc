"""What the tasks of our DAGs are made of."""

from rescore_airflow.operators.drift_check import DriftCheck, Hold
from rescore_airflow.operators.failures import fail_typed, log_reason
from rescore_airflow.operators.promotion import PromotionApproval, compared
from rescore_airflow.operators.readiness import ReadinessGate
from rescore_airflow.operators.release import Release, release_params
from rescore_airflow.operators.retrain import Retrain, RetrainIfDue

__all__ = [
    "DriftCheck",
    "Hold",
    "PromotionApproval",
    "ReadinessGate",
    "Release",
    "Retrain",
    "RetrainIfDue",
    "compared",
    "fail_typed",
    "log_reason",
    "release_params",
]
