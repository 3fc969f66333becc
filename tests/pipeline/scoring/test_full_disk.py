"""A disk that is full in the middle of a run: said in words, and a retry goes on when there is room."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from rescore import pipeline
from rescore.errors import DiskFullError
from rescore.interval import Interval
from rescore.model import sign_file
from tests.shared.harbour import FIRST, Harbour


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process may get larger than 1,000 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_training_says_that_a_disk_is_full(untrained: pipeline.Context) -> None:
    with full_disk(), pytest.raises(DiskFullError, match="a file may grow no larger here") as caught:
        pipeline.train_snapshot(untrained, "tides", as_of=FIRST + timedelta(days=30))
    assert caught.value.retryable
    assert list(untrained.scratch.iterdir()) == []


def test_a_run_stays_open_until_there_is_room(untrained: pipeline.Context) -> None:
    day = Interval(FIRST + timedelta(days=31), FIRST + timedelta(days=32))
    with full_disk(), pytest.raises(DiskFullError, match="a file may grow no larger here") as caught:
        pipeline.begin_extract(untrained, "tides", day)
    assert caught.value.retryable
    assert (caught.value.where or "").startswith(str(untrained.settings.home / "scratch"))
    [run] = untrained.store.runs.latest("tides")
    assert run.state != "failed"
    assert list(untrained.scratch.iterdir()) == []

    again = untrained.store.runs.get(pipeline.begin_extract(untrained, "tides", day))
    assert (again.state, again.rows_extracted) == ("extracted", 72)


def test_a_command_that_met_a_full_disk_ends_its_run_and_leaves_nothing(harbour: Harbour) -> None:
    """Nobody tries the run again: it would stand there as validated, as if it went on."""
    day = harbour.day(31)
    run_id = pipeline.validate_run(harbour.ctx, pipeline.begin_extract(harbour.ctx, "tides", day))
    with full_disk(), pytest.raises(DiskFullError):
        pipeline.score_run(harbour.ctx, run_id)
    assert harbour.ctx.store.runs.get(run_id).state == "validated"  # Airflow's next try goes on from there

    with full_disk(), pytest.raises(DiskFullError):
        pipeline.score_interval(harbour.ctx, "tides", day)
    [newest, *_] = harbour.ctx.store.runs.latest("tides")
    assert newest.state == "failed"
    assert "no larger here" in newest.error["message"]
    assert list(harbour.ctx.scratch.iterdir()) == []
    assert pipeline.score_interval(harbour.ctx, "tides", day).rows == 72


class Cut(BaseException):
    """As Airflow's timeout is: no ``Exception``."""


def test_the_last_of_several_tries_ends_the_run_and_an_earlier_one_does_not(
    harbour: Harbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, day = harbour.ctx.store, harbour.day(32)
    last = replace(harbour.ctx, tried_again=False)
    run_id = pipeline.begin_extract(harbour.ctx, "tides", day)
    with monkeypatch.context() as cut:
        cut.setattr("rescore.validation.validate", Mock(side_effect=Cut))
        with pytest.raises(Cut):
            pipeline.validate_run(harbour.ctx, run_id)
        assert store.runs.get(run_id).state == "extracted"
        with pytest.raises(Cut):
            pipeline.validate_run(last, run_id)
    ended = store.runs.get(run_id)
    assert (ended.state, ended.error["message"]) == ("failed", "Cut")

    again = pipeline.validate_run(harbour.ctx, run_id)  # cleared: goes on as a run of its own
    assert again != run_id
    with full_disk(), pytest.raises(DiskFullError):
        pipeline.score_run(last, again)
    ended = store.runs.get(again)
    assert (ended.state, ended.error["type"]) == ("failed", "DiskFullError")


def test_a_process_leaves_no_folder_of_its_own(tmp_path: Path) -> None:
    code = f"from pathlib import Path; from rescore.disk import process_folder; p = Path({str(tmp_path)!r})"
    end = "; (process_folder(p) / 'rows').write_text('x'); assert len(list(p.iterdir())) == 1"
    subprocess.run([sys.executable, "-c", code + end], check=True)
    assert list(tmp_path.iterdir()) == []


def test_whatever_writes_to_the_disk_says_that_it_is_full(harbour: Harbour, tmp_path: Path) -> None:
    """Not runs alone: who looks back at one unpacks its package, who signs writes, too."""
    ctx = harbour.ctx
    run_id = pipeline.score_interval(ctx, "tides", harbour.day(31)).run_id
    wheel = ctx.archive.get_package(ctx.store.pins.current("tides").sha256)
    key, private = tmp_path / "key.pem", ec.generate_private_key(ec.SECP256R1())
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    acts: list[Callable[[], object]] = [
        lambda: pipeline.reproduce_run(ctx, run_id),
        lambda: pipeline.reproduce_score(ctx, "tides", {"gauge": "pier", "reading": "745"}),
        lambda: pipeline.retrain_package(ctx, "tides", "1.0.0"),
        lambda: sign_file(wheel, key),
    ]
    for act in acts:
        with full_disk(), pytest.raises(DiskFullError, match="a file may grow no larger here") as caught:
            act()
        assert caught.value.retryable
    assert list(ctx.scratch.iterdir()) == []
    assert pipeline.reproduce_run(ctx, run_id).verdict == "identical"
