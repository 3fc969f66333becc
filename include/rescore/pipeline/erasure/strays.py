"""Files of the archive that no frozen table is read from, and a person's rows in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq

from rescore.errors import DigestMismatchError, NotFoundError
from rescore.pipeline.context import Context
from rescore.pipeline.erasure.subjects import Subject, names_of_tables
from rescore.progress import counted
from rescore.store import Erasure

#: What reading a file raises whose bytes are not what they were.
_DAMAGED = (DigestMismatchError, pa.ArrowException)
__all__ = ["erase_strays", "not_deleted", "strays_with"]


def strays_with(ctx: Context, subject: Subject) -> list[str]:
    """Strays, by digest, that have rows of the person."""
    return [*_with_rows_of(ctx, subject, ctx.store.deletions.strays(ctx.archive.inputs()))]


def erase_strays(ctx: Context, erasure: Erasure, subject: Subject) -> None:
    """Delete each stray with rows of the person, whole, and note it.

    Raises
    ------
    KeptError
        A legal hold covers one.
    """
    for digest in strays_with(ctx, subject):
        ctx.store.erasures.delete_stray(
            erasure,
            digest,
            size=ctx.archive.input_size(digest),
            delete=lambda digest=digest: ctx.archive.delete_input(digest),  # type: ignore[misc]
        )
        ctx.progress(f"{digest}: a file of no table, deleted")


def not_deleted(ctx: Context, subject: Subject) -> list[str]:
    """Files that hold or may hold rows of the person but are not ours to delete, each with the reason."""
    there, begun = ctx.archive.inputs(), ctx.store.snapshots.begun()
    buried = ctx.store.erasures.of_frozen()
    known = {*names_of_tables(ctx), *(str(one.remaining) for one in buried.values()), *begun}
    known |= ctx.store.erasures.leftovers()
    strays = ctx.store.deletions.strays(there)
    return [
        *(
            f"frozen table {digest}: it is being frozen, or whoever did so was killed before its file was "
            "there; erase again once its run has ended"
            for digest in sorted(begun - there.keys())
        ),
        *(
            f"stray file {digest}: it has no column {', '.join(subject.values)}"
            for digest in sorted(strays)
            if not _asked(ctx, subject, digest)
        ),
        *(
            f"file {digest}: it is damaged and was not searched; no frozen table is read from it, so it can "
            "be deleted"
            for digest in sorted({*strays, *(there.keys() - known)})
            if _is_damaged(ctx, digest)
        ),
        *(
            f"file {digest}: it has rows of the person and nothing in this store names it; delete it, "
            "unless another store uses this archive"
            for digest in _with_rows_of(ctx, subject, there.keys() - known)
        ),
    ]


def _with_rows_of(ctx: Context, subject: Subject, digests: Iterable[str]) -> Iterator[str]:
    for digest in counted(sorted(digests), "files of no table searched", ctx.progress):
        with suppress(NotFoundError, *_DAMAGED):  # gone meanwhile, or named as not searched
            path, columns = ctx.archive.get_input(digest), [*subject.values]
            if _asked(ctx, subject, digest) and subject.mask(pq.read_table(path, columns=columns)).any():
                yield digest


def _asked(ctx: Context, subject: Subject, digest: str) -> bool:
    try:
        return set(subject.values) <= set(pq.read_schema(ctx.archive.get_input(digest)).names)
    except (NotFoundError, *_DAMAGED):
        return True


def _is_damaged(ctx: Context, digest: str) -> bool:
    try:
        pq.read_schema(ctx.archive.get_input(digest))
    except NotFoundError:
        return False
    except _DAMAGED:
        return True
    return False
