"""Erase a person: rewrite frozen tables, delete scores, redact reports, and attest what was done.

Each step may be repeated. Reports lose the person's keys first, while frozen rows still say which they are.
What remains of a table is in the archive before its tombstone is written, and files with the person's rows go
last, when no frozen table is read from them any more; whoever begins again deletes what a crash left of them.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from rescore import source
from rescore.digest import TableDigest, table_digest
from rescore.errors import ParameterError, RescoreError
from rescore.interval import Interval
from rescore.leaf_rows import LEAF_ROWS
from rescore.pipeline.context import Context
from rescore.pipeline.erasure.strays import erase_strays, not_deleted, strays_with
from rescore.pipeline.erasure.subjects import (
    FrozenRows,
    Subject,
    frozen_tables,
    is_searchable,
    models_of,
    names_of_tables,
    not_asked,
    pseudonym,
    runs_of,
)
from rescore.shown_text import number_of
from rescore.store import Erasure, ScoredRun, Tombstone

__all__ = ["ErasureReport", "erase_subject", "passed_over", "survey", "without_input"]

_KEPT = "kept: the package holds no rows; training it again gives one that never saw the person"
_MAY_KEEP = "may hold them: what it was trained on can't be searched; withdraw it: its estimator stores rows"
_KEEPS_ROWS = "must be withdrawn: its estimator stores rows it was fitted on"


@dataclass(frozen=True)
class ErasureReport:
    """What was erased, or would be.

    Attributes
    ----------
    erasure_id, pseudonym : int and str, or None
        How the store names it; None of a dry run.
    frozen : dict of str to int
        For each frozen table, by digest, how many rows.
    rows : dict of str to int
        For each run how many scores and rows without one; of a dry run those of its frozen table.
    packages : dict of str to str
        Packages that were trained on the person, and what that means.
    unsearched : list of str
        Runs whose frozen rows are gone, or do not say whose they are, and whose keys don't either.
    passed_over : list of str
        Models that these columns do not ask, and frozen tables without them; with the reason.
    ended : list of str
        Runs without scores that were to make them of these rows: they end, and what they staged and set aside
        goes whole. Score their intervals again.
    strays : list of str
        Files of the archive, by digest, that no frozen table is read from and that have rows of the person:
        what killed processes left, or a backup brought back. They are deleted whole.
    legal_holds : list of str
        Holds on what would be erased; while there is one, nothing is.
    """

    erasure_id: int | None = None
    pseudonym: str | None = None
    frozen: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)
    unsearched: list[str] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    legal_holds: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """For a script and for the store."""
        return asdict(self)


def erase_subject(
    ctx: Context, values: dict[str, str], *, ground: str, who: str, dry_run: bool = False
) -> ErasureReport:
    """Erase a person from frozen tables, scores, rows without a score, and reports.

    Erase the person in the source first: a run that extracts later would freeze the rows again.

    Parameters
    ----------
    ctx : Context
        Models, store (with its owner's login), archive.
    values : dict of str to str
        Subject columns, as the models declare them, to the person's values.
    ground, who : str
        Why and by whom; kept for ever.
    dry_run : bool
        Erase nothing; say what would be.

    Returns
    -------
    ErasureReport

    Raises
    ------
    ParameterError
        No model declares these columns, or a legal hold covers what would be erased.
    KeptError
        A legal hold was placed meanwhile: what it covers stays.
    StoreUnavailableError
        Another erasure is under way; try again later.
    DigestMismatchError
        A frozen table is not what was recorded: nothing of it is erased.
    """
    subject = Subject(values)
    if dry_run:
        return survey(ctx, subject)[0]
    with ctx.store.erasures.alone():
        return _erased(ctx, subject, ground=ground, who=who)


def _erased(ctx: Context, subject: Subject, *, ground: str, who: str) -> ErasureReport:
    models = list(models_of(ctx, subject))
    found, named = survey(ctx, subject)
    if found.legal_holds:
        raise ParameterError(
            f"{number_of(len(found.legal_holds), 'legal hold covers', 'legal holds cover')} rows of "
            "this person",
            expected="no hold on what is erased",
            examples=found.legal_holds,
            fix="lift them first: `rescore retention lift ID --reason WHY`",
        )
    erasure = ctx.store.erasures.begin(pseudonym(ctx, subject), ground=ground, asked_by=who)
    # Once a table is rewritten nobody can say which keys were the person's.
    ctx.store.erasures.redact(erasure, named)
    replaced, staged_by = set[str](), set(models)
    for table in frozen_tables(ctx, models, subject):
        _note_keys(ctx, table, named)
        _erase_table(ctx, erasure, table)
        replaced.add(table.held_as)
        staged_by.update(model for model, _ in table.names)
    for digest in _lost_inputs(ctx, models, subject):
        ctx.store.erasures.end_unscored(erasure, models, digest)
    for run in without_input(ctx, models, subject):
        keys = ctx.store.erasures.keys_of(run, subject.values)
        if keys is not None:
            ctx.store.erasures.erase_rows(erasure, run, keys)
    for name in sorted(staged_by):
        ctx.store.erasures.drop_staged(name)
    ctx.store.erasures.redact(erasure, named)  # what was reported meanwhile
    _delete_replaced(ctx, replaced)
    erase_strays(ctx, erasure, subject)
    # What killed processes left while they copied frozen rows, and copies of files that others deleted.
    ctx.remove_leftovers()
    for copy in ctx.archive.outlived():
        shutil.rmtree(copy, ignore_errors=True)
    report = _report(ctx, erasure, models, subject)
    ctx.store.erasures.finish(erasure.erasure_id, report.to_dict())
    return report


def survey(ctx: Context, subject: Subject) -> tuple[ErasureReport, dict[str, set[str]]]:
    """What there is of the person now; and the values, by column, by which reports may name the person."""
    models = list(models_of(ctx, subject))
    report = ErasureReport()
    named = {column: {value} for column, value in subject.values.items()}
    held: list[tuple[str, Interval]] = []
    for table in frozen_tables(ctx, models, subject):
        _note_keys(ctx, table, named)
        report.frozen[table.digest] = len(table.places)
        held.extend(table.names)
    for run in ctx.store.runs.of_inputs(report.frozen, ctx.store.models.names()):
        if isinstance(run, ScoredRun):
            report.rows[run.run_id] = report.frozen[run.input_digest]
        else:
            report.ended.append(run.run_id)
    for run in without_input(ctx, models, subject):
        keys = ctx.store.erasures.keys_of(run, subject.values)
        if keys is None:
            report.unsearched.append(run.run_id)
        elif keys.num_rows:
            report.rows[run.run_id] = keys.num_rows
            held.append((run.model, run.interval))
            _note_values(named, keys, ctx.model(run.model).spec.source.key)
    lost = ctx.store.runs.of_inputs(_lost_inputs(ctx, models, subject), models)
    report.ended.extend(run.run_id for run in lost if not isinstance(run, ScoredRun))
    report.strays.extend(one for one in strays_with(ctx, subject) if one not in report.frozen)
    report.packages.update(_packages(ctx, models, set(report.frozen), subject))
    report.passed_over.extend(passed_over(ctx, models, subject))
    report.legal_holds.extend(
        f"hold {hold.hold_id} on {model} {interval}: {hold.reason}"
        for model, interval in dict.fromkeys(held)
        for hold in ctx.store.holds.all()
        if hold.covers(model, interval)
    )
    return report, named


def _report(ctx: Context, erasure: Erasure, models: Sequence[str], subject: Subject) -> ErasureReport:
    """What the erasure did, over all its attempts."""
    counts = ctx.store.erasures.counts(erasure)
    frozen = {digest: count for (what, digest), count in counts.items() if what == "frozen"}
    return ErasureReport(
        erasure_id=erasure.erasure_id,
        pseudonym=erasure.pseudonym,
        frozen=frozen,
        rows={run: count for (what, run), count in counts.items() if what == "scores"},
        packages=_packages(ctx, models, set(frozen), subject),
        unsearched=[
            run.run_id
            for run in without_input(ctx, models, subject)
            if ctx.store.erasures.keys_of(run, subject.values) is None
        ],
        passed_over=passed_over(ctx, models, subject),
        ended=ctx.store.erasures.ended(erasure),
        strays=ctx.store.erasures.strays(erasure),
    )


def _packages(ctx: Context, asked: Sequence[str], touched: set[str], subject: Subject) -> dict[str, str]:
    """The packages that were, or may have been, trained on the person, and what becomes of them."""
    found = {}
    buried = ctx.store.erasures.of_frozen()
    for name in ctx.models():
        packages = ctx.store.packages.of_model(name)
        withdrawn = ctx.store.deletions.of_packages(package.sha256 for package in packages)
        for package in (one for one in packages if one.sha256 not in withdrawn):
            digests, keeps_rows = package.manifest.lineage.digests, package.manifest.artifact.keeps_rows
            if touched.intersection(digests):
                found[f"{name} {package.version}"] = _KEEPS_ROWS if keeps_rows else _KEPT
            elif keeps_rows and name in asked:
                known = [is_searchable(ctx, digest, buried.get(digest), subject) for digest in digests]
                if not known or not all(known):
                    found[f"{name} {package.version}"] = _MAY_KEEP
    return found


def passed_over(ctx: Context, models: Sequence[str], subject: Subject) -> list[str]:
    """What may hold rows of the person and is not searched, with the reason; runs are named by themselves."""
    buried, there = ctx.store.erasures.of_frozen(), ctx.archive.inputs()
    tables = [
        f"frozen table {digest} of {names[0][0]} {names[0][1]}: it has no column {', '.join(subject.values)}"
        for digest, names in names_of_tables(ctx).items()
        if any(model in models for model, _ in names)
        and {digest, buried[digest].remaining if digest in buried else None} & there.keys()
        and not is_searchable(ctx, digest, buried.get(digest), subject)
    ]
    return [*not_asked(ctx, subject), *tables, *not_deleted(ctx, subject)]


def without_input(ctx: Context, models: Collection[str], subject: Subject) -> list[ScoredRun]:
    """Runs that have scores, and no frozen rows, nor what erasures left of them, that can be searched."""
    lost = _unsearchable(ctx, ctx.store.runs.inputs(models, scored=True), subject)
    return [run for run in ctx.store.runs.of_inputs(lost, models) if isinstance(run, ScoredRun)]


def _lost_inputs(ctx: Context, models: Collection[str], subject: Subject) -> set[str]:
    """Inputs that nobody can search, of runs without scores: whose rows these set aside is not known."""
    return _unsearchable(ctx, ctx.store.runs.inputs(models, scored=False), subject)


def _unsearchable(ctx: Context, digests: set[str], subject: Subject) -> set[str]:
    buried = ctx.store.erasures.of_frozen()
    return {one for one in digests if not is_searchable(ctx, one, buried.get(one), subject)}


def _note_keys(ctx: Context, table: FrozenRows, named: dict[str, set[str]]) -> None:
    rows = table.rows.take(pa.array(table.places))
    for model in {model for model, _ in table.names}.intersection(ctx.models()):
        with suppress(RescoreError):  # a folder that can't be read is named among what is passed over
            _note_values(named, rows, ctx.model(model).spec.source.key)


def _note_values(named: dict[str, set[str]], rows: pa.Table, columns: Iterable[str]) -> None:
    for name in set(columns).intersection(rows.schema.names):
        named.setdefault(name, set()).update(str(value) for value in rows[name].to_pylist())


def _erase_table(ctx: Context, erasure: Erasure, table: FrozenRows) -> None:
    """Erase it, in the archive and from what every run of any model made of it; its file stays."""
    models = ctx.store.models.names()
    kept = np.setdiff1d(np.arange(table.rows.num_rows), table.gone)
    rest = table.rows.take(pa.array(kept))
    with ctx.scratch_folder() as scratch:
        path = scratch / "rest.parquet"
        remaining = _freeze(rest, path, table)
        ctx.put_frozen(path, remaining.root)
    # Of runs whose scores retention took nobody asks below; their keys are known until here.
    gone_rows = table.rows.take(pa.array(table.gone))
    for model in dict.fromkeys(model for model, _ in table.names):
        ctx.store.erasures.forget_keys(model, gone_rows)
    before = table.tombstone
    original = table_digest(table.rows) if table.whole or before is None else before.table
    tombstone = Tombstone.of(original, rest, table.erased, remaining=remaining.root)
    searched: set[str] = set()
    # The person is found by these rows alone: no tombstone before every run of them has been searched.
    while not ctx.store.erasures.bury_frozen(
        erasure,
        table.digest,
        tombstone,
        len(table.places),
        after=before,
        models=models,
        searched=searched,
    ):
        ctx.store.erasures.end_unscored(erasure, models, table.digest)
        for run in runs_of(ctx, models, table.digest):
            ctx.store.erasures.erase_rows(erasure, run, gone_rows)
            searched.add(run.run_id)
    ctx.progress(f"{table.model} {table.interval}: {number_of(len(table.places), 'row')} erased")


def _delete_replaced(ctx: Context, replaced: set[str]) -> None:
    """Delete the files that tombstones replaced; one that another frozen table is read from stays."""
    buried, frozen = ctx.store.erasures.of_frozen(), set(names_of_tables(ctx))
    # A leftover that is a frozen table, too, may have been frozen anew; else it is found by its rows, as any.
    unneeded = replaced | (ctx.store.erasures.leftovers() - frozen)
    for digest in unneeded - (frozen - set(buried)) - {str(one.remaining) for one in buried.values()}:
        ctx.archive.delete_input(digest)


def _freeze(rest: pa.Table, path: Path, table: FrozenRows) -> TableDigest:
    with source.Freezer(path, rest.schema, where=f"rest of {table.digest}") as freezer:
        for batch in rest.combine_chunks().to_batches(max_chunksize=LEAF_ROWS):
            freezer.write(batch)
        return freezer.keep()
