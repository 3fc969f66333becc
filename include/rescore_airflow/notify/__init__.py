"""Who hears of a verdict, a held run or a failure."""

from rescore_airflow.notify.events import Message, listeners, on_failure, tell
from rescore_airflow.notify.webhook import WebhookNotifier

__all__ = ["Message", "WebhookNotifier", "listeners", "on_failure", "tell"]
