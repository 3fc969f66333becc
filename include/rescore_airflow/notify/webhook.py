"""A notifier that posts JSON to an address: chat rooms, paging services, tools of your own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from airflow.sdk import BaseNotifier

from rescore.errors import SettingsError

__all__ = ["WebhookNotifier"]

#: Seconds to connect, and to wait for an answer.
TIMEOUT = 10.0


class WebhookNotifier(BaseNotifier):
    """Post the message as JSON; any answer but 2xx is an error, and redirects are not followed.

    Parameters
    ----------
    conn_id : str, optional
        An Airflow connection: host (with ``https://`` or the schema beside it), port, and a password that
        is sent as a bearer token. Addresses that are secrets themselves, as those of chat rooms are,
        belong there.
    endpoint : str
        Path below the connection's host.
    url : str, optional
        The whole address, in place of a connection.
    payload : mapping, optional
        What to post; its texts are templates. Default: event, model, subject, data, and ``text``, which
        chat rooms show.
    headers : mapping, optional
        More headers.
    """

    template_fields = ("conn_id", "endpoint", "url", "payload", "headers")

    def __init__(
        self,
        *,
        conn_id: str | None = None,
        endpoint: str = "",
        url: str | None = None,
        payload: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (conn_id is None) == (url is None):
            raise SettingsError(
                "a webhook needs an address",
                where="arguments of WebhookNotifier",
                expected="either conn_id or url",
                fix="name an Airflow connection",
            )
        self.conn_id = conn_id
        self.endpoint = endpoint
        self.url = url
        self.payload = payload
        self.headers = headers

    def notify(self, context: Any) -> None:
        """Post it."""
        import httpx

        url, headers = self._target()
        body = self.payload
        if body is None:
            said = context["rescore"]
            body = {key: said[key] for key in ("event", "model", "subject", "text", "data")}
        with httpx.Client(timeout=TIMEOUT) as client:
            answer = client.post(url, json=body, headers=headers)
        if not answer.is_success:
            raise SettingsError(
                f"the webhook answered {answer.status_code}",
                where=urlsplit(url).hostname,  # the rest of the address may be a secret
                expected="2xx",
                examples=[answer.text[:200]],
                fix="see the receiver's own log",
            )

    def _target(self) -> tuple[str, dict[str, str]]:
        if self.url is not None:
            return self.url, dict(self.headers or {})
        from airflow.sdk import Connection

        connection = Connection.get(str(self.conn_id))
        host = connection.host or ""
        if "://" not in host:
            host = f"{connection.schema or 'https'}://{host}"
        base = host.rstrip("/") + (f":{connection.port}" if connection.port else "")
        token = {"Authorization": f"Bearer {connection.password}"} if connection.password else {}
        path = self.endpoint.lstrip("/")
        return (f"{base}/{path}" if path else base), {**token, **(self.headers or {})}
