"""A point has the same name in every attempt, or none could be broken where another one passed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

#: In a process of its own, since nobody takes a watch off again.
_WATCHED = """
import sys, tempfile
from pathlib import Path
from tests.faults.points import watch

passed = []
watch(Path(sys.argv[1]), passed.append)
for _ in range(20):
    folder = Path(tempfile.mkdtemp(prefix="package-", dir=sys.argv[1]))
    (folder / "model.skops").write_text("x")
print(*sorted({name for name, _ in passed}), sep="\\n")
"""


def test_no_name_has_what_differs_from_attempt_to_attempt(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WATCHED, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    names = done.stdout.splitlines()
    assert names == ["elsewhere: open //package-…/model.skops", "elsewhere: os.mkdir //package-…"], (
        done.stderr
    )
