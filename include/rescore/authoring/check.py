"""``rescore check``: does a model folder hold, from its SQL to what its features know of the future?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from rescore import source
from rescore.authoring.checks.declaration import check_declaration, run_folder_tests
from rescore.authoring.checks.event_times import check_event_times, check_late, check_untimed
from rescore.authoring.checks.leakage import check_extract, check_labels, check_rewritten, check_values
from rescore.authoring.checks.result import CheckResult
from rescore.authoring.checks.training import (
    check_expectations,
    check_fit,
    check_training_rows,
    fit_not_tried,
    fit_without_values,
    no_label_due,
    sample_window,
)
from rescore.digest import table_digest
from rescore.errors import EmptyIntervalError, IntervalError, RescoreError
from rescore.folder import ModelFolder
from rescore.interval import Interval
from rescore.pipeline import Context, features_without_value, utc_now
from rescore.progress import Progress
from rescore.shown_text import number_of

__all__ = ["check_model"]

_MAX_ROWS = 100_000
T = TypeVar("T")


class _Checks:
    """The results so far; what a check raises is a failed check, and the next one runs."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.results: list[CheckResult] = []

    def value(self, name: str, step: Callable[[], tuple[list[CheckResult], T]]) -> T | None:
        """Run a check whose finding later checks use; None if it failed."""
        self._progress(f"checking {name}")
        try:
            results, found = step()
        except RescoreError as error:
            self.results.append(CheckResult(name, "failed", error.without_fix, error.fix or ""))
            return None
        self.results += results
        return None if any(result.status == "failed" for result in results) else found

    def run(self, name: str, step: Callable[[], list[CheckResult] | CheckResult]) -> None:
        """Run a check for its results alone."""

        def listed() -> tuple[list[CheckResult], None]:
            results = step()
            return (results if isinstance(results, list) else [results]), None

        self.value(name, listed)


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
    checks = _Checks(ctx.progress)
    folder = checks.value("declaration", lambda: _read(ctx, model_name))
    if folder is None:
        return checks.results
    url = ctx.source_url(folder)
    extracted = checks.value("extract", lambda: _extract_twice(url, folder, interval))
    if extracted is None:
        return checks.results
    chosen, rows = extracted
    checks.run("folder tests", lambda: run_folder_tests(folder))
    checks.run("event times", lambda: check_event_times(rows, folder))
    checks.run("rows without a moment", lambda: check_untimed(url, folder, chosen))
    checks.run(
        "rows that come late", lambda: check_late(url, folder, chosen, rows, whole=rows.num_rows < _MAX_ROWS)
    )
    checks.run("rows rewritten", lambda: check_rewritten(ctx, folder))
    checks.run("leakage: extract", lambda: check_extract(url, folder, chosen))
    checks.run("leakage: labels", lambda: check_labels(url, folder, chosen, rows))
    with ctx.scratch_folder() as scratch:
        _try_training(checks, url, folder, chosen, ctx, scratch)
    return checks.results


def _read(ctx: Context, model_name: str) -> tuple[list[CheckResult], ModelFolder]:
    folder = ctx.model(model_name)
    return check_declaration(folder), folder


def _extract_twice(
    url: str, folder: ModelFolder, interval: Interval | None
) -> tuple[list[CheckResult], tuple[Interval, pa.Table]]:
    chosen = interval or _last_interval(url, folder)
    rows, again = (source.probe(url, folder, chosen, chosen.end, limit=_MAX_ROWS) for _ in range(2))
    if rows.num_rows == 0:
        raise EmptyIntervalError(f"{folder.name} has no row in {chosen}", fix="name a --day that has rows")
    result = CheckResult(
        "extract", "ok", f"{number_of(rows.num_rows, 'row')} of {chosen}, as declared, twice the same"
    )
    if table_digest(rows).root != table_digest(again).root:
        result = CheckResult(
            "extract",
            "failed",
            "extract.sql gave other rows the second time",
            "where it numbers, limits or picks rows (LIMIT, DISTINCT ON, row_number), order by the whole key",
        )
    return [result], (chosen, rows)


def _try_training(
    checks: _Checks, url: str, folder: ModelFolder, interval: Interval, ctx: Context, scratch: Path
) -> None:
    sampled = checks.value("labels", lambda: ([], sample_window(url, folder, interval)))
    if sampled is None:
        return
    window, can_fit = sampled
    if not window:
        checks.run("training rows", lambda: no_label_due(folder, interval))
        return
    sample = checks.value("training rows", lambda: check_training_rows(url, folder, window, scratch))
    if sample is None:
        return
    kept = checks.value("expectations", lambda: check_expectations(sample, folder, scratch, ctx.suites))
    if kept is None:
        return
    checks.run("leakage: values", lambda: check_values(kept.table, folder))
    if empty := features_without_value(kept.table, folder):
        checks.run("fit", lambda: fit_without_values(empty, window))
    elif can_fit:
        checks.run("fit", lambda: check_fit(kept, folder, scratch, ctx.progress))
    else:
        checks.run("fit", lambda: fit_not_tried(folder, interval))


def _last_interval(url: str, folder: ModelFolder) -> Interval:
    schedule = folder.spec.schedule.schedule()
    ended = schedule.last_intervals(utc_now(), 1)
    first = schedule.first_interval()
    if not ended:
        due = f"; the first is due at {first.end.isoformat()}" if first else ""
        raise IntervalError(
            f"no run of {folder.name} is due yet{due}",
            where=str(folder.path / "model.yaml"),
            expected="an interval that has ended, to look at its rows",
            fix="let schedule.start be a day from which the table has rows, or check again then",
        )
    [last] = ended
    if source.probe(url, folder, last, last.end, limit=1).num_rows:
        return last
    latest = source.last_event(url, folder, Interval((first or last).start, last.end))
    if latest is None:
        return last
    start = schedule.floor(latest)
    return Interval(start, schedule.next_boundary(start))
