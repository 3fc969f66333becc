"""Signed packages on a real Postgres: what is required and does not hold stops before anything is scored."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rescore import pipeline
from rescore.cli import main
from rescore.errors import SignatureError, StoreError
from rescore.model import sign_file, verify_file
from rescore.pipeline import Context


def make_key(folder: Path, name: str, password: bytes | None = None) -> Path:
    """A private key ``<name>`` and its public one ``<name>.pub``, in PEM."""
    private = ec.generate_private_key(ec.SECP256R1())
    kept = (
        serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password)
    )
    path = folder / name
    path.write_bytes(
        private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, kept)
    )
    path.with_suffix(".pub").write_bytes(
        private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make_key(tmp_path, "key")


@pytest.fixture
def strict(harbour: Any, tmp_path: Path, key: Path) -> Context:
    """The harbour's context, whose model requires a signature by the owner of ``key``."""
    models = tmp_path / "strict"
    (models / "tides").mkdir(parents=True)
    for file in (harbour.ctx.settings.models / "tides").iterdir():
        if file.is_file():
            (models / "tides" / file.name).write_bytes(file.read_bytes())
    path = models / "tides" / "model.yaml"
    spec = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**spec, "promotion": {"signature": "required"}}))
    settings = replace(harbour.ctx.settings, models=models, signing_public_key=key.with_suffix(".pub"))
    return replace(harbour.ctx, settings=settings)


def refused(ctx: Context, harbour: Any, match: str) -> SignatureError:
    """Scoring and pinning are both refused, and nothing was scored or pinned."""
    pins = len(ctx.store.pins.of_model("tides"))
    with pytest.raises(SignatureError, match=match):
        pipeline.pin(ctx, "tides", "1.0.0", who="ada", why="again")
    run_id = pipeline.validate_run(ctx, pipeline.begin_extract(ctx, "tides", harbour.day(31)))
    with pytest.raises(SignatureError, match=match) as caught:
        pipeline.score_run(ctx, run_id)
    run = ctx.store.runs.get(run_id)
    assert (run.package_sha256, run.rows_scored, run.score_digest) == (None, None, None)
    assert len(ctx.store.pins.of_model("tides")) == pins
    assert caught.value.where and caught.value.expected and caught.value.fix
    return caught.value


def tampered(harbour: Any, bundle: dict[str, Any]) -> None:
    """Put another bundle in the append-only table, as only its owner can."""
    harbour.execute("ALTER TABLE rescore.signature DISABLE TRIGGER USER")
    harbour.execute("UPDATE rescore.signature SET bundle = %s", json.dumps(bundle))


def test_a_signed_package_is_pinned_scored_and_reproduced(harbour, strict, key):
    pipeline.sign_package(strict, "tides", key=key, who="ada")
    pipeline.pin(strict, "tides", "1.0.0", who="ada", why="signed")
    done = pipeline.score_interval(strict, "tides", harbour.day(31))
    assert done.rows == 72
    assert pipeline.reproduce_run(strict, done.run_id).verdict == "identical"
    assert pipeline.verify_package(strict, "tides")["signed_by"] == "ada"


def test_an_unsigned_package_is_refused(harbour, strict):
    refused(strict, harbour, r"tides 1\.0\.0 is not signed")


def test_without_the_requirement_an_unsigned_package_scores(harbour):
    assert pipeline.score_interval(harbour.ctx, "tides", harbour.day(31)).rows == 72


def test_one_changed_byte_of_the_signature_is_refused(harbour, strict, key):
    pipeline.sign_package(strict, "tides", key=key, who="ada")
    [kept] = strict.store.signatures.of_package("tides", strict.store.packages.find("tides", "1.0.0").sha256)
    bundle = copy.deepcopy(kept.bundle)
    [signature] = bundle["dsseEnvelope"]["signatures"]
    flipped = "B" if signature["sig"][30] != "B" else "C"
    signature["sig"] = signature["sig"][:30] + flipped + signature["sig"][31:]
    tampered(harbour, bundle)
    refused(strict, harbour, "does not hold")


def test_another_key_is_refused_until_the_right_one_signs_too(harbour, strict, key, tmp_path):
    pipeline.sign_package(strict, "tides", key=make_key(tmp_path, "other"), who="eve")
    assert "by eve: " in refused(strict, harbour, "Key mismatch").examples[0]
    pipeline.sign_package(strict, "tides", key=key, who="ada")
    assert pipeline.verify_package(strict, "tides")["signed_by"] == "ada"


def test_the_signature_of_another_package_is_refused(harbour, strict, key, tmp_path):
    other = tmp_path / "other.whl"
    other.write_bytes(b"another package")
    sha256 = strict.store.packages.find("tides", "1.0.0").sha256
    strict.store.signatures.add("tides", sha256, sign_file(other, key), who="eve")
    refused(strict, harbour, "mismatch")


def test_without_a_public_key_or_the_library_what_is_required_is_refused(harbour, strict, key, monkeypatch):
    pipeline.sign_package(strict, "tides", key=key, who="ada")
    keyless = replace(strict, settings=replace(strict.settings, signing_public_key=None))
    refused(keyless, harbour, "no public key")
    absent = replace(strict, settings=replace(strict.settings, signing_public_key=key.with_name("none")))
    refused(absent, harbour, "public key can't be used")
    # What Python does where a package is not installed.
    monkeypatch.setitem(sys.modules, "model_signing.verifying", None)
    refused(strict, harbour, "can't be made or verified here")


def test_every_changed_byte_of_a_bundle_is_refused(tmp_path, key):
    path = tmp_path / "package.whl"
    path.write_bytes(b"a package")
    text = json.dumps(sign_file(path, key))
    public = key.with_suffix(".pub")
    verify_file(path, json.loads(text), public)
    accepted = []
    for position in range(len(text)):
        changed = text[:position] + chr(ord(text[position]) ^ 1) + text[position + 1 :]
        try:
            bundle = json.loads(changed)
            if bundle == json.loads(text):
                continue
            verify_file(path, bundle, public)
        except (ValueError, SignatureError):
            continue
        accepted.append((position, changed[max(0, position - 20) : position + 20]))
    assert accepted == []


def test_what_no_signature_covers_is_refused(tmp_path, key):
    path = tmp_path / "package.whl"
    path.write_bytes(b"a package")
    bundle = sign_file(path, key)
    noted = {**bundle, "note": "approved"}
    envelope = bundle["dsseEnvelope"]
    spaced = {**bundle, "dsseEnvelope": {**envelope, "payload": envelope["payload"] + "\n"}}
    unnamed = {**bundle, "verificationMaterial": {"publicKey": {}}}
    for loose in (noted, spaced, unnamed):
        with pytest.raises(SignatureError, match="does not hold"):
            verify_file(path, loose, key.with_suffix(".pub"))


def test_every_changed_byte_of_the_file_is_refused(tmp_path, key):
    path = tmp_path / "package.whl"
    path.write_bytes(b"a package")
    bundle = sign_file(path, key)
    for position in range(9):
        content = bytearray(b"a package")
        content[position] ^= 1
        path.write_bytes(content)
        with pytest.raises(SignatureError, match="mismatch"):
            verify_file(path, bundle, key.with_suffix(".pub"))


def test_an_encrypted_key_needs_its_password(tmp_path):
    key, path = make_key(tmp_path, "locked", b"sesame"), tmp_path / "package.whl"
    path.write_bytes(b"a package")
    for password in (None, "wrong"):
        with pytest.raises(SignatureError, match=r"package\.whl can't be signed"):
            sign_file(path, key, password=password)
    verify_file(path, sign_file(path, key, password="sesame"), key.with_suffix(".pub"))


def test_who_signs_is_said(harbour, key):
    with pytest.raises(StoreError, match="not said who signs"):
        pipeline.sign_package(harbour.ctx, "tides", key=key, who=" ")


def run(*words: str) -> int | str | None:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as ended:
        main(["packages", *words])
    return ended.value.code


def test_by_commands_and_without_the_platform(harbour, strict, key, tmp_path, monkeypatch, capsys):
    from rescore.local import settings_variables

    for name, value in settings_variables(strict.settings).items():
        monkeypatch.setenv(name, value)
    assert run("verify", "tides") == 1
    assert "tides 1.0.0 is not signed" in capsys.readouterr().err
    assert run("sign", "tides", "--version", "1.0.0", "--key", str(key), "--who", "ada") == 0
    capsys.readouterr()
    assert run("verify", "tides", "--save", str(tmp_path / "audit"), "--json") == 0
    assert '"signed_by": "ada"' in capsys.readouterr().out

    wheel = tmp_path / "audit" / "tides-1.0.0-py3-none-any.whl"
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(wheel)]
    command += ["--signature", f"{wheel}.sig", "--public_key", str(key.with_suffix(".pub"))]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    content = bytearray(wheel.read_bytes())
    content[len(content) // 2] ^= 1
    wheel.write_bytes(content)
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0
