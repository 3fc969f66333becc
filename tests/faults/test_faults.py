"""The short form of ``make faults``: the same rounds, fewer of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rescore.store.schema.roles import RELEASE_FUNCTIONS, RUN_FUNCTIONS

FAULTS = 6
#: What no act of the rounds calls, and why a crash in it is nothing.
NOT_CALLED = {
    "declare_timetable": "one statement, which changes nothing where the declaration has not changed",
    "fork": "resume forks, by the same function of the database",
    "note_facts": "one statement; it is called where a run's environment is noted late",
    "end_run": "one statement, called when an attempt fails by itself",
    "add_package": "one statement of a training, which `make faults` breaks",
    "add_pin": "one statement, which `make faults` breaks",
    "record_performance": "one statement, which `make faults` breaks",
    "record_reproduction": "one statement, which `make faults` breaks",
    "add_comparison": "one statement, with what it stands on already kept",
    "ask_for_retraining": "one statement",
    "needs_four_eyes": "reads only",
    "refuse_own_approval": "reads only",
    "require_four_eyes": "one statement; no model here declares it",
    "pin_by_rule": "the very function that pins for a person",
    "add_signature": "one statement",
    "withdraw_package": "one statement; its file is deleted by its digest in the same transaction",
    "retire_model": "one statement",
    "note_stray_deletion": "what `note_table_deletion` is, for files of killed writers, which rounds leave",
    "note_deletion": "of caches and environments of one machine: there are none",
}


@pytest.mark.slow
def test_faults_while_a_consumer_reads(seed: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", "--short", "--faults", str(FAULTS), "--seed", str(seed)],
        cwd=Path(__file__).parents[2],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": ".:include", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    account = json.loads(done.stdout)
    kinds = ("wrong", "torn", "lost", "duplicated", "stuck", "left")
    assert {kind: account[kind] for kind in kinds} == {kind: [] for kind in kinds}, done.stderr
    assert account["faults"] >= FAULTS
    assert account["polls"] > 100
    assert set(account["reproduced"]) <= {"identical", "not_rederivable"}
    # Whoever adds a function to the protocol says where it is broken.
    assert {*RUN_FUNCTIONS, *RELEASE_FUNCTIONS} - {*account["functions"]} == NOT_CALLED.keys()
