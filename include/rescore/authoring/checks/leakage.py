"""What the features know of the future: reads past ``:as_of``, labels known too early, rewritten rows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rescore import source
from rescore.authoring.checks.result import CheckResult
from rescore.authoring.label_screening import screen
from rescore.folder import ModelFolder
from rescore.interval import Interval
from rescore.pipeline import Context, rewritten, utc_now
from rescore.shown_text import number_of
from rescore.spec_values import duration_text

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["check_extract", "check_labels", "check_rewritten", "check_values"]

#: Rows of this share of the declared delay are young: nobody can know their labels yet.
_YOUNG = 0.1


def check_extract(url: str, folder: ModelFolder, interval: Interval) -> list[CheckResult]:
    """Whether ``extract.sql`` reads only what was known when the interval is scored."""
    return _read_past(url, folder, interval, labels=False)


def check_labels(url: str, folder: ModelFolder, interval: Interval, rows: pa.Table) -> list[CheckResult]:
    """Whether ``labels.sql`` reads only what was known, and no label is known when its row is young.

    Parameters
    ----------
    url : str
        The source.
    folder : ModelFolder
        The model.
    interval : Interval
        What is looked at.
    rows : pyarrow.Table
        The interval's rows, as ``extract.sql`` gives them.
    """
    results = _read_past(url, folder, interval, labels=True)
    if folder.spec.source.known_by.reproducible_from_source and folder.spec.target.delay > timedelta(0):
        results += _known_too_early(url, folder, interval, rows)
    return results


def check_values(rows: pa.Table, folder: ModelFolder) -> CheckResult:
    """Whether a feature alone tells the label of nearly every training row."""
    name = "leakage: values"
    suspicious = screen(rows, folder.spec)
    if not suspicious:
        return CheckResult(name, "ok", "no feature alone tells the label")
    what = "; ".join(suspicion.sentence for suspicion in suspicious)
    fix = "is it known at the scoring moment? If it is the outcome itself, take it out"
    perfect = any(suspicion.perfect for suspicion in suspicious)
    return CheckResult(name, "failed" if perfect else "warning", what, fix)


def check_rewritten(ctx: Context, folder: ModelFolder) -> CheckResult:
    """Past frozen rows against what the source says of them today."""
    name = "rows rewritten"
    found = rewritten(ctx, folder.name)
    more = f"; {found.left_out}" if found.left_out else ""
    if not found.changed:
        return CheckResult(name, "ok", f"the source still gives the rows that past runs froze{more}")
    run, late = found.changed[-1]
    what = (
        f"{len(found.changed)} of the last runs froze other rows than the source gives today; that of "
        f"{run.interval}: {late.changed:,} changed in {', '.join(late.changed_columns) or 'no column'}, "
        f"{late.added:,} more, {late.removed:,} fewer ({'; '.join(late.examples)}){more}"
    )
    if folder.spec.source.known_by.reproducible_from_source:
        fix = "rows are changed in place or recorded late: the known-by column does not say when a row was known"  # noqa: E501
        return CheckResult(name, "failed", what, fix)
    return CheckResult(name, "warning", what, "as known_by: none expects; training uses the frozen rows")


def _read_past(url: str, folder: ModelFolder, interval: Interval, *, labels: bool) -> list[CheckResult]:
    name = "leakage: labels" if labels else "leakage: extract"
    file = "labels.sql" if labels else "extract.sql"
    known_by = folder.spec.source.known_by
    as_of = interval.end + folder.spec.target.delay if labels else interval.end
    if not known_by.reproducible_from_source:
        what = f"{file} can't be compared with what was known (known_by: none)"
        turned = source.turned_round(url, folder, interval, as_of, labels=labels)
        return [CheckResult(name, "warning", what), *_of_order(turned, file)]
    leak = source.read_past_filter(url, folder, interval, as_of, labels=labels)
    warnings = [CheckResult(name, "warning", what, fix) for what, fix in _doubts(leak, file, as_of)]
    warnings += _of_order(leak.turned, file)
    if leak.none:
        unseen = "; not seen: whether that column is true (track_commit_timestamp is off)"
        what = (
            f"{file} reads only what was known by {as_of.isoformat()} "
            f"({', '.join(leak.filtered) or 'no table'}){'' if leak.commits_known else unseen}"
        )
        return [*warnings, CheckResult(name, "ok", what)]
    what = (
        f"{file} reads what was not known by {as_of.isoformat()}: of {number_of(leak.rows, 'row')} "
        f"{leak.changed:,} "
        f"would have other values in {', '.join(leak.columns) or 'no column'}, {leak.only_seen:,} would not "
        f"be there, {leak.only_known:,} more would"
    )
    column = known_by.column or " and ".join(known_by.valid_range or ())
    fix = f"filter every table in {file} by {column} and :as_of"
    return [*warnings, CheckResult(name, "failed", what, fix)]


def _of_order(turned: source.Difference | None, file: str) -> list[CheckResult]:
    """Whether the order in which rows happen to lie counts, where it can."""
    name = f"order of rows: {file}"
    if turned is None:
        return []
    if turned.none:
        what = f"{file} gives the same rows when its tables' rows lie the other way round"
        if not turned.too_large:
            return [CheckResult(name, "ok", what)]
        tables = ", ".join(turned.too_large)
        what += f"; not tried: {tables}, which its functions read, too large to be copied"
        return [CheckResult(name, "warning", what, "let ORDER BY in those functions tell all rows apart")]
    columns = ", ".join(turned.columns) or "no column"
    if turned.only_rounding:
        what = (
            f"{file} gives other last digits of {columns} in {turned.changed:,} of "
            f"{number_of(turned.rows, 'row')} when "
            "its tables' rows lie the other way round: sums of float8 are rounded in the order of their rows"
        )
        fix = "sum exactly: sum(x::numeric)::float8; or write the order into the call: avg(x ORDER BY x)"
        return [CheckResult(name, "warning", what, fix)]
    what = (
        f"{file} gives other rows when its tables' rows lie the other way round: of "
        f"{number_of(turned.rows, 'row')} "
        f"{turned.changed:,} have other values in {columns}, {turned.only_left:,} are not there, "
        f"{turned.only_right:,} more are"
    )
    fix = (
        "break ties: end each ORDER BY (of LIMIT, DISTINCT ON, a window, an aggregate) with columns that "
        "tell its rows apart"
    )
    return [CheckResult(name, "failed", what, fix)]


def _doubts(leak: source.Leak, file: str, as_of: datetime) -> list[tuple[str, str]]:
    """What can't be decided from here, each with what to do."""
    doubts = []
    if leak.unfiltered:
        what = f"{', '.join(leak.unfiltered)} has no known-by column: what it says may change unnoticed"
        doubts.append((what, "version it, or copy what is needed into the event's row"))
    if leak.later_moments:
        what = f"recorded before it happened: {', '.join(leak.later_moments)}"
        fix = (
            "a plan may name a moment to come; if this is an outcome, its recorded_at lies; if it is the "
            "event itself, its clock is ahead: is a local time stored as UTC?"
        )
        doubts.append((what, fix))
    if leak.functions:
        what = f"{file} calls {', '.join(leak.functions)}: what tables a function reads is not seen here"
        fix = "write the reads into the SELECT, or declare the function IMMUTABLE if it reads none"
        doubts.append((what, fix))
    if leak.committed_later:
        what = (
            f"known by {as_of.isoformat()} by its own account, committed later: "
            f"{', '.join(leak.committed_later)}"
        )
        fix = (
            "a history loaded at once is no lie; else rows come late or are changed in place, "
            "and the known-by column lies"
        )
        doubts.append((what, fix))
    return doubts


def _known_too_early(url: str, folder: ModelFolder, interval: Interval, rows: pa.Table) -> list[CheckResult]:
    """Labels that are known as soon as their row is, though a delay is declared.

    Looked at from the interval's last event: an interval longer than the delay has many labels by its
    end, which is as it should be; a row that is minutes old has none.
    """
    spec = folder.spec
    events = dict(
        zip(_keys(rows, spec.source.key), rows.column(spec.source.event_time).to_pylist(), strict=True)
    )
    if not events:
        return []
    latest = max(events.values())
    young = {key for key, moment in events.items() if latest - moment <= _YOUNG * spec.target.delay}
    late = set(_keys(source.labels(url, folder, [interval], utc_now()), spec.source.key)) & young
    early = set(_keys(source.labels(url, folder, [interval], latest), spec.source.key)) & young
    if not late or early < late:
        return []
    what = (
        f"all {number_of(len(late), 'label')} of the interval's last rows are known by "
        f"{latest.isoformat()}, when those "
        f"happened, though model.yaml says {duration_text(spec.target.delay)} later: the known-by column "
        "lies, or labels.sql does not filter by it"
    )
    fix = (
        "record rows when they arrive, by the database's clock, and never change them; "
        "or correct target.delay"
    )
    return [CheckResult("leakage: labels", "failed", what, fix)]


def _keys(table: pa.Table, key: list[str]) -> list[tuple[object, ...]]:
    return list(zip(*(table.column(name).to_pylist() for name in key), strict=True))
