"""Verify the history, and keep its head outside."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rescore import model
from rescore.disk import disk_errors, scratch_folder
from rescore.errors import DocumentError, NotFoundError, ParameterError, SettingsError, SignatureError
from rescore.pipeline.audit.files import compare_files
from rescore.pipeline.context import Context
from rescore.store import Anchor, Anchors, ChainHead, Finding, Verification

__all__ = ["anchor_head", "read_head", "save_head", "verify_history"]


def verify_history(
    ctx: Context,
    heads: Sequence[str] = (),
    *,
    scores: bool = False,
    files: bool = False,
    public_key: Path | None = None,
) -> Verification:
    """Walk the chain, compare the tables with it, and it with every head that was kept outside.

    Parameters
    ----------
    ctx : Context
        Store, archive, and the anchors that are configured.
    heads : sequence of str
        Kept heads: as printed (``12:sha256:…``), or the path of a saved one.
    scores, files : bool
        Whether stored scores, and the archive's files, are read and compared with their digests.
    public_key : Path, optional
        Whose signature a saved head must have. Default: ``RESCORE_SIGNING_PUBLIC_KEY``; without either,
        signatures are not looked at.

    Returns
    -------
    Verification
        What was looked at, and what is not as it was recorded.

    Raises
    ------
    SignatureError
        A saved head is not signed, or its signature does not hold.
    ParameterError, DocumentError
        What is given is no head.
    """
    key = public_key or ctx.settings.signing_public_key
    kept = [read_head(head, public_key=key) for head in heads]
    torn = []
    for anchor in [] if ctx.settings.anchors is None else Anchors(ctx.settings.anchors).kept():
        try:
            kept.append(_trusted(anchor, key))
        except DocumentError as error:  # what the others prove is asked all the same
            torn.append(Finding("the kept head can't be read", f"anchor {anchor.name}", got=str(error)))
    done = ctx.store.chain.verify(kept, scores=scores, progress=ctx.progress)
    done += Verification(done.head, {"kept heads": len(kept)}, tuple(torn))
    return done + compare_files(ctx, done.head) if files else done


def read_head(head: str, *, public_key: Path | None = None) -> ChainHead:
    """A head as it was printed, or from the file that it was saved in.

    Raises
    ------
    SignatureError
        A key is given, and the saved head has no signature beside it that holds.
    ParameterError, DocumentError
        It is neither.
    """
    if ":" in head and not Path(head).is_file():
        return ChainHead.parse(head)
    path = Path(head)
    signature = path.with_name(f"{path.name}.sig")
    try:
        content = path.read_bytes()
        bundle = json.loads(signature.read_text(encoding="utf-8")) if signature.is_file() else None
    except (OSError, ValueError) as error:
        raise ParameterError(
            f"the head {head!r} can't be read: {error}",
            expected="12:sha256:…, or a file that `rescore audit head --save FILE` wrote",
        ) from error
    return _trusted(Anchor(path.name, content, bundle), public_key)


def save_head(
    ctx: Context, path: Path | None, *, key: Path | None = None, password: str | None = None
) -> ChainHead:
    """The chain's head; written into a file, if one is given, and signed beside it with a private key.

    Raises
    ------
    NotFoundError
        Nothing has happened yet.
    SignatureError
        The key can't be used.
    """
    head = _head(ctx)
    if path is None:
        return head
    with disk_errors([path.parent]):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_content(head))
        if key is not None:
            bundle = model.sign_file(path, key, password=password)
            path.with_name(f"{path.name}.sig").write_text(json.dumps(bundle), encoding="utf-8")
    return head


def anchor_head(ctx: Context) -> str:
    """Keep the chain's head where ``RESCORE_ANCHORS`` says, signed if ``RESCORE_SIGNING_KEY`` is set.

    Returns
    -------
    str
        The URI of its file.

    Raises
    ------
    SettingsError
        No such place is configured.
    NotFoundError
        Nothing has happened yet.
    StoreError
        Another head of the same number is kept there.
    """
    if ctx.settings.anchors is None:
        raise SettingsError(
            "no place outside of the store is configured for heads of its history",
            where="environment variable RESCORE_ANCHORS",
            expected="a folder or bucket that the store's owner can't change",
            fix="set it, or keep what `rescore audit head` prints in a ticket or a commit",
        )
    head = _head(ctx)
    bundle = None
    if ctx.settings.signing_key is not None:
        with ctx.scratch_folder() as scratch:
            path = scratch / f"{head.number:012d}.json"
            path.write_bytes(_content(head))
            bundle = model.sign_file(path, ctx.settings.signing_key)
    return Anchors(ctx.settings.anchors).put(head, _content(head), bundle)


def _head(ctx: Context) -> ChainHead:
    head = ctx.store.chain.head()
    if head is None:
        raise NotFoundError(
            "the history is empty: nothing was trained, pinned, scored or published yet",
            where=ctx.store.database.where,
            fix="train or adopt a package first",
        )
    return head


def _content(head: ChainHead) -> bytes:
    return (json.dumps(head.to_dict(), indent=1) + "\n").encode()


def _trusted(anchor: Anchor, public_key: Path | None) -> ChainHead:
    """The head in a file, whose signature holds if there is a key to verify it with."""
    try:
        head = anchor.head
    except ValueError as error:
        raise DocumentError(
            f"{anchor.name} is no head of a chain: {error}",
            expected="a file that `rescore audit head --save FILE` or `rescore audit anchor` wrote",
        ) from error
    if public_key is None:
        return head
    if anchor.signature is None:
        raise SignatureError(
            f"the head {anchor.name} is not signed",
            expected=f"a signature {anchor.name}.sig by the owner of {public_key}",
            fix="`rescore audit head --save FILE --sign KEY`, or RESCORE_SIGNING_KEY for anchors",
        )
    with scratch_folder() as scratch:
        path = scratch / anchor.name
        path.write_bytes(anchor.content)
        model.verify_file(path, anchor.signature, public_key)
    return head
