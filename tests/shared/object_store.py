"""An S3 server of this machine's own: moto's, in an environment beside the tests' (``make s3-server``).

It is not in the lock: botocore, which it needs, asks for an older python-dateutil than all others have.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rescore.local import free_port

__all__ = ["KEY", "s3_server"]

_COMMAND = Path(__file__).parents[2] / ".venv-s3" / "bin" / "moto_server"
KEY = {"AWS_ACCESS_KEY_ID": "storekey0123456789", "AWS_SECRET_ACCESS_KEY": "storesecret0123456789"}


@contextmanager
def s3_server(log: Path) -> Iterator[str]:
    """Its host and port, as soon as it takes connections."""
    if not _COMMAND.exists():
        pytest.skip("there is no S3 server: `make s3-server` makes one, which needs a package index")
    port = free_port()
    with log.open("wb") as sink:
        server = subprocess.Popen(
            [str(_COMMAND), "--host", "127.0.0.1", "--port", str(port)], stdout=sink, stderr=sink
        )
    try:
        wait_for_port(port, server)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def wait_for_port(port: int, server: subprocess.Popen[bytes], seconds: float = 60) -> None:
    """Wait until a server that was started takes connections."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and server.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on port {port}; the server ended with {server.poll()}")
