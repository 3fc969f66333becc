"""What Airflow lists of us among its providers (``airflow providers list``)."""

from __future__ import annotations

from typing import Any

__all__ = ["get_provider_info"]


def get_provider_info() -> dict[str, Any]:
    """What the entry point ``apache_airflow_provider`` answers; Airflow's ``provider_info.schema.json``.

    There is no section of ``airflow.cfg``: what is set is set in the environment (``RESCORE_…``), which the
    command line reads too. The plugin has an entry point of its own.
    """
    return {
        "package-name": "rescore",
        "name": "Rescore",
        "description": "Batch scoring in which every score stands up to being scored again",
        "integrations": [{"integration-name": "Rescore", "external-doc-url": "", "tags": ["service"]}],
        "operators": [{"integration-name": "Rescore", "python-modules": ["rescore_airflow.operators"]}],
        "triggers": [
            {
                "integration-name": "Rescore",
                "python-modules": ["rescore_airflow.operators.readiness_trigger"],
            }
        ],
        "hooks": [{"integration-name": "Rescore", "python-modules": ["rescore_airflow.hook"]}],
        "connection-types": [
            {
                "connection-type": "rescore",
                "hook-class-name": "rescore_airflow.hook.RescoreHook",
                "hook-name": "Rescore (Postgres)",
                "ui-field-behaviour": {
                    "relabeling": {"schema": "Database", "login": "User"},
                    "placeholders": {"port": "5432", "extra": '{"sslmode": "verify-full"}'},
                },
            }
        ],
        "notifications": ["rescore_airflow.notify.webhook.WebhookNotifier"],
    }
