"""``rescore check``: does a model folder hold, from its SQL to what its features know of the future?"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from rescore import model, source, validation
from rescore.authoring.label_screening import screen
from rescore.errors import EmptyIntervalError, RescoreError
from rescore.folder import ModelFolder
from rescore.interval import Interval
from rescore.pipeline import Context, rewritten, utc_now

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["CheckResult", "check_model"]

Status = Literal["ok", "warning", "skipped", "failed"]
#: Labels known at the scoring moment already, in more rows than this, were not to be predicted.
_EARLY = 0.5
#: Intervals that the check trains on, at most.
_INTERVALS = 6


@dataclass(frozen=True)
class CheckResult:
    """One check: what was found, and what to do if it is not ok."""

    name: str
    status: Status
    what: str
    fix: str = ""


def check_model(ctx: Context, model_name: str, interval: Interval | None = None) -> list[CheckResult]:
    """Check a model folder against its source; nothing is stored.

    Parameters
    ----------
    ctx : Context
        Connections and models.
    model_name : str
        The model.
    interval : Interval, optional
        What to extract; default the last interval that has rows.

    Returns
    -------
    list of CheckResult
        In the order they ran; after a failure that makes the rest pointless, no more.
    """
    results: list[CheckResult] = []

    def run(name: str, step: Callable[[], list[CheckResult] | CheckResult]) -> bool:
        ctx.progress(f"checking {name}")
        try:
            found = step()
        except RescoreError as error:
            found = CheckResult(name, "failed", str(error), error.fix or "")
        results.extend(found if isinstance(found, list) else [found])
        return results[-1].status != "failed"

    if not run("declaration", lambda: _declaration(ctx.model(model_name))):
        return results
    folder = ctx.model(model_name)
    url = ctx.source_url(folder)
    chosen: list[Interval] = []

    def extract() -> CheckResult:
        chosen.append(interval or _last_interval(url, folder))
        rows = [source.probe(url, folder, chosen[0], chosen[0].end, limit=100_000) for _ in range(2)]
        if rows[0].num_rows == 0:
            raise EmptyIntervalError(
                f"{folder.name} has no row in {chosen[0]}", fix="name a --day that has rows"
            )
        if not rows[0].equals(rows[1]):
            return CheckResult(
                "extract", "failed", "extract.sql gave other rows the second time", "order ties"
            )
        return CheckResult(
            "extract", "ok", f"{rows[0].num_rows:,} rows of {chosen[0]}, as declared, twice the same"
        )

    if not run("extract", extract):
        return results
    run("folder tests", lambda: _folder_tests(folder))
    run("rows rewritten", lambda: _rewritten(ctx, folder))
    run("leakage: extract", lambda: _read_past(url, folder, chosen[0], labels=False))
    run("leakage: labels", lambda: _labels(url, folder, chosen[0]))
    with TemporaryDirectory(dir=ctx.scratch) as scratch:
        rows: list[pa.Table] = []

        def training() -> CheckResult:
            window = [*_window(folder, chosen[0])]
            snapshot = source.snapshot(url, folder, window, utc_now(), Path(scratch) / "rows.parquet")  # fmt: skip  # noqa: E501
            rows.append(source.read_frozen(snapshot.path, snapshot.digest.root))
            scored = source.extract(
                url, folder, window[-1], window[-1].end, Path(scratch) / "scoring.parquet"
            )
            same = scored.digest.root == snapshot.per_interval[-1].digest.root
            what = f"{snapshot.rows:,} labelled rows of {len(window)} intervals"
            if not same:
                return CheckResult(
                    "training rows", "failed", "training sees other rows than scoring", "see extract"
                )
            return CheckResult(
                "training rows", "ok", f"{what}; those of {window[-1]} are scoring's, by digest"
            )

        if not run("training rows", training):
            return results
        run("leakage: values", lambda: _values(rows[0], folder))
        run("expectations", lambda: _expectations(rows[0], folder))
        run("fit", lambda: _fit(Path(scratch), folder))
    return results


def _rewritten(ctx: Context, folder: ModelFolder) -> CheckResult:
    """Past frozen rows against what the source says of them today."""
    found = rewritten(ctx, folder.name)
    name = "rows rewritten"
    if not found:
        return CheckResult(name, "ok", "the source still gives the rows that past runs froze")
    run, late = found[-1]
    what = (
        f"{len(found)} of the last runs froze other rows than the source gives today; that of {run.interval}: "  # noqa: E501
        f"{late.changed:,} changed in {', '.join(late.changed_columns) or 'no column'}, {late.added:,} more, "
        f"{late.removed:,} fewer ({'; '.join(late.examples)})"
    )
    if folder.spec.source.known_by.reproducible_from_source:
        fix = "rows are changed in place or recorded late: the known-by column does not say when a row was known"  # noqa: E501
        return CheckResult(name, "failed", what, fix)
    return CheckResult(name, "warning", what, "as known_by: none expects; training uses the frozen rows")


def _declaration(folder: ModelFolder) -> list[CheckResult]:
    found = [
        CheckResult("declaration", "ok", f"{len(folder.spec.features)} features, {folder.spec.target.kind}")
    ]
    left = {
        path.name: len(re.findall(r"\bDECIDE\b", path.read_text(encoding="utf-8")))
        for path in sorted(folder.path.rglob("*"))
        if path.suffix in {".yaml", ".sql", ".py"} and "__pycache__" not in path.parts
    }
    if any(left.values()):
        where = ", ".join(f"{name} {count}" for name, count in left.items() if count)
        found.insert(
            0, CheckResult("to decide", "warning", f"DECIDE is left: {where}", "decide, delete the word")
        )
    if not folder.spec.source.known_by.reproducible_from_source:
        what = "known_by: none: its history can't be extracted again; the leakage test can't look at it"
        found.insert(0, CheckResult("history", "warning", what, "give the source a recorded_at"))
    return found


def _last_interval(url: str, folder: ModelFolder) -> Interval:
    schedule = folder.spec.schedule.schedule()
    [last] = schedule.last_intervals(utc_now(), 1)
    first = schedule.first_interval() or last
    if source.probe(url, folder, last, last.end, limit=1).num_rows:
        return last
    latest = source.last_event(url, folder, Interval(first.start, last.end))
    return (
        last if latest is None else Interval(start := schedule.floor(latest), schedule.next_boundary(start))
    )


def _window(folder: ModelFolder, last: Interval) -> list[Interval]:
    return folder.spec.schedule.schedule().last_intervals(last.end, _INTERVALS)


def _read_past(url: str, folder: ModelFolder, interval: Interval, *, labels: bool) -> list[CheckResult]:
    name = "leakage: labels" if labels else "leakage: extract"
    file = "labels.sql" if labels else "extract.sql"
    if not folder.spec.source.known_by.reproducible_from_source:
        return [
            CheckResult(name, "warning", f"{file} can't be compared with what was known (known_by: none)")
        ]
    as_of = interval.end + folder.spec.target.delay if labels else interval.end
    leak = source.read_past_filter(url, folder, interval, as_of, labels=labels)
    found = []
    if leak.unfiltered:
        what = f"{', '.join(leak.unfiltered)} has no known-by column: what it says may change unnoticed"
        found.append(
            CheckResult(name, "warning", what, "version it, or copy what is needed into the event's row")
        )
    if leak.later_moments:
        what = f"recorded before it happened: {', '.join(leak.later_moments)}"
        fix = "a plan may name a moment to come; if this is an outcome, its recorded_at lies"
        found.append(CheckResult(name, "warning", what, fix))
    if leak.functions:
        what = f"{file} calls {', '.join(leak.functions)}: what tables a function reads is not seen here"
        fix = "write the reads into the SELECT, or declare the function IMMUTABLE if it reads none"
        found.append(CheckResult(name, "warning", what, fix))
    if leak.committed_later:
        what = f"known by {as_of.isoformat()} by its own account, committed later: {', '.join(leak.committed_later)}"  # noqa: E501
        fix = "a history loaded at once is no lie; else rows come late or are changed in place, and the known-by column lies"  # noqa: E501
        found.append(CheckResult(name, "warning", what, fix))
    unseen = (
        ""
        if leak.commits_known
        else "; not seen: whether that column is true (track_commit_timestamp is off)"
    )
    if leak.none:
        what = f"{file} reads only what was known by {as_of.isoformat()} ({', '.join(leak.filtered) or 'no table'}){unseen}"  # noqa: E501
        return [*found, CheckResult(name, "ok", what)]
    what = (
        f"{file} reads what was not known by {as_of.isoformat()}: of {leak.rows:,} rows {leak.changed:,} would have "  # noqa: E501
        f"other values in {', '.join(leak.columns) or 'no column'}, {leak.only_seen:,} would not be there, "
        f"{leak.only_known:,} more would"
    )
    known_by = folder.spec.source.known_by
    column = known_by.column or " and ".join(known_by.valid_range or ())
    return [*found, CheckResult(name, "failed", what, f"filter every table in {file} by {column} and :as_of")]


def _labels(url: str, folder: ModelFolder, interval: Interval) -> list[CheckResult]:
    found = _read_past(url, folder, interval, labels=True)
    known = source.labels(url, folder, [interval], utc_now()).num_rows
    early = source.labels(url, folder, [interval], interval.end).num_rows
    declared = folder.spec.target.delay
    if declared > timedelta(0) and known and early > _EARLY * known:
        what = (
            f"{early:,} of {known:,} labels are known when the interval is scored, though model.yaml says "
            f"{declared} later: the known-by column lies, or labels.sql does not filter by it"
        )
        fix = "record rows when they arrive, by the database's clock, and never change them; or mend target.delay"  # noqa: E501
        found.append(CheckResult("leakage: labels", "failed", what, fix))
    return found


def _values(rows: pa.Table, folder: ModelFolder) -> CheckResult:
    suspicious = screen(rows, folder.spec)
    name = "leakage: values"
    if not suspicious:
        return CheckResult(name, "ok", "no feature alone tells the label")
    perfect = [one.sentence for one in suspicious if one.perfect]
    what = "; ".join(one.sentence for one in suspicious)
    fix = "is it known at the scoring moment? If it is the outcome itself, take it out"
    return CheckResult(name, "failed" if perfect else "warning", what, fix)


def _expectations(rows: pa.Table, folder: ModelFolder) -> CheckResult:
    report = validation.validate(rows, folder)
    validation.gate(report, folder.spec)
    return CheckResult("expectations", "ok", report.summary())


def _fit(scratch: Path, folder: ModelFolder) -> CheckResult:
    training = folder.spec.training.model_copy(update={"holdout_intervals": 1, "folds": 2})
    small = replace(folder, spec=folder.spec.model_copy(update={"training": training}))
    fitted = model.train(scratch / "rows.parquet", small, build_dir=scratch / "build")
    metrics = ", ".join(f"{name} {value:.3f}" for name, value in fitted.metrics.items() if value is not None)
    return CheckResult("fit", "ok", f"seeded, fits and can be packaged; on one interval held out: {metrics}")


def _folder_tests(folder: ModelFolder, python: str = sys.executable) -> CheckResult:
    tests = folder.path / "tests"
    if not any(tests.glob("test_*.py")):
        return CheckResult(
            "folder tests", "warning", "the folder has no tests", f"write {tests / 'test_folder.py'}"
        )
    # Deployments have no use for pytest; asked of the interpreter that would run it.
    if subprocess.run([python, "-c", "import pytest"], capture_output=True, check=False).returncode:
        what = f"pytest is not installed for {python}: the tests in {tests} were not run"
        return CheckResult("folder tests", "skipped", what, "pip install pytest, or run them where it is")
    path = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [
            python,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--import-mode=importlib",
            str(tests),
        ],
        cwd=folder.path,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = (done.stdout + done.stderr).strip().splitlines() or ["no output"]
    if done.returncode == 0:
        return CheckResult("folder tests", "ok", lines[-1])
    return CheckResult("folder tests", "failed", "\n".join(lines[-15:]), "mend what the tests say")
