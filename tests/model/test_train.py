"""Training in fresh interpreters: the same bytes each time, whatever is around it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from rescore.errors import ModelError, NotDeterministicError, NotFoundError, TrainingError
from rescore.model import Fitted, train, train_verified
from rescore.model.code_tree import code_tree, write_tree
from rescore.model.environment import THREAD_VARIABLES, start_environment
from tests.model.parcels import PIPELINES, Trained, table, write_folder
from tests.model.zoo import BESIDE, SHARED, ZOO

FIT_ALL = """
import json, sys
from pathlib import Path
from rescore.model.runtime.environment import one_thread
from rescore.model.child.trainer import Trainer
for path in sys.argv[1:]:
    trainer = Trainer(json.loads(Path(path).read_text()))
    with one_thread():
        trainer.run("final")
"""


@pytest.mark.slow
def test_every_kind_of_pipeline_trains_to_the_same_bytes(tmp_path: Path, seed: int) -> None:
    """Two interpreters: other hash seed, more threads around, another umask, the models in other order."""
    snapshot = tmp_path / "snapshot.parquet"
    pq.write_table(table(400, seed), snapshot)
    runs: list[list[str]] = [[], []]
    for name, pipeline in ZOO.items():
        extra: dict[str, Any] = {"shared": SHARED, "files": BESIDE} if name == "own" else {}
        folder = write_folder(tmp_path, name=name, pipeline=pipeline, **extra)
        write_tree(code_tree(folder), tmp_path / "trees")
        for number, jobs in enumerate(runs):
            out = tmp_path / f"run{number}" / name
            out.mkdir(parents=True)
            job = {
                "model": name,
                "features": {feature.name: feature.kind for feature in folder.spec.features},
                "target": folder.spec.target.model_dump(mode="json"),
                "seed": 7,
                "hyperparameters": "{}",
                "holdout_intervals": 3,
                "folds": 3,
                "snapshot": str(snapshot),
                "out": str(out),
            }
            path = tmp_path / f"{name}{number}.json"
            path.write_text(json.dumps(job))
            jobs.append(str(path))
    include = Path(__file__).parents[2] / "include"
    around: list[dict[str, str]] = [{}, dict.fromkeys(THREAD_VARIABLES, "3")]
    children = [
        subprocess.Popen(
            [sys.executable, "-c", FIT_ALL, *(jobs if number else reversed(jobs))],
            env={
                **start_environment([tmp_path / "trees", include], hash_seed=number * 1_000 + 1),
                **around[number],
            },
            umask=(0o022, 0o077)[number],
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, jobs in enumerate(runs)
    ]
    for child in children:
        _, log = child.communicate()
        assert child.returncode == 0, log
    for name in ZOO:
        for file in ("model.skops", "golden.json", "final.json"):
            one, other = (tmp_path / f"run{number}" / name / file for number in (0, 1))
            assert one.read_bytes() == other.read_bytes(), (name, file)


@pytest.fixture(scope="module")
def verified(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> tuple[Fitted, list[str]]:
    lines: list[str] = []
    build = tmp_path_factory.mktemp("verified")
    return train_verified(trained.snapshot, trained.folder, build_dir=build, progress=lines.append), lines


def test_two_trainings_agree_in_everything(verified: tuple[Fitted, list[str]]) -> None:
    fitted, lines = verified
    assert lines[-1] == "trained twice in fresh processes: every byte is the same"
    assert sum(line.startswith("fitted final (") for line in lines) == 2
    told = [line for line in lines if line.startswith("fitted ")]
    assert sum(" s left, " in line or " min left, " in line for line in told) == len(told) - 1, (
        "not the last one"
    )
    assert {line.partition("(")[2].partition(",")[0] for line in told} == {
        f"{number} of {len(told)}" for number in range(1, len(told) + 1)
    }, "both trainings are counted as one"
    assert len(fitted.out_of_fold) == fitted.rows == 500
    assert ((fitted.out_of_fold > 0) & (fitted.out_of_fold < 1)).all()
    assert set(fitted.importance) == {feature["name"] for feature in fitted.final["features"]}
    assert fitted.metrics["auc"] == fitted.evaluation["metrics"]["auc"]
    assert len(fitted.evaluation["folds"]) == 3
    again = Fitted.open(fitted.directory)
    assert again.final == fitted.final


def test_neither_processes_beside_each_other_nor_the_parents_environment_change_a_byte(
    trained: Trained, verified: tuple[Fitted, list[str]]
) -> None:
    """``trained`` ran in two processes below a parent with four threads and a tight umask."""
    names = sorted(path.name for path in trained.fitted.results.iterdir())
    assert names == sorted(path.name for path in verified[0].results.iterdir())
    for name in names:
        one, other = trained.fitted.results / name, verified[0].results / name
        assert one.read_bytes() == other.read_bytes(), name
        assert name == "complete" or one.stat().st_mode & 0o777 == 0o644


def test_what_hash_order_decides_is_not_released(trained: Trained, tmp_path: Path) -> None:
    """Columns in the order of a set of strings: each process would give another model."""
    unstable = PIPELINES["logistic"].replace(
        'numbers = make_column_selector(dtype_include="number")',
        "numbers = list({'distance', 'wind', 'stops'})",
    )
    assert "list({" in unstable
    changed = write_folder(tmp_path, pipeline=unstable)
    with pytest.raises(NotDeterministicError) as caught:
        train_verified(trained.snapshot, changed, build_dir=tmp_path / "build")
    first = caught.value.data["different"][0]
    assert first.startswith("model.skops at .steps[0][1]"), first
    with pytest.raises(NotFoundError):
        Fitted.open(tmp_path / "build")


def test_an_error_in_the_child_is_raised_here(trained: Trained, tmp_path: Path) -> None:
    failing = write_folder(tmp_path, pipeline="def build(h, seed):\n    raise ValueError('no luck')\n")
    with pytest.raises(TrainingError, match="ValueError: no luck") as caught:
        train(trained.snapshot, failing, build_dir=tmp_path / "build", processes=1)
    assert caught.value.where == "pipeline.py, line 2: raise ValueError('no luck')"


def test_a_child_that_dies_is_an_error_with_the_end_of_its_log(trained: Trained, tmp_path: Path) -> None:
    dying = write_folder(
        tmp_path,
        pipeline="""
        import os, sys
        def build(h, seed):
            print("about to run out of memory", file=sys.stderr, flush=True)
            os.kill(os.getpid(), 9)
        """,
    )
    with pytest.raises(ModelError, match="ended by signal 9") as caught:
        train(trained.snapshot, dying, build_dir=tmp_path / "build", processes=1)
    assert "about to run out of memory" in str(caught.value)


def test_a_model_may_not_hide_a_module(tmp_path: Path) -> None:
    from rescore.errors import SpecError

    for name in ("json", "numpy"):
        with pytest.raises(SpecError, match="would hide the installed module"):
            code_tree(write_folder(tmp_path, name=name))
