"""Whether the model can be trained: on a few intervals, from the rows that scoring sees to a package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from rescore import model, source
from rescore.authoring.checks.result import CheckResult
from rescore.errors import TrainingError
from rescore.folder import ModelFolder
from rescore.interval import Interval
from rescore.pipeline import KeptRows, features_without_value, keep_rows, utc_now
from rescore.progress import Progress
from rescore.shown_text import number_of
from rescore.spec_values import duration_text
from rescore.validation import Suites

__all__ = [
    "TrainingSample",
    "check_expectations",
    "check_fit",
    "check_training_rows",
    "fit_not_tried",
    "fit_without_values",
    "no_label_due",
    "sample_window",
]

#: Intervals that the check trains on, at most.
_MAX_INTERVALS = 6
#: Of one class alone nothing is learnt: one interval held out, and two folds, have to have both.
_MIN_LABELLED = 3


@dataclass(frozen=True)
class TrainingSample:
    """The rows of a few intervals, labelled or not."""

    snapshot: source.TrainingSnapshot
    rows: pa.Table


def sample_window(url: str, folder: ModelFolder, last: Interval) -> tuple[list[Interval], bool]:
    """The last few intervals whose labels are due, and whether a fit can be tried on them.

    A class that is rare may be absent from the last intervals, and labels may come late, which says nothing
    against the model: those are taken that have two classes (a value, in a regression) each, so that every
    fit has. No interval where the labels of none are due.

    Raises
    ------
    TrainingError
        None of the intervals that training would take has a label, though they are due.
    """
    schedule, target = folder.spec.schedule.schedule(), folder.spec.target
    now = utc_now()
    until = min(last.end, now - target.delay)
    longest = max(folder.spec.training.intervals, _MAX_INTERVALS)
    count = min(_MAX_INTERVALS, longest)
    latest = schedule.last_intervals(until, count)
    if not latest:
        return [], False
    while True:
        window = schedule.last_intervals(until, count)
        labels = source.labels(url, folder, window, now)
        labelled = _labelled(labels, folder, window)
        if len(labelled) >= _MIN_LABELLED:
            return labelled[-_MAX_INTERVALS:], True
        if len(window) < count or count >= longest:
            if labels.column(target.name).null_count == labels.num_rows:
                raise _no_label(folder, window)
            return latest, False
        count = min(4 * count, longest)


def check_training_rows(
    url: str, folder: ModelFolder, window: Sequence[Interval], scratch: Path
) -> tuple[list[CheckResult], TrainingSample]:
    """Whether training sees the rows of an interval that scoring sees."""
    snapshot = source.snapshot(url, folder, window, utc_now(), scratch / "all.parquet", unlabelled=True)
    sample = TrainingSample(snapshot, source.read_frozen(snapshot.path, snapshot.digest.root))
    last = window[-1]
    scored = source.extract(url, folder, last, last.end, scratch / "scoring.parquet")
    if scored.digest.root != snapshot.per_interval[-1].digest.root:
        what = f"training sees other rows of {last} than scoring"
        return [CheckResult("training rows", "failed", what, "see extract")], sample
    labelled = f"{number_of(snapshot.rows, 'labelled row')} of {number_of(len(window), 'interval')}"
    what = f"{labelled}; those of {last} are scoring's, by digest"
    return [CheckResult("training rows", "ok", what)], sample


def check_expectations(
    sample: TrainingSample, folder: ModelFolder, scratch: Path, suites: Suites
) -> tuple[list[CheckResult], KeptRows]:
    """Whether each interval would have been scored, and what would have been set aside."""
    kept = keep_rows(sample.rows, sample.snapshot, folder, scratch / "rows.parquet", suites=suites)
    intervals = len(sample.snapshot.per_interval)
    what = (
        f"{number_of(intervals, 'interval')} of {number_of(sample.rows.num_rows, 'row')}, "
        f"{kept.set_aside:,} of them set aside"
    )
    results = [CheckResult("expectations", "ok", what)]
    if empty := features_without_value(kept.table, folder):
        what = f"{', '.join(empty)}: no value in any of {number_of(kept.table.num_rows, 'row')}"
        fix = "training refuses a feature that has none in its whole window: then fill it, or take it out"
        results.insert(0, CheckResult("features", "warning", what, fix))
    return results, kept


def fit_without_values(features: Sequence[str], window: Sequence[Interval]) -> CheckResult:
    """A feature that the last intervals lack may have values in the training window, and often has."""
    what = (
        f"{', '.join(features)}: no value in the {number_of(len(window), 'interval')} up to "
        f"{window[-1].end.isoformat()}: a fit was not tried"
    )
    return CheckResult("fit", "skipped", what, "name a --day before which each feature has values")


def no_label_due(folder: ModelFolder, last: Interval) -> CheckResult:
    """Before the first labels are due there is nothing to learn from: that is no fault of the model."""
    target = folder.spec.target
    what = (
        f"no label of an interval up to {last.end.isoformat()} is due: by model.yaml {target.name} is known "
        f"{duration_text(target.delay)} later: training rows, expectations and a fit were not tried"
    )
    fix = "check again when the first are due, or correct target.delay or schedule.start"
    return CheckResult("training rows", "skipped", what, fix)


def fit_not_tried(folder: ModelFolder, last: Interval) -> CheckResult:
    """Of one class alone nothing is learnt, here or in the training that this stands for."""
    values = "a value" if _least(folder) == 1 else "two values"
    what = (
        f"fewer than {_MIN_LABELLED} of the {number_of(folder.spec.training.intervals, 'interval')} up to "
        f"{last.end.isoformat()} have {values} of {folder.spec.target.name}: a fit was not tried"
    )
    return CheckResult("fit", "skipped", what, f"name a --day whose training window has {values}")


def check_fit(kept: KeptRows, folder: ModelFolder, scratch: Path, progress: Progress) -> CheckResult:
    """Whether the pipeline is seeded, fits, and can be packaged."""
    training = folder.spec.training.model_copy(update={"holdout_intervals": 1, "folds": 2})
    small = replace(folder, spec=folder.spec.model_copy(update={"training": training}))
    try:
        fitted = model.train(kept.path, small, build_dir=scratch / "build", progress=progress)
    except TrainingError as error:
        if "class" not in error.data:
            raise
        return _class_too_rare(str(error.data["class"]), kept, folder)
    metrics = ", ".join(f"{name} {value:.3f}" for name, value in fitted.metrics.items() if value is not None)
    return CheckResult("fit", "ok", f"seeded, fits and can be packaged; on one interval held out: {metrics}")


def _no_label(folder: ModelFolder, window: Sequence[Interval]) -> TrainingError:
    target = folder.spec.target
    return TrainingError(
        f"no row of the {number_of(len(window), 'interval')} up to {window[-1].end.isoformat()} has "
        "a known label",
        where=f"{folder.path / 'labels.sql'}: {target.name}",
        expected=f"labels {duration_text(target.delay)} after an interval's end, as model.yaml says",
        fix="name a --day before which there are labels; if they come later, correct target.delay; if none "
        f"come any more, train on those there are: `rescore train {folder.name} --as-of …`",
    )


def _class_too_rare(label: str, kept: KeptRows, folder: ModelFolder) -> CheckResult:
    """A class that a few intervals have too rarely for two folds is no fault of the model."""
    target, training = folder.spec.target.name, folder.spec.training
    what = (
        f"{label!r} of {target} occurs in too few of the intervals looked at "
        f"({number_of(kept.table.num_rows, 'row')}) to be in every fit: hold-out and folds were not tried"
    )
    fix = (
        f"training takes {number_of(training.intervals, 'interval')} and wants each class in the "
        "rows of every fit: if it says the same, join rare classes in labels.sql"
    )
    return CheckResult("fit", "skipped", what, fix)


def _labelled(labels: pa.Table, folder: ModelFolder, window: Sequence[Interval]) -> list[Interval]:
    """The intervals that have enough values of the target to learn from."""
    target = folder.spec.target.name
    values = labels.group_by("interval_start").aggregate([(target, "count_distinct")])
    counts = dict(zip(*(column.to_pylist() for column in values.columns), strict=True))
    return [interval for interval in window if counts.get(interval.start, 0) >= _least(folder)]


def _least(folder: ModelFolder) -> int:
    return 1 if folder.spec.target.kind == "regression" else 2
