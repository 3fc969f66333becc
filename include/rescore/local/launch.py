"""Replace this process by a command that may not run as root, and that must not outlive its parent.

Run as a script (``python -I -S launch.py OPTIONS -- COMMAND ...``) and never imported by the library:
it has to start within milliseconds and knows the standard library only. It stays the same process
throughout, so the process id that the caller got is the command's.

``--as plain``
    Nothing changes.
``--as namespace:UID:GID``
    A new user namespace in which the caller appears as UID:GID. Outside, the process is still the
    caller: files stay the caller's and nothing has to be chowned.
``--as user:UID:GID``
    Become UID:GID for good, keeping only the capability to reach files (a checkout below ``/root``
    can't be entered by anyone else).
``--parent PID --signal N``
    The kernel sends signal N when the parent PID dies, even by SIGKILL.
"""

from __future__ import annotations

import ctypes
import os
import sys

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE = 1

#: The exit status that tells the caller that the identity could not be taken on.
CANNOT_BECOME = 97
#: The exit status when the parent was gone before the command started.
PARENT_GONE = 98


def _check(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _enter_namespace(libc: ctypes.CDLL, uid: int, gid: int) -> None:
    outside_uid, outside_gid = os.geteuid(), os.getegid()
    _check(libc.unshare(_CLONE_NEWUSER), "unshare(CLONE_NEWUSER)")
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{uid} {outside_uid} 1")
    _write("/proc/self/gid_map", f"{gid} {outside_gid} 1")


def _become_user(libc: ctypes.CDLL, uid: int, gid: int) -> None:
    _check(libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0), "prctl(PR_SET_KEEPCAPS)")
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    mask = 1 << _CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    # effective, permitted, inheritable; capabilities 0-31, then 32-63
    data = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    _check(libc.capset(header, data), "capset")
    _check(
        libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0), "prctl(PR_CAP_AMBIENT)"
    )


def main(arguments: list[str]) -> int:
    """Take on the identity, tie to the parent, execute. Returns only when that failed."""
    split = arguments.index("--")
    options = dict(zip(arguments[:split:2], arguments[1:split:2], strict=True))
    command = arguments[split + 1 :]
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        how, *numbers = options.get("--as", "plain").split(":")
        if how == "namespace":
            _enter_namespace(libc, int(numbers[0]), int(numbers[1]))
        elif how == "user":
            _become_user(libc, int(numbers[0]), int(numbers[1]))
    except OSError as error:
        sys.stderr.write(f"launch: {error}\n")
        return CANNOT_BECOME
    if "--parent" in options:
        # After the change of identity, which would clear it.
        _check(libc.prctl(_PR_SET_PDEATHSIG, int(options["--signal"]), 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")
        if os.getppid() != int(options["--parent"]):
            return PARENT_GONE
    os.execvp(command[0], command)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
