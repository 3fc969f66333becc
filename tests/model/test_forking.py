"""Children forked from a process that has loaded their libraries: like fresh ones, and never left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rescore.model import forking, process
from rescore.model.forking import ForkedProcess
from rescore.model.process import MARK, Child
from tests.shared.waiting import until

TYPES = ["sklearn.linear_model._logistic.LogisticRegression", "sklearn.pipeline.Pipeline"]
SEES = f"""
import gc, json, os, random, signal, sys, threading
before = "sklearn" in sys.modules
import numpy
mask = os.umask(0)
print({MARK!r} + json.dumps(dict(
    argv=sys.argv, flags=list(sys.flags), path=sys.path, folder=os.getcwd(), umask=mask,
    environment=dict(os.environ), encoding=[sys.stdout.encoding, sys.stderr.encoding],
    name=__name__, hashed=hash("scores"), threads=threading.active_count(), leads=os.getsid(0) == os.getpid(),
    interrupts=str(signal.getsignal(signal.SIGINT)), frozen=gc.isenabled(),
    bits=float(numpy.random.default_rng(1).normal(size=(64, 64)).dot(numpy.arange(64.0)).sum()).hex(),
)))
print({MARK!r} + json.dumps(dict(loaded=before, drawn=numpy.random.rand(), chosen=random.random())))
"""


def _started(code: str, folder: Path, *, forked: bool, **options: object) -> list[dict[str, object]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "can_fork", lambda: forked)
        with Child(["-c", code, "more"], folder=folder, path=[folder], types=TYPES, **options) as child:  # type: ignore[arg-type]
            assert isinstance(child._process, ForkedProcess) is forked
            return list(child.messages())


def test_a_forked_child_is_what_a_fresh_one_is(tmp_path: Path) -> None:
    fresh, _ = _started(SEES, tmp_path, forked=False, umask=0o077)
    forked, first = _started(SEES, tmp_path, forked=True, umask=0o077)
    again, second = _started(SEES, tmp_path, forked=True, umask=0o077)
    assert fresh == forked == again
    assert first["loaded"] and second["loaded"]
    assert first["drawn"] != second["drawn"], "an unseeded draw must show when trainings are compared"
    assert first["chosen"] != second["chosen"]


def test_children_of_another_hash_seed_come_from_another_process(tmp_path: Path) -> None:
    code = f"print({MARK!r} + str(int(hash('scores') % 1000)).join(['{{\"hash\": ', '}}']))"
    found = [_started(code, tmp_path, forked=True, hash_seed=seed) for seed in (0, 1, 0)]
    assert found[0] == found[2] != found[1]


def test_libraries_that_were_installed_meanwhile_are_loaded_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site-packages"
    installed.mkdir()
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(installed))
    server = forking._server(None, {})
    assert forking._server(None, {}) is server
    (installed / "numpy-3.dist-info").mkdir()
    os.utime(installed, ns=(0, 0))
    assert forking._server(None, {}) is not server


def test_a_prepared_process_has_loaded_libraries_before_it_is_asked_for_a_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "")  # of no other test: it has a process of its own
    before = {*forking._servers}
    process.prepare_children()
    [key] = {*forking._servers} - before
    mapped = Path(f"/proc/{forking._servers[key]._process.pid}/maps")
    until(lambda: "sklearn" in mapped.read_text(), "loading scikit-learn")
    assert _started(f"print({MARK!r} + '{{}}')", tmp_path, forked=True) == [{}]
    assert {*forking._servers} - before == {key}
    server = forking._servers[key]
    forking._close(key)
    assert server._process.wait() == 0


def test_one_that_was_prepared_in_vain_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that fails at once would wait for imports otherwise."""
    monkeypatch.setenv("OPENBLAS_CORETYPE", "")
    before = {*forking._servers}
    process.prepare_children()
    [key] = {*forking._servers} - before
    server = forking._servers[key]
    forking._close(key)
    assert server._process.wait() == -signal.SIGKILL


@pytest.mark.parametrize(
    ("code", "ends"),
    [
        ("import sys; sys.exit(5)", 5),
        ("import sys; sys.exit('no')", 1),
        ("raise ValueError", 1),
        ("import os; os.kill(os.getpid(), 15)", -15),
        ("import threading; threading.Thread(target=print).start()", 0),
    ],
)
def test_it_ends_as_a_fresh_one_does(code: str, ends: int, tmp_path: Path) -> None:
    with Child(["-c", code], folder=tmp_path, path=[]) as child:
        assert child._process.wait() == ends


def _gone(pid: int) -> Callable[[], bool]:
    def gone() -> bool:
        status = Path(f"/proc/{pid}/stat")
        try:
            return status.read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    return gone


STARTS = """
import subprocess, sys
asleep = [sys.executable, "-c", "import time; time.sleep(600)"]
started = subprocess.Popen(asleep)
print({mark!r} + '{{"pids": [%d, %d]}}' % (__import__("os").getpid(), started.pid), flush=True)
{then}
"""


def test_what_a_child_started_ends_with_it(tmp_path: Path) -> None:
    code = STARTS.format(mark=MARK, then="")
    with Child(["-c", code], folder=tmp_path, path=[]) as child:
        [message] = child.messages()
    for pid in message["pids"]:
        until(_gone(pid), f"the end of process {pid}")


def test_children_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    code = STARTS.format(mark=MARK, then="started.wait()")
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from rescore.model.process import Child\n"
            f"with Child(['-c', {code!r}], folder=Path({str(tmp_path)!r}), path=[]) as child:\n"
            "    for message in child.messages():\n"
            "        print(*message['pids'], flush=True)\n",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    with parent.stdout:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert len(pids) == 2
    for pid in pids:
        until(_gone(pid), f"the end of process {pid}")


def test_a_fresh_interpreter_takes_over_where_the_server_was_killed(tmp_path: Path) -> None:
    code = f"print({MARK!r} + '{{}}')"
    _started(code, tmp_path, forked=True)
    for server in forking._servers.values():
        server._process.kill()
        server._process.wait()
    with Child(["-c", code], folder=tmp_path, path=[]) as child:
        assert not isinstance(child._process, ForkedProcess)
        assert list(child.messages()) == [{}]
    _started(code, tmp_path, forked=True)


def test_a_fork_of_the_parent_has_a_server_of_its_own(tmp_path: Path) -> None:
    code = f"print({MARK!r} + '{{}}')"
    _started(code, tmp_path, forked=True)
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:  # as Airflow forks a process for each task
        before = len(forking._servers)
        found = _started(code, tmp_path, forked=True)
        forking._close_all()
        os.write(send, json.dumps([before, found]).encode())
        os._exit(0)
    os.close(send)
    with os.fdopen(receive) as answer:
        assert json.loads(answer.read()) == [0, [{}]]
    os.waitpid(pid, 0)
    _started(code, tmp_path, forked=True)
