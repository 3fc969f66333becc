"""``python -m tests.faults``: break things, print the account, and fail if anything was found."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.faults.acts import ACTS
from tests.faults.campaign import Campaign


def main() -> int:
    """Give 1 if there are findings."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--faults", type=int, default=500, help="how many attempts are broken")
    parser.add_argument("--seed", type=int, default=42, help="decides what is broken where")
    parser.add_argument("--act", action="append", default=[], help="only this act; may be given again")
    parser.add_argument(
        "--short", action="store_true", help="one package, and only what is broken most often"
    )
    parser.add_argument("--home", type=Path, help="an empty folder that is kept; default: a temporary one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as temporary:
        home = given.home or Path(temporary)
        Path(temporary).chmod(0o755)  # the server may run as another user
        acts = given.act or (["score", "release", "retention", "erase"] if given.short else [*ACTS])
        account = Campaign(home, seed=given.seed, acts=acts, packages=1 if given.short else 2).run(
            given.faults, say=lambda line: print(line, file=sys.stderr, flush=True)
        )
    print(json.dumps(account.to_dict(), indent=1))
    return 1 if account.findings() else 0


if __name__ == "__main__":
    sys.exit(main())
