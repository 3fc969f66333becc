"""Who is told of a verdict, of performance, a held run, a package to approve or a failure, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rescore.lazy_names import lazy_names

if TYPE_CHECKING:
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

if not TYPE_CHECKING:  # or each name that is misspelt would be one for it
    __getattr__ = lazy_names(__name__, __file__)
