"""Signing a package's file with a local key, and verifying it, through ``model-signing``.

The signature is a Sigstore bundle in JSON: an in-toto statement of the file's sha256, signed with
ECDSA (P-256, P-384 or P-521). Nothing is sent anywhere. ``python -m model_signing verify key``
verifies the same bundle without Rescore. The library is optional and heavy: it is imported here alone,
when it is used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from rescore.disk import is_disk_full, scratch_folder
from rescore.errors import SignatureError

__all__ = ["sign_file", "verify_file"]


def sign_file(path: Path, key: Path, *, password: str | None = None) -> dict[str, Any]:
    """Sign a file.

    Parameters
    ----------
    path : Path
        The file.
    key : Path
        A private key in PEM, on one of the curves P-256, P-384 and P-521.
    password : str, optional
        The key's, if it is encrypted.

    Returns
    -------
    dict
        The bundle, JSON-serialisable.

    Raises
    ------
    SignatureError
        ``model-signing`` is not installed, or the key can't be used.
    """
    _require_library()
    signing: Any = import_module("model_signing.signing")

    with scratch_folder() as scratch:
        written = scratch / "bundle.json"
        try:
            # The library hands the password on to cryptography, which wants bytes.
            secret: Any = None if password is None else password.encode()
            config = signing.Config().set_hashing_config(_hashing())
            config.use_elliptic_key_signer(private_key=key, password=secret).sign(path, written)
        except Exception as error:
            if is_disk_full(error):
                raise
            raise SignatureError(
                f"{path.name} can't be signed: {error}",
                where=str(key),
                expected="a private key in PEM, on the curve P-256, P-384 or P-521",
                fix="make one: openssl ecparam -name prime256v1 -genkey -noout -out FILE",
            ) from error
        bundle: dict[str, Any] = json.loads(written.read_text(encoding="utf-8"))
    return bundle


def verify_file(path: Path, bundle: Mapping[str, Any], public_key: Path) -> None:
    """Verify that the owner of a key signed this very file.

    Parameters
    ----------
    path : Path
        The file.
    bundle : mapping
        What :func:`sign_file` gave.
    public_key : Path
        The public key, in PEM.

    Raises
    ------
    SignatureError
        ``model-signing`` is not installed, the key can't be read, or the signature is not that key's
        over this file.
    """
    _require_library()
    verifying: Any = import_module("model_signing.verifying")

    config = verifying.Config().set_hashing_config(_hashing())
    try:
        config.use_elliptic_key_verifier(public_key=public_key)
    except Exception as error:
        raise SignatureError(
            f"the public key can't be used: {error}",
            where=str(public_key),
            expected="a public key in PEM, on the curve P-256, P-384 or P-521",
            fix="make it from the private one: openssl ec -in KEY -pubout -out FILE",
        ) from error
    with scratch_folder() as scratch:
        written = scratch / "bundle.json"
        written.write_text(json.dumps(bundle), encoding="utf-8")
        try:
            _refuse_loose(written, bundle)
            config.verify(path, written)
        except Exception as error:
            if is_disk_full(error):
                raise
            raise SignatureError(
                f"the signature of {path.name} does not hold: {error or type(error).__name__}",
                where=f"the file {path}",
                expected=f"a signature over this file by the owner of {public_key}",
                fix="find out who changed it; or sign it again: `rescore packages sign MODEL --key FILE`",
            ) from error


def _refuse_loose(written: Path, bundle: Mapping[str, Any]) -> None:
    """Refuse bytes that no signature covers: a bundle is what it reads as, and names its key.

    The last character of a base64 text has bits that decoding drops, and unknown keys are dropped.
    Without the key's name the library prints a warning and goes on.
    """
    from model_signing._signing.sign_sigstore_pb import Signature

    if json.loads(Signature.read(written).bundle.to_json()) != dict(bundle):
        raise ValueError("its text is not the one that was signed")
    if not bundle["verificationMaterial"]["publicKey"].get("hint"):
        raise ValueError("it does not name its key")


def _hashing() -> Any:
    """One way of hashing, set here: the bundle must not choose it."""
    hashing: Any = import_module("model_signing.hashing")
    return hashing.Config().use_file_serialization(hashing_algorithm="sha256", allow_symlinks=False)


def _require_library() -> None:
    try:
        import_module("model_signing.signing")
        import_module("model_signing.verifying")
    except ImportError as error:
        raise SignatureError(
            f"signatures can't be made or verified here: {error}",
            where="the Python environment",
            expected="the packages model-signing and pyOpenSSL",
            fix="install the extra: pip install 'rescore[signing]'",
        ) from error
