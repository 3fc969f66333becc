"""Somebody to tell things to: a mail server and a web server on loopback that keep what they are sent."""

from __future__ import annotations

import json
import socketserver
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class MailSink(socketserver.ThreadingTCPServer):
    """Speaks as much SMTP as a client needs to leave a message."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _MailSession)
        self.messages: list[EmailMessage] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _MailSession(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self._say("220 sink")
        while line := self.rfile.readline():
            command = line.split()[0].upper() if line.split() else b""
            if command == b"DATA":
                self._say("354 go on")
                body = b""
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    body += line.removeprefix(b".") if line.startswith(b"..") else line
                parsed = message_from_bytes(body, policy=policy.default)
                self.server.messages.append(parsed)  # type: ignore[attr-defined]
            self._say("221 bye" if command == b"QUIT" else "250 ok")
            if command == b"QUIT":
                return

    def _say(self, answer: str) -> None:
        self.wfile.write(answer.encode() + b"\r\n")


class WebSink(ThreadingHTTPServer):
    """Keeps what is posted: path, headers and JSON; answers with ``status``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _WebSession)
        self.posts: list[tuple[str, dict[str, str], Any]] = []
        self.status = 200

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _WebSession(BaseHTTPRequestHandler):
    server: WebSink

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.posts.append((self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing to the terminal."""


@contextmanager
def running(server: Any) -> Iterator[Any]:
    """The server, answering in a thread of its own."""
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
