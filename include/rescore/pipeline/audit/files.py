"""Compare the archive's files with the digests that the store has of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from rescore import source
from rescore.errors import DigestMismatchError, NotFoundError
from rescore.pipeline.context import Context
from rescore.progress import counted
from rescore.store import ChainHead, Finding, Verification

__all__ = ["archived_inputs", "compare_files"]


def compare_files(ctx: Context, head: ChainHead | None) -> Verification:
    """Read every frozen table and every package that the store names, and compare digests.

    Returns
    -------
    Verification
        How many files, and which are missing or hold something else.
    """
    inputs, packages = archived_inputs(ctx), ctx.store.packages.all()
    deleted = _deleted(ctx, inputs)
    inputs = {digest: about for digest, about in inputs.items() if digest not in deleted}
    withdrawn = ctx.store.deletions.of_packages(package.sha256 for package in packages)
    packages = [package for package in packages if package.sha256 not in withdrawn]
    found = [
        *_compare_inputs(ctx, inputs),
        *_replaced(ctx),
        *(
            finding
            for package in counted(packages, "packages", ctx.progress)
            for finding in _compare_package(ctx, f"{package.model} {package.version}", package.sha256)
        ),
    ]
    return Verification(head, {"frozen tables": len(inputs), "packages": len(packages)}, tuple(found))


def archived_inputs(ctx: Context) -> dict[str, str]:
    """Every frozen table that the store names, by content digest, and what it is.

    A training snapshot that lost unlabelled rows names a second table, of all rows, among its details.
    """
    named: dict[str, str] = {}
    for snapshot in ctx.store.snapshots.all():
        about = f"{snapshot.kind} snapshot of {snapshot.model} {snapshot.interval}"
        named.setdefault(snapshot.digest, about)
        if "unlabelled_digest" in snapshot.details:
            named.setdefault(snapshot.details["unlabelled_digest"], f"{about}, with rows of no label")
    return named


def _deleted(ctx: Context, inputs: Iterable[str]) -> set[str]:
    """Those that retention deleted, and that nobody has frozen again since: they may be gone."""
    frozen_at: dict[str, datetime] = {}
    for snapshot in ctx.store.snapshots.all():
        for digest in (snapshot.digest, snapshot.details.get("unlabelled_digest")):
            if digest is not None:
                frozen_at[digest] = max(snapshot.frozen_at, frozen_at.get(digest, snapshot.frozen_at))
    buried, there = ctx.store.erasures.of_frozen(), ctx.archive.inputs()
    # The file of a table that lost rows to an erasure has the digest of what remains.
    held_as = {
        digest: (buried[digest].remaining or digest) if digest in buried else digest for digest in inputs
    }
    deletions = ctx.store.deletions.of_tables({*held_as, *held_as.values()})
    return {
        digest
        for digest, name in held_as.items()
        for deletion in (deletions.get(digest), deletions.get(name))
        if name not in there and deletion is not None and deletion.at > frozen_at[digest]
    }


def _compare_inputs(ctx: Context, inputs: dict[str, str]) -> Iterator[Finding]:
    buried = ctx.store.erasures.of_frozen()
    for digest, about in counted(inputs.items(), "frozen tables", ctx.progress):
        try:
            if digest in buried and buried[digest].remaining is not None:
                remaining = str(buried[digest].remaining)
                rest = source.read_frozen(ctx.archive.get_input(remaining), remaining)
                for apart in buried[digest].differences(rest, digest):
                    yield Finding(f"what an erasure left is not there: {apart}", about, digest)
                continue
            source.read_frozen(ctx.archive.get_input(digest), digest)
        except NotFoundError:
            yield Finding("the archive has no file of it", about, digest)
        except DigestMismatchError as error:
            yield Finding("the archive's file is not what was frozen", about, digest, error.what)


def _replaced(ctx: Context) -> Iterator[Finding]:
    """Files that an erasure replaced by what remains of them, and that are there again."""
    buried = {*ctx.store.erasures.of_frozen(), *ctx.store.erasures.leftovers()}
    for digest in sorted(ctx.store.deletions.strays(ctx.archive.inputs())):
        if digest in buried:
            yield Finding("the archive has a file with erased rows again", f"frozen table {digest}")


def _compare_package(ctx: Context, about: str, sha256: str) -> Iterator[Finding]:
    try:
        ctx.archive.get_package(sha256)
    except NotFoundError:
        yield Finding("the archive has no file of it", f"package {about}", sha256)
    except DigestMismatchError as error:
        yield Finding("the archive's file is another one", f"package {about}", sha256, error.data["got"])
