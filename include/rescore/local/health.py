"""``python -m rescore.local.health URL COMPONENT``: exit 0 when Airflow says the component is well.

For health checks of containers: it asks the API server, so it costs milliseconds where Airflow's own
``jobs check`` imports Airflow each time (seconds of CPU).
"""

from __future__ import annotations

import sys

from rescore.local.rest import get_json

__all__ = ["check"]


def check(url: str, component: str) -> str | None:
    """What is wrong with ``scheduler``, ``triggerer``, ``dag-processor`` or ``api-server``; None: nothing."""
    try:
        health = get_json(f"{url}/api/v2/monitor/health", seconds=10)
    except OSError as error:
        return f"the API server at {url} does not answer: {error}"
    name = "metadatabase" if component == "api-server" else component.replace("-", "_")
    status = (health.get(name) or {}).get("status")
    return None if status == "healthy" else f"{name} is {status or 'unknown'}"


if __name__ == "__main__":
    sys.exit(check(sys.argv[1].rstrip("/"), sys.argv[2]))
