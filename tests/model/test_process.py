"""Child interpreters: what they are started with, and that none is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rescore.errors import (
    DiskFullError,
    EnvironmentMismatchError,
    GoldenRowError,
    ModelError,
    RescoreError,
    UnseededEstimatorError,
)
from rescore.model.environment import THREAD_VARIABLES, numeric_environment, start_environment
from rescore.model.process import MARK, Child, Team

INCLUDE = Path(__file__).parents[2] / "include"


def messages(code: str, folder: Path) -> list[dict[str, object]]:
    with Child(["-c", code], folder=folder, path=[]) as child:
        return list(child.messages())


def test_the_start_environment_holds_threads_and_no_secrets() -> None:
    around = {"PATH": "/bin", "OMP_NUM_THREADS": "8", "RESCORE_DATABASE_URL": "postgres://u:secret@h/d"}
    environment = start_environment([Path("/a"), Path("/b")], hash_seed=3, inherited=around)
    assert {environment[name] for name in THREAD_VARIABLES} == {"1"}
    assert environment["PYTHONPATH"] == f"/a{os.pathsep}/b"
    assert (environment["PYTHONHASHSEED"], environment["TZ"]) == ("3", "UTC")
    assert "secret" not in str(environment)


def test_the_numeric_environment_names_what_bits_depend_on() -> None:
    found = numeric_environment()
    assert set(found["packages"]) >= {"numpy", "scipy", "scikit-learn", "pandas", "pyarrow", "skops"}
    assert all(library["architecture"] for library in found["blas"])
    assert found["simd"] == sorted(found["simd"])
    assert found["libc"]


def test_a_child_is_heard_among_other_output(tmp_path: Path) -> None:
    code = f"""
import os
print("a line of the model's own")
print({MARK!r} + '{{"rows": 5}}')
os.umask(umask := os.umask(0))
print({MARK!r} + '{{"umask": %d}}' % umask)
"""
    assert messages(code, tmp_path) == [{"rows": 5}, {"umask": 0o022}]


@pytest.mark.parametrize(
    ("described", "error"),
    [
        ('{"type": "UnseededEstimatorError", "what": "w", "where": "here"}', UnseededEstimatorError),
        ('{"code": "golden", "what": "w", "data": {"row": 2}}', GoldenRowError),
        ('{"code": "new to us", "what": "w"}', ModelError),
    ],
)
def test_a_childs_error_is_raised_as_ours(described: str, error: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(error, match="w"):
        messages(f"""print({MARK!r} + '{{"error": ' + {described!r} + '}}')""", tmp_path)


@pytest.mark.parametrize(
    "write", ["open('/dev/full', 'w').write('x' * 9_999)", "pyarrow.OSFile('/dev/full', 'wb').write(b'x')"]
)
def test_a_child_that_met_a_full_disk_may_be_tried_again(write: str, tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match="no room is left on a disk") as caught:
        messages(f"import pyarrow; {write}", tmp_path)
    assert caught.value.retryable and str(tmp_path) in (caught.value.where or "")
    with pytest.raises(ModelError, match="No such file"):
        messages("open('/no/such/file')", tmp_path)


IMPORT = """
from rescore import limited_import
from rescore.model.child import model_code
from rescore.model.child.worker import _say
from rescore.errors import RescoreError
model_code.limited_import = lambda: limited_import.limited_import({seconds})
try:
    model_code.pipeline_module("m")
except RescoreError as error:
    _say(error=error.to_dict())
"""


@pytest.mark.parametrize(
    ("code", "seconds", "what", "where"),
    [
        ("while True: pass", 0.5, "pipeline.py was not imported within 0:00:00.5", "pipeline.py, line 2"),
        (
            "import threading\nwhile True:\n  try: threading.Event().wait()\n  except BaseException: pass",
            0.5,
            "pipeline.py was not imported within 0:00:00.5",
            "pipeline.py, line 4",
        ),
        ("raise SystemExit", 60, "can't be imported: SystemExit", "pipeline.py, line 2: raise SystemExit"),
        ("raise KeyboardInterrupt", 60, "can't be imported: KeyboardInterrupt", "pipeline.py, line 2"),
        ("def build(:", 60, "can't be imported: SyntaxError: invalid syntax", "pipeline.py, line 2: def"),
        ("def f(): f()\nf()", 60, "can't be imported: RecursionError", "pipeline.py, line 2"),
        ("print('x' * 9_000_000)", 60, "pipeline.py has no build()", "m/pipeline.py"),
        ("import os; os.kill(os.getpid(), 9)", 60, "was ended by signal 9", ""),
    ],
)
def test_a_module_that_does_not_come_to_its_end_is_named(
    code: str, seconds: float, what: str, where: str, tmp_path: Path
) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "pipeline.py").write_text(f"# a model\n{code}\n")
    arguments = ["-c", IMPORT.format(seconds=seconds)]
    with (
        Child(arguments, folder=tmp_path, path=[tmp_path, INCLUDE]) as child,
        pytest.raises(RescoreError) as caught,
    ):
        list(child.messages())
    assert what in caught.value.what and (caught.value.where or "").startswith(where)
    assert caught.value.fix


def test_the_first_error_ends_those_beside_it(tmp_path: Path) -> None:
    team = Team()
    started: list[Child] = []

    def endless() -> None:
        with team.start(["-c", "import time; time.sleep(600)"], folder=tmp_path, path=[]) as child:
            started.append(child)
            list(child.messages())

    def failing() -> None:
        while not started:
            pass
        raise ModelError("enough")

    with pytest.raises(ModelError, match="enough"):
        team.run([endless, failing])
    assert started[0]._process.returncode == -9
    with pytest.raises(ModelError, match="was ended before"):
        team.start(["-c", ""], folder=tmp_path, path=[])


@pytest.mark.parametrize(
    "waiting",
    [
        "from rescore.model.runtime.command import end_with_parent; end_with_parent()",
        "import queue, threading; from rescore.model.child.worker import listen; "
        "threading.Thread(target=listen, args=(queue.SimpleQueue(),), daemon=True).start()",
    ],
)
def test_a_child_ends_with_its_parent(waiting: str) -> None:
    """However the parent ends, its end of the pipe closes; the child would sleep ten minutes."""
    child = subprocess.Popen(
        [sys.executable, "-c", f"{waiting}; print('up', flush=True); import time; time.sleep(600)"],
        env={**os.environ, "PYTHONPATH": str(INCLUDE)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child.stdout, child.stdin:
        assert child.stdout.readline() == b"up\n"
        child.stdin.close()
        assert child.wait(timeout=60) == 1


def test_a_fit_in_an_unprepared_process_is_refused(tmp_path: Path) -> None:
    with (
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(EnvironmentMismatchError, match="without a fixed environment") as caught,
    ):
        patch.setattr(
            "rescore.model.process.start_environment",
            lambda path, hash_seed: {**start_environment(path), "OMP_NUM_THREADS": "2"},
        )
        with Child(["-m", "rescore.model.child.worker", "job"], folder=tmp_path, path=[INCLUDE]) as child:
            list(child.messages())
    assert caught.value.where == "OMP_NUM_THREADS"
