"""Training as the platform calls it: stage the code, fit in child interpreters, keep the results.

Fits run beside each other as processes of one thread each, never as threads; how many there are
changes no result.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from rescore.errors import ModelError, NotDeterministicError, NotFoundError, SpecError
from rescore.folder import ModelFolder
from rescore.model.code_tree import code_tree, sources_tree, write_tree
from rescore.model.environment import UMASK
from rescore.model.process import Team
from rescore.progress import Progress, time_left

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Fitted", "train", "train_verified"]

#: Below this many rows a second process costs more than it saves.
_WORTH_TWO = 20_000
#: Hash seed and umask of the two trainings that are compared.
_SURROUNDINGS = ((0, UMASK), (4_242_424, 0o077))
_ARTIFACTS = ("model.skops", "evaluation.skops")


@dataclass(frozen=True)
class Fitted:
    """A trained model before it is packaged: a folder that may be opened again by another process.

    Attributes
    ----------
    directory : Path
        The build folder that was given to :func:`train`.
    """

    directory: Path

    @classmethod
    def open(cls, directory: Path) -> Fitted:
        """The training in ``directory``.

        Raises
        ------
        NotFoundError
            There is none, or it did not finish.
        """
        if not (directory / "fitted" / "complete").is_file():
            raise NotFoundError(
                "there is no finished training here",
                where=str(directory),
                expected="the folder that train() was given",
                fix="train again",
            )
        return cls(directory)

    @property
    def results(self) -> Path:
        """The folder of what training wrote: artifact, golden rows, JSON."""
        return self.directory / "fitted"

    @property
    def tree(self) -> Path:
        """The folder of the staged package: the code that was trained."""
        return self.directory / "tree"

    @cached_property
    def final(self) -> dict[str, Any]:
        """Features with levels, target, structure, selection, numeric environment, counts."""
        return self._read("final.json")

    @cached_property
    def evaluation(self) -> dict[str, Any]:
        """Metrics and importance on the hold-out, its bounds, and the metrics of each fold."""
        folds = sorted(self.results.glob("fold_*.json"), key=lambda path: int(path.stem.partition("_")[2]))
        return {**self._read("evaluation.json"), "folds": [self._read(path.name) for path in folds]}

    @property
    def metrics(self) -> dict[str, float | None]:
        """Metrics on the hold-out: the last intervals, scored by a fit on the earlier ones."""
        return dict(self.evaluation["metrics"])

    @property
    def importance(self) -> dict[str, float]:
        """Permutation importance of each feature on the hold-out."""
        return dict(self.evaluation["importance"])

    @property
    def rows(self) -> int:
        """Rows of the final fit."""
        return int(self.final["rows"])

    @property
    def out_of_fold(self) -> np.ndarray[Any, Any]:
        """Scores by models that did not see the row's fold, float64, shape (n_rows,).

        Aligned to the rows of the snapshot.
        """
        return self._scores("fold")

    @property
    def reference_scores(self) -> np.ndarray[Any, Any]:
        """``out_of_fold``, then the scores of the rows without a label, float64.

        Shape (n_rows + n_unlabelled,). Rows without a label are scored by the models that did not see the
        fold in whose time they are.
        """
        import numpy as np

        return np.concatenate([self.out_of_fold, self._scores("unlabelled")])

    @property
    def named(self) -> np.ndarray[Any, Any] | None:
        """As ``reference_scores``: the class named out of fold, None of rows without a label.

        None but of models of several classes.
        """
        import numpy as np

        if self.final["target"]["kind"] != "multiclass":
            return None
        labels = np.asarray(self.final["target"]["labels"], dtype=object)
        codes = self._scores("named").astype(np.int64)
        return np.concatenate([labels[codes], np.full(self._scores("unlabelled").size, None)])

    def _scores(self, name: str) -> np.ndarray[Any, Any]:
        import numpy as np

        paths = sorted(self.results.glob(f"{name}_*.f8"), key=lambda path: int(path.stem.partition("_")[2]))
        return np.concatenate([np.empty(0), *(np.fromfile(path, dtype="<f8") for path in paths)])

    def _read(self, name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.results / name).read_text(encoding="utf-8"))
        return content


def train(
    snapshot_path: Path,
    folder: ModelFolder,
    *,
    build_dir: Path,
    progress: Progress | None = None,
    processes: int | None = None,
) -> Fitted:
    """Fit a model on a training snapshot.

    Fits on all rows; on all but the hold-out, to measure it; and on all but each of
    ``training.folds`` contiguous blocks of intervals, for out-of-fold scores.

    Parameters
    ----------
    snapshot_path : Path
        Parquet with ``interval_start``, the features and the target, ordered by interval.
    folder : ModelFolder
        The model.
    build_dir : Path
        A folder for the results; emptied first.
    progress : callable, optional
        Receives one line per step.
    processes : int, optional
        How many fits run beside each other; default 2 where that saves time.

    Raises
    ------
    SpecError, ModelError
        The code can't be imported, built, fitted or packaged.
    """
    stage_folder(folder, build_dir)
    if processes is None:
        import pyarrow.parquet as pq

        many = pq.read_metadata(snapshot_path).num_rows >= _WORTH_TWO
        processes = min(2, os.cpu_count() or 1) if many else 1
    job = write_job(snapshot_path, folder, build_dir, "fitted")
    _run(folder.name, [(job, _Tasks(_Done()), *_SURROUNDINGS[0])], build_dir, progress, beside=processes)
    (build_dir / "fitted" / "complete").touch()
    return Fitted(build_dir)


def train_verified(
    snapshot_path: Path,
    folder: ModelFolder,
    *,
    build_dir: Path,
    unlabelled: Path | None = None,
    progress: Progress | None = None,
) -> Fitted:
    """Train twice, in fresh processes of different hash seeds and umasks, and compare every result.

    Takes what :func:`train` takes; the two trainings run beside each other. ``unlabelled`` is a Parquet file
    of rows of the same intervals without a label: they are scored by the models of the folds, for drift's
    reference, and in no fit.

    Raises
    ------
    NotDeterministicError
        Names each result that differs and where in it.
    SpecError, ModelError
        As :func:`train`.
    """
    stage_folder(folder, build_dir)
    names = ("fitted", "again")
    done = _Done(trainings=len(names))
    jobs = [
        (write_job(snapshot_path, folder, build_dir, name, unlabelled), _Tasks(done), *around)
        for name, around in zip(names, _SURROUNDINGS, strict=True)
    ]
    _run(folder.name, jobs, build_dir, progress, beside=1)
    different = _differences(*(build_dir / name for name in names))
    if different:
        raise NotDeterministicError(
            f"training {folder.name} twice gave different results: {different[0]}",
            where="the same snapshot, code, parameters and seed, in two fresh processes",
            expected="the same bytes",
            fix="look for sets, hashes, times, threads or unseeded chance in pipeline.py and what it uses",
            examples=different,
            data={"different": different},
        )
    shutil.rmtree(build_dir / "again")
    (build_dir / "fitted" / "complete").touch()
    if progress is not None:
        progress("trained twice in fresh processes: every byte is the same")
        for note in Fitted(build_dir).final["notes"]:
            progress(note)
    return Fitted(build_dir)


class _Done:
    """How many fits of some trainings of the same model are done, and how long the rest may take."""

    def __init__(self, trainings: int = 1) -> None:
        self._lock, self._began = threading.Lock(), time.monotonic()
        self._trainings, self._done = trainings, 0

    def one_more(self, of_each: int) -> str:
        """Count one fit as done and say how far all are; each training has ``of_each``."""
        with self._lock:
            self._done += 1
            total = self._trainings * of_each
            left = time_left(self._done, total, time.monotonic() - self._began)
            return f"{self._done} of {total}{left and ', '}{left}"


class _Tasks:
    """The tasks of one training, taken by the children that work on it."""

    def __init__(self, done: _Done) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[str] | None = None
        self.done, self.of_each = done, 0

    def offer(self, tasks: Sequence[str]) -> None:
        with self._lock:
            if self._waiting is None:
                self._waiting, self.of_each = deque(tasks), len(tasks)

    def take(self) -> str | None:
        with self._lock:
            return self._waiting.popleft() if self._waiting else None


def stage_folder(folder: ModelFolder, build_dir: Path) -> None:
    """Empty the build folder and write the model's code into it."""
    code = code_tree(folder)
    shutil.rmtree(build_dir, ignore_errors=True)
    write_tree(code, build_dir / "tree")
    write_tree(sources_tree(folder), build_dir / "sources")


def write_job(
    snapshot_path: Path | None, folder: ModelFolder, build_dir: Path, out: str, unlabelled: Path | None = None
) -> Path:
    """Write what the child is to do, and the folder ``out`` for what it makes."""
    spec = folder.spec
    (build_dir / out).mkdir(parents=True)
    try:
        hyperparameters = yaml.safe_dump(spec.training.hyperparameters)  # JSON has fewer types
    except yaml.YAMLError as error:
        raise SpecError(
            f"the hyperparameters hold what YAML can't: {error}",
            where="training.hyperparameters",
            expected="numbers, text, dates, lists and mappings of Python's own",
            fix="turn numpy's numbers into Python's, and build objects in build()",
        ) from None
    job = {
        "model": folder.name,
        "features": {feature.name: feature.kind for feature in spec.features},
        "target": {"name": spec.target.name, "kind": spec.target.kind, "positive": spec.target.positive},
        "seed": spec.training.seed,
        "hyperparameters": hyperparameters,
        "holdout_intervals": spec.training.holdout_intervals,
        "folds": spec.training.folds,
        **({} if snapshot_path is None else {"snapshot": str(snapshot_path.absolute())}),
        **({"published_classes": list(spec.output.probabilities)} if spec.output.probabilities else {}),
        **({} if unlabelled is None else {"unlabelled": str(unlabelled.absolute())}),
        "out": str((build_dir / out).absolute()),
    }
    path = build_dir / f"{out}.job.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    return path


def _run(
    model: str,
    jobs: Sequence[tuple[Path, _Tasks, int, int]],
    build_dir: Path,
    progress: Progress | None,
    *,
    beside: int,
) -> None:
    """Work on each job with ``beside`` children at a time; the first error ends all of them."""
    team = Team()

    def drive(job: Path, tasks: _Tasks, hash_seed: int, umask: int) -> None:
        arguments = ["-m", "rescore.model.child.worker", str(job.absolute())]
        path = [(build_dir / "tree").absolute(), *library_path()]
        with team.start(
            arguments,
            folder=build_dir,
            path=path,
            hash_seed=hash_seed,
            umask=umask,
            libraries=["skops.io"],  # which imports all of scikit-learn
            label=f"the process that fits {model}, in which its pipeline.py runs",
        ) as child:
            messages = child.messages()
            tasks.offer(child_answer(messages, "tasks"))
            while (task := tasks.take()) is not None:
                started = time.monotonic()
                child.send(task)
                child_answer(messages, "done")
                if progress is not None:
                    seconds = time.monotonic() - started
                    progress(f"fitted {task} ({tasks.done.one_more(tasks.of_each)}, {seconds:.1f} s)")
            child.send("end")
            for _ in messages:
                pass

    team.run([partial(drive, *job) for job in jobs for _ in range(beside)])


def child_answer(messages: Any, key: str) -> Any:
    """The child's next message, which has to be of this kind."""
    message = next(messages, None)
    if message is None or key not in message:
        raise ModelError(
            "the process that fits ended without an error and without its result",
            expected=f"the child's message {key!r}",
            fix="look for what ends a process (os._exit, say) in pipeline.py and what it uses",
        )
    return message[key]


def library_path() -> list[Path]:
    """Where this library is imported from, unless that is where Python looks anyway."""
    root = Path(__file__).parents[2]
    return [] if root.name == "site-packages" else [root]


def _differences(first: Path, second: Path) -> list[str]:
    """What differs between two result folders, in words."""
    names = sorted({path.name for side in (first, second) for path in side.iterdir()})
    found = []
    for name in sorted(names, key=lambda name: (name != _ARTIFACTS[0], name not in _ARTIFACTS)):
        one, other = (side / name for side in (first, second))
        if not (one.is_file() and other.is_file()):
            found.append(f"{name} is only in one of them")
        elif (left := one.read_bytes()) != (right := other.read_bytes()):
            if name in _ARTIFACTS:
                from rescore.model.artifact import differing

                found += [f"{name} at {place}" for place in differing(left, right)]
            elif name.endswith(".json"):
                found.append(f"{name} at {_first_key(json.loads(left), json.loads(right))}")
            else:
                found.append(f"{name} ({len(left):,} and {len(right):,} bytes)")
    return found


def _first_key(one: Any, other: Any, path: str = "") -> str:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            if one.get(key) != other.get(key):
                return _first_key(one.get(key), other.get(key), f"{path}.{key}")
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            if left != right:
                return _first_key(left, right, f"{path}[{index}]")
    return f"{path}: {str(one)[:40]} and {str(other)[:40]}"
