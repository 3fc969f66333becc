"""JSON over HTTP to a server on this machine, with the standard library.

What runs before Airflow is installed must not depend on what it brings.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from rescore.errors import AirflowRequestError

__all__ = ["get_json", "request_json"]

#: A proxy in the environment has no business with addresses of this machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get_json(address: str, *, seconds: float = 30) -> Any:
    """Answer to a GET without a login; `OSError` when nobody answers."""
    with _OPENER.open(address, timeout=seconds) as answer:
        return json.load(answer)


def request_json(
    method: str, address: str, *, body: Mapping[str, Any] | None = None, token: str | None = None
) -> Any:
    """Answer to a request, parsed; a GET is tried three times.

    Raises
    ------
    AirflowRequestError
        A refusal, with ``status`` and ``reason`` in its data, or nobody answers.
    """
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data=data, headers=headers, method=method)  # noqa: S310
    attempts = 3 if method == "GET" else 1  # a POST whose answer was lost may have been carried out
    for attempt in range(1, attempts + 1):
        try:
            with _OPENER.open(request, timeout=60) as answer:
                text = answer.read()
                return json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            reason = _reason(error.read().decode(errors="replace"))
            if error.code >= 500 and attempt < attempts:
                continue
            raise AirflowRequestError(
                f"Airflow refused {method} {request.selector}: {error.code} {reason}",
                where=address,
                data={"status": error.code, "reason": reason},
            ) from None
        except (OSError, http.client.HTTPException) as error:
            if attempt < attempts:
                continue
            raise AirflowRequestError(
                f"Airflow does not answer: {getattr(error, 'reason', error)}",
                where=address,
                fix="`rescore up` starts it",
            ) from None
    raise AssertionError  # the loop returns or raises


def _reason(text: str) -> str:
    try:
        detail = json.loads(text)["detail"]
    except (ValueError, KeyError, TypeError):
        return text[:300]
    return detail if isinstance(detail, str) else json.dumps(detail)
