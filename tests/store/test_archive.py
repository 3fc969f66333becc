"""The archive: files by their content, whole or not at all, never changed unnoticed."""

from __future__ import annotations

import random
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rescore.digest import table_digest
from rescore.errors import DigestMismatchError, NotFoundError, SettingsError, StoreUnavailableError
from rescore.sha256 import file_sha256
from rescore.store import Archive


@pytest.fixture(params=["local", "memory"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Archive:
    """A folder, and an object store (read through the cache)."""
    url = str(tmp_path / "archive") if request.param == "local" else f"memory://bucket{uuid.uuid4().hex}"
    return Archive(url, cache=tmp_path / "cache")


@pytest.fixture
def frozen(tmp_path: Path) -> tuple[Path, str]:
    table = pa.table({"loan_id": list(range(100)), "amount": [1.5] * 100})
    path = tmp_path / "input.parquet"
    pq.write_table(table, path)
    return path, table_digest(table).root


def overwrite(archive: Archive, uri: str, content: bytes) -> None:
    if archive.is_local:
        path = Path(uri.removeprefix("file://"))
        path.chmod(0o644)
        path.write_bytes(content)
    else:
        archive._fs.pipe_file(uri, content)


def test_what_was_put_comes_back(archive: Archive, frozen: tuple[Path, str], tmp_path: Path) -> None:
    path, digest = frozen
    uri = archive.put_input(path, digest)
    assert archive.put_input(path, digest) == uri
    assert digest.removeprefix("sha256:") in uri
    assert archive.get_input(digest).read_bytes() == path.read_bytes()
    wheel = tmp_path / "loans-1.0.0-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    assert archive.put_package(wheel, file_sha256(wheel)).endswith(wheel.name)
    assert archive.get_package(file_sha256(wheel)).name == wheel.name
    assert not [name for name in archive._fs.find(archive._root) if "partial" in name]


def test_one_flipped_byte_is_found(archive: Archive, frozen: tuple[Path, str], seed: int) -> None:
    path, digest = frozen
    uri = archive.put_input(path, digest)
    content = path.read_bytes()
    for position in random.Random(seed).sample(range(len(content)), 20):
        changed = bytearray(content)
        changed[position] ^= 1
        overwrite(archive, uri, bytes(changed))
        with pytest.raises(DigestMismatchError, match="not what its name says") as caught:
            archive.get_input(digest)
        assert (caught.value.data["uri"], caught.value.data["expected"]) == (uri, file_sha256(path))
        assert caught.value.data["got"] in str(caught.value)
    overwrite(archive, uri, content[:-1])
    with pytest.raises(DigestMismatchError):
        archive.get_input(digest)
    archive.put_input(path, digest)  # the true file, put again, mends it
    assert archive.get_input(digest).read_bytes() == content


def test_a_damaged_cache_is_read_again(frozen: tuple[Path, str], tmp_path: Path) -> None:
    path, digest = frozen
    archive = Archive(f"memory://bucket{uuid.uuid4().hex}", cache=tmp_path / "cache")
    archive.put_input(path, digest)
    cached = archive.get_input(digest)
    cached.write_bytes(b"damaged")
    assert archive.get_input(digest).read_bytes() == path.read_bytes()


def test_a_package_under_a_wrong_digest_is_not_kept(archive: Archive, tmp_path: Path) -> None:
    wheel = tmp_path / "loans-1.0.0-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    wrong = "sha256:" + "0" * 64
    with pytest.raises(DigestMismatchError):
        archive.put_package(wheel, wrong)
    with pytest.raises(NotFoundError, match=f"no file for {wrong}"):
        archive.get_package(wrong)


def test_an_interrupted_put_leaves_nothing_readable(
    archive: Archive, frozen: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, digest = frozen

    def half(source: str, target: str, **_: object) -> None:
        archive._fs.pipe_file(target, Path(source).read_bytes()[:50])
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(archive._fs, "put_file", half)
        with pytest.raises(StoreUnavailableError, match="no space left"):
            archive.put_input(path, digest)
    with pytest.raises(NotFoundError):
        archive.get_input(digest)
    archive.put_input(path, digest)
    assert archive.get_input(digest).read_bytes() == path.read_bytes()


def test_wrong_urls_and_digests_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't be opened"):
        Archive("nosuch://bucket")
    with pytest.raises(NotFoundError, match="is not a digest"):
        Archive(str(tmp_path)).get_input("../../etc/passwd")
