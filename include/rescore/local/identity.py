"""As whom a server runs that refuses to be root, or that needs its user to have a name.

Postgres refuses effective uid 0, and ``initdb`` refuses a uid without an entry in the password
database (a container with an arbitrary uid). In both cases a user namespace gives it another face
without another owner; where namespaces are switched off, root can still become an unprivileged user.
"""

from __future__ import annotations

import functools
import os
import pwd
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from rescore.errors import LocalStackError
from rescore.local import launch

__all__ = ["Identity", "unprivileged", "wrapped"]


@dataclass(frozen=True)
class Identity:
    """An identity that ``launch.py`` can take on.

    Attributes
    ----------
    how : str
        ``plain``, ``namespace`` or ``user``.
    uid, gid : int
        As the process sees itself.
    owner : int
        The uid that owns the process's files as seen from outside.
    """

    how: str
    uid: int
    gid: int
    owner: int

    def __str__(self) -> str:
        return self.how if self.how == "plain" else f"{self.how}:{self.uid}:{self.gid}"


def wrapped(
    command: list[str], identity: Identity, *, tied: bool = False, signal_number: int = 15
) -> list[str]:
    """Command line that runs ``command`` under ``identity``; ``tied`` lets it die with this process."""
    options = ["--as", str(identity)]
    if tied:
        options += ["--parent", str(os.getpid()), "--signal", str(signal_number)]
    return [sys.executable, "-I", "-S", str(Path(launch.__file__)), *options, "--", *command]


@functools.cache
def unprivileged() -> Identity:
    """Find an identity that is not root and has a name, the one with the fewest side effects first.

    Raises
    ------
    LocalStackError
        If there is none: root without namespaces and without the right to change its uid, say.
    """
    uid, gid = os.geteuid(), os.getegid()
    if uid != 0 and _has_name(uid):
        return Identity("plain", uid, gid, uid)
    face = _unprivileged_entry()
    candidates = [Identity("namespace", face.pw_uid, face.pw_gid, uid)]
    if uid == 0:
        candidates.append(Identity("user", face.pw_uid, face.pw_gid, face.pw_uid))
    reasons = []
    for candidate in candidates:
        probe = subprocess.run(wrapped(["true"], candidate), capture_output=True, text=True, check=False)
        if probe.returncode == 0:
            return candidate
        reasons.append(probe.stderr.strip().splitlines()[-1] if probe.stderr.strip() else candidate.how)
    who = "root" if uid == 0 else f"uid {uid}, which has no name here"
    raise LocalStackError(
        f"a local Postgres can't be run by {who}, and no other identity can be taken on",
        where="; ".join(reasons),
        fix="run as a plain user, or point RESCORE_DATABASE_URL at a Postgres that is running",
    )


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _unprivileged_entry() -> pwd.struct_passwd:
    for name in ("postgres", "nobody", "daemon"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return entry
    for entry in pwd.getpwall():
        if entry.pw_uid != 0:
            return entry
    raise LocalStackError(
        "the password database names nobody but root",
        where="/etc/passwd",
        fix="add an unprivileged user, or set RESCORE_DATABASE_URL",
    )
