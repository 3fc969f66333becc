"""Who is told of a verdict, of performance, a held run, a package to approve or a failure, and how."""

from rescore_airflow.notify.messages import Message, listeners, on_failure, tell, try_to_tell
from rescore_airflow.notify.verdicts import (
    tell_of_alarms,
    tell_of_performance,
    tell_of_scores,
    tell_of_verdicts,
)
from rescore_airflow.notify.webhook import WebhookNotifier

__all__ = [
    "Message",
    "WebhookNotifier",
    "listeners",
    "on_failure",
    "tell",
    "tell_of_alarms",
    "tell_of_performance",
    "tell_of_scores",
    "tell_of_verdicts",
    "try_to_tell",
]
