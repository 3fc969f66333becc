"""Delete what is due, one thing after the other; whoever begins again goes on where a crash stopped.

A run's rows go in one transaction with the row that says so. A table's row is written first, which refuses
what was held or used since it was found due; then its files go, and the transaction commits: after a crash in
between, the next sweep finds it due, gone and not yet noted, and notes it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rescore import model
from rescore.disk import ABANDONED_SECONDS
from rescore.errors import KeptError, NotFoundError, StoreUnavailableError
from rescore.pipeline.context import Context, utc_now
from rescore.pipeline.retention.rules import Due, due
from rescore.pipeline.retention.what_is_needed import may_score, read_facts

__all__ = ["Swept", "sweep"]

_EMPTIED = "no score is left in it"
_STRAY = "no frozen table is read from it"
_UNUSED = "nobody can score with a package that needs it"
#: The name of a folder while it is removed.
_ASIDE = ".{}.deleted"


@dataclass(frozen=True)
class Swept:
    """One thing that was deleted, or would be: how many rows and bytes, and by which rule."""

    model: str | None
    what: str
    subject: str
    interval: str | None
    rows: int | None
    bytes: int | None
    rule: str

    def to_dict(self) -> dict[str, Any]:
        """For a script."""
        return asdict(self)


def sweep(ctx: Context, *, who: str, dry_run: bool = False, now: datetime | None = None) -> list[Swept]:
    """Delete what the models' ``retention`` declares, and note each deletion.

    Kept, whatever its age: what a current publication shows, the training rows of the pinned package and of
    packages made after it, what an open comparison was measured on, inputs of runs that are under way,
    held or wait for labels, inputs that the next training reads, and what a legal hold covers. Of models
    without a folder, or whose folder can't be read, nothing is deleted.

    Parameters
    ----------
    ctx : Context
        Models, store, archive.
    who : str
        Noted with each deletion.
    dry_run : bool
        Delete nothing; say what would be.
    now : datetime, optional
        Default: the clock's.

    Returns
    -------
    list of Swept
    """
    now = now or utc_now()
    done = []
    for name, error in sorted(ctx.folders().broken.items()):
        ctx.progress(f"{name}: all of it is kept, its folder can't be read: {error.what}")
    if not dry_run:
        _remove_leftovers(ctx)
    for one in due(read_facts(ctx, now), now):
        try:
            done.append(_shown(ctx, one) if dry_run else _delete(ctx, one, who))
        except KeptError as kept:
            ctx.progress(f"{one.model}: kept since: {kept.what}")
        else:
            ctx.progress(f"{one.model}: {one.what} {one.subject}, {one.rule}")
    if not dry_run:
        done += _tend_partitions(ctx)
    done += _delete_strays(ctx, now, who=who, dry_run=dry_run)
    done += [_delete_folder(ctx, *folder, who=who, dry_run=dry_run) for folder in _unused(ctx)]
    return done


def _shown(ctx: Context, one: Due) -> Swept:
    size = None
    if one.what in ("frozen input", "training snapshot"):
        size = ctx.archive.input_size(one.subject)
    return Swept(one.model, one.what, one.subject, str(one.interval), one.rows, size, one.rule)


def _delete(ctx: Context, one: Due, who: str) -> Swept:
    size = None
    if one.what in ("frozen input", "training snapshot"):
        rows, size = one.rows, ctx.archive.input_size(one.subject)
        ctx.store.deletions.delete_table(
            model=one.model,
            what=one.what,
            digest=one.subject,
            rule=one.rule,
            done_by=who,
            last_used=one.last_used,
            delete=lambda: ctx.archive.delete_input(one.subject),
            rows=rows,
            size=size,
        )
    else:
        last_progress = one.last_used if one.what == "staged rows" else None
        rows = ctx.store.deletions.delete_rows(
            one.subject, rule=one.rule, done_by=who, last_progress=last_progress
        )
    return Swept(one.model, one.what, one.subject, str(one.interval), rows, size, one.rule)


def _tend_partitions(ctx: Context) -> Iterator[Swept]:
    """Partitions of scores from which all rows have gone; those that will be needed are made ahead."""
    for name in sorted(ctx.folders().read.keys() & set(ctx.store.models.names())):
        try:
            dropped = ctx.store.deletions.tend_partitions(name)
        except StoreUnavailableError as busy:
            ctx.progress(f"{name}: partitions of its scores stay as they are: {busy.what}")
            continue
        for partition in dropped:
            yield Swept(name, "partition", partition, None, 0, None, _EMPTIED)


def _delete_strays(ctx: Context, now: datetime, *, who: str, dry_run: bool) -> Iterator[Swept]:
    """Files that no frozen table is read from, a day after they were put there or replaced."""
    begun = ctx.store.snapshots.begun()  # of which there may be no file
    strays = ctx.store.deletions.strays({*ctx.archive.inputs(), *begun})
    for digest, since in sorted(strays.items()):
        if (now - since).total_seconds() < ABANDONED_SECONDS:
            continue
        size = ctx.archive.input_size(digest)
        try:
            if not dry_run:
                ctx.store.deletions.delete_stray(
                    digest,
                    since=since,
                    rule=_STRAY,
                    done_by=who,
                    size=size,
                    delete=lambda digest=digest: ctx.archive.delete_input(digest),  # type: ignore[misc]
                )
        except KeptError as kept:
            ctx.progress(f"kept: {kept.what}")
        else:
            yield Swept(None, "stray file", digest, None, None, size, _STRAY)


def _unused(ctx: Context) -> Iterator[tuple[str, Path, str]]:
    """Folders on this machine that nothing needs: copies of deleted tables, environments of packages."""
    for folder in ctx.archive.outlived():
        yield "cached file", folder, "a copy of what the archive no longer has"
    if not ctx.environments.is_dir():
        return
    used = set(_used_environments(ctx))
    for folder in sorted(ctx.environments.iterdir()):
        if re.fullmatch(r"[0-9a-f]{64}", folder.name) and folder not in used:
            yield "environment", folder, _UNUSED


def _used_environments(ctx: Context) -> Iterator[Path]:
    """Those of packages that score, may still be pinned, or can score a past run again."""
    models = ctx.folders().read
    used = ctx.store.runs.packages_of_inputs(ctx.archive.inputs())
    used |= {package.sha256 for folder in models.values() for package in may_score(ctx, folder.spec)}
    for package in ctx.store.packages.all():
        if package.model not in models or package.sha256 in used:
            with suppress(NotFoundError):  # without its file nobody can score with it
                yield model.environment_of(ctx.archive.get_package(package.sha256), ctx.environments)


def _delete_folder(ctx: Context, what: str, folder: Path, rule: str, *, who: str, dry_run: bool) -> Swept:
    size = sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir())
    if not dry_run:
        ctx.store.deletions.delete_folder(
            model=None,
            what="environment" if what == "environment" else "cached file",
            subject=str(folder),
            rule=rule,
            done_by=who,
            delete=lambda: _remove(folder),
            size=size,
        )
    return Swept(None, what, str(folder), None, None, size, rule)


def _remove_leftovers(ctx: Context) -> None:
    """What processes that were killed left in the middle of writing or removing something."""
    ctx.remove_leftovers()
    for aside in ctx.environments.glob(_ASIDE.format("*")):
        shutil.rmtree(aside, ignore_errors=True)


def _remove(folder: Path) -> None:
    # Renamed first: whoever looks for it finds it whole or not at all.
    aside = folder.with_name(_ASIDE.format(folder.name))
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    shutil.rmtree(aside)
