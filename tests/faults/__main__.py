"""``python -m tests.faults``: break things, print the account, and fail if anything was found.

Campaigns work beside each other, each in a world of its own and in a process of its own, whose clocks can be
moved; what they did and found is added up.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.faults.account import Account
from tests.faults.acts import ACTS
from tests.faults.breaking import WAYS
from tests.faults.campaign import Campaign
from tests.faults.clocks import with_movable_clocks

_SHORT = ("score", "shards", "release", "retention", "erase")


def main() -> int:
    """Give 1 if there are findings."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--faults", type=int, default=500, help="how many attempts are broken")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no round after so long")
    parser.add_argument("--seed", type=int, default=42, help="decides what is broken where")
    parser.add_argument("--act", action="append", default=[], help="only this act; may be given again")
    parser.add_argument(
        "--way", action="append", default=[], choices=[way for way in WAYS if way != "paused"], help="only so"
    )
    parser.add_argument("--lanes", type=int, default=1, help="how many campaigns beside each other")
    parser.add_argument(
        "--short", action="store_true", help="one package, and only what is broken most often"
    )
    parser.add_argument("--home", type=Path, help="an empty folder that is kept; default: a temporary one")
    parser.add_argument("--lane", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.lane is not None:
        return _lane(given)
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as temporary:
        Path(temporary).chmod(0o755)  # the server may run as another user
        account = _all_lanes(given, (given.home or Path(temporary)).absolute())
    print(json.dumps(account.to_dict(), indent=1))
    return 1 if account.findings() else 0


def _all_lanes(given: argparse.Namespace, home: Path) -> Account:
    running = []
    for lane in range(given.lanes):
        folder = home / f"lane-{lane}"
        folder.mkdir(parents=True)
        command = [sys.executable, "-m", "tests.faults", *sys.argv[1:], "--lane", str(lane)]
        environment = {**os.environ, **with_movable_clocks(folder)}
        running.append(subprocess.Popen([*command, "--home", str(folder)], env=environment))
    account = Account()
    try:
        for lane, process in enumerate(running):
            if process.wait():
                account.stuck.append(f"campaign {lane} ended with {process.returncode}")
            else:
                # Of our own making.
                account.add(pickle.loads((home / f"lane-{lane}" / "account").read_bytes()))
    finally:
        for process in running:
            process.terminate()
            process.wait()
    return account


def _lane(given: argparse.Namespace) -> int:
    acts = given.act or ([*_SHORT] if given.short else [*ACTS])
    campaign = Campaign(
        given.home,
        seed=given.seed + given.lane,
        acts=acts,
        packages=1 if given.short else 2,
        lane=(given.lane, given.lanes),
        ways=given.way,
    )
    account = campaign.run(
        -(-given.faults // given.lanes),
        given.minutes,
        say=lambda line: print(f"[{given.lane}] {line}", file=sys.stderr, flush=True),
    )
    (given.home / "account").write_bytes(pickle.dumps(account))
    return 0


if __name__ == "__main__":
    sys.exit(main())
