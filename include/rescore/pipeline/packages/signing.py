"""Sign packages, verify them, and stop at one whose signature is required and does not hold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from rescore import model
from rescore.errors import NotFoundError, SignatureError, StoreError
from rescore.pipeline.context import Context
from rescore.store import Package

__all__ = ["refuse_unsigned", "sign_package", "verify_package"]


def sign_package(
    ctx: Context,
    model_name: str,
    reference: str | None = None,
    *,
    key: Path,
    who: str,
    password: str | None = None,
) -> Package:
    """Sign a package's file with a local key and keep the signature in the store.

    Parameters
    ----------
    ctx : Context
        Store and archive.
    model_name : str
        The model.
    reference : str, optional
        The package's version or sha256; default: the newest.
    key : Path
        A private key in PEM; it is read here and kept nowhere.
    who : str
        Stored for ever.
    password : str, optional
        The key's, if it is encrypted.

    Returns
    -------
    Package
        What was signed.

    Raises
    ------
    StoreError
        It is not said who signs.
    SignatureError
        The library is not installed, or the key can't be used.
    DigestMismatchError
        The file is not what was registered.
    """
    if not who.strip():
        raise StoreError(
            f"it is not said who signs {model_name} {reference or ''}",
            expected="a name",
            fix="give it; it is kept with the signature",
        )
    package = _named(ctx, model_name, reference)
    path = _file(ctx, package)
    ctx.store.signatures.add(
        model_name, package.sha256, model.sign_file(path, key, password=password), who=who
    )
    return package


def verify_package(
    ctx: Context,
    model_name: str,
    reference: str | None = None,
    *,
    public_key: Path | None = None,
    save: Path | None = None,
) -> dict[str, Any]:
    """Verify that a package's file was signed by the owner of a key.

    A package may have several signatures (of several keys); one that holds is enough.

    Parameters
    ----------
    ctx : Context
        Store and archive.
    model_name : str
        The model.
    reference : str, optional
        The package's version or sha256; default: the newest.
    public_key : Path, optional
        Default: ``RESCORE_SIGNING_PUBLIC_KEY``.
    save : Path, optional
        A folder for the file and its signature ``<file>.sig``: what somebody without the platform needs.

    Returns
    -------
    dict
        ``model``, ``version``, ``sha256``, ``signed_by``, ``signed_at`` and the ``public_key``'s path.

    Raises
    ------
    SignatureError
        There is no key to verify with, no signature, none that holds, or no library.
    DigestMismatchError
        The file is not what was registered.
    """
    package = _named(ctx, model_name, reference)
    where = f"{model_name} {package.version}, {package.sha256}"
    public_key = public_key or ctx.settings.signing_public_key
    if public_key is None:
        raise SignatureError(
            f"there is no public key to verify {model_name} {package.version} with",
            where="environment variable RESCORE_SIGNING_PUBLIC_KEY",
            expected="the path of a public key in PEM",
            fix="set it where packages are pinned and scored",
        )
    signatures = ctx.store.signatures.of_package(model_name, package.sha256)
    if not signatures:
        raise SignatureError(
            f"{model_name} {package.version} is not signed",
            where=where,
            expected=f"a signature by the owner of {public_key}",
            fix=f"`rescore packages sign {model_name} --version {package.version} --key FILE`",
        )
    path = _file(ctx, package)
    refused: list[SignatureError] = []
    for one in signatures:
        try:
            model.verify_file(path, one.bundle, public_key)
        except SignatureError as error:
            refused.append(error)
            continue
        if save is not None:
            save.mkdir(parents=True, exist_ok=True)
            name = f"{model_name}-{package.version}-py3-none-any.whl"
            shutil.copyfile(path, save / name)
            (save / f"{name}.sig").write_text(json.dumps(one.bundle), encoding="utf-8")
        return {
            "model": model_name,
            "version": package.version,
            "sha256": package.sha256,
            "signed_by": one.who,
            "signed_at": one.signed_at,
            "public_key": str(public_key),
        }
    first = refused[0]
    raise SignatureError(
        f"no signature of {model_name} {package.version} holds: {first.what}",
        where=where,
        expected=first.expected,
        fix=first.fix,
        examples=[f"by {one.who}: {error.what}" for one, error in zip(signatures, refused, strict=True)],
    ) from first


def refuse_unsigned(ctx: Context, model_name: str, reference: str) -> None:
    """Stop where the model requires a signature and the package has none that holds.

    Raises
    ------
    SignatureError
        See :func:`verify_package`.
    """
    if ctx.model(model_name).spec.promotion.signature == "required":
        verify_package(ctx, model_name, reference)


def _named(ctx: Context, model_name: str, reference: str | None) -> Package:
    if reference is not None:
        return ctx.store.packages.find(model_name, reference)
    known = ctx.store.packages.of_model(model_name)
    if not known:
        raise NotFoundError(
            f"{model_name} has no package",
            expected="a package that was trained or adopted",
            fix=f"`rescore train {model_name}`",
        )
    return known[-1]


def _file(ctx: Context, package: Package) -> Path:
    return ctx.archive.get_package(package.sha256)
