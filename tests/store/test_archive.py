"""The archive: files by their content, whole or not at all, never changed unnoticed."""

from __future__ import annotations

import json
import os
import random
import stat
import subprocess
import sys
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rescore.digest import DIGEST_METADATA, table_digest
from rescore.disk import partial_name
from rescore.errors import (
    DigestMismatchError,
    NotFoundError,
    SettingsError,
    StoreUnavailableError,
    UndigestibleError,
)
from rescore.sha256 import file_sha256
from rescore.store import Archive
from tests.shared.object_store import KEY, s3_server


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
        if path.exists():
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


def test_the_name_of_what_was_put_outlasts_a_power_cut(
    frozen: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store records next that it is there: file and every folder made for it reach the disk before."""
    synced: list[str] = []
    sync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    root = tmp_path / "archive"
    path, digest = frozen
    uri = Archive(str(root), cache=tmp_path / "cache").put_input(path, digest)
    kept = Path(uri.removeprefix("file://"))
    folders = [str(one) for one in kept.parents if one.is_relative_to(root)]
    assert len(folders) > 2
    # The file before it has its name, and its folder only after.
    assert synced[0].startswith(str(kept))
    assert synced[1:] == folders


def test_wrong_urls_and_digests_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't be opened"):
        Archive("nosuch://bucket")
    with pytest.raises(UndigestibleError, match="is no sha256"):
        Archive(str(tmp_path)).get_input("../../etc/passwd")


def test_a_file_damaged_at_the_same_size_is_made_good_by_putting_it_again(
    archive: Archive, frozen: tuple[Path, str], tmp_path: Path
) -> None:
    path, digest = frozen
    wheel = tmp_path / "loans-1.0.0-py3-none-any.whl"
    wheel.write_bytes(b"the true wheel")
    put_input = lambda: archive.put_input(path, digest)  # noqa: E731
    put_package = lambda: archive.put_package(wheel, file_sha256(wheel))  # noqa: E731
    for put, true, get in (
        (put_input, path, lambda: archive.get_input(digest)),
        (put_package, wheel, lambda: archive.get_package(file_sha256(wheel))),
    ):
        content = true.read_bytes()
        overwrite(archive, put(), bytes(len(content)))
        with pytest.raises(DigestMismatchError):
            get()
        put()
        assert get().read_bytes() == content


def test_another_file_of_the_same_rows_serves_when_one_is_damaged(
    archive: Archive, frozen: tuple[Path, str], tmp_path: Path
) -> None:
    """A newer Parquet writes the same rows to other bytes, hence under another name."""
    path, digest = frozen
    again = tmp_path / "again.parquet"
    pq.write_table(pq.read_table(path), again, compression="gzip")
    uris = {archive.put_input(path, digest): path, archive.put_input(again, digest): again}
    assert len(uris) == 2
    for damaged, intact in zip(uris, reversed(list(uris.values())), strict=True):
        overwrite(archive, damaged, b"damaged")
        assert archive.get_input(digest).read_bytes() == intact.read_bytes()
        archive.put_input(uris[damaged], digest)


def test_what_others_left_beside_a_file_is_not_taken_for_it(
    archive: Archive, frozen: tuple[Path, str], tmp_path: Path
) -> None:
    """Editors, syncs and file managers leave files of their own."""
    path, digest = frozen
    wheel = tmp_path / "loans-1.0.0-py3-none-any.whl"
    wheel.write_bytes(b"a wheel")
    uris = [archive.put_input(path, digest), archive.put_package(wheel, file_sha256(wheel))]
    for uri in uris:
        folder, _, name = uri.rpartition("/")
        for stray in (".DS_Store", f"{name}~", f".{name}.swp", "Thumbs.db", "aaa.parquet", "0.txt"):
            overwrite(archive, f"{folder}/{stray}", b"stray")
    overwrite(archive, f"{uris[1].rpartition('/')[0]}/a-copy.whl", b"another wheel")
    assert archive.get_input(digest).read_bytes() == path.read_bytes()
    assert archive.get_package(file_sha256(wheel)).read_bytes() == b"a wheel"


def test_another_table_in_the_wrong_folder_does_not_spoil_a_proof(archive: Archive, tmp_path: Path) -> None:
    """A restore or a merge of two folders may put sound files where they don't belong."""
    tables = {}
    for number in range(4):
        path, table = tmp_path / f"{number}.parquet", pa.table({"id": [number]})
        found = table_digest(table)
        kept = {DIGEST_METADATA: json.dumps(found.to_dict())}
        pq.write_table(table.replace_schema_metadata(kept), path)
        tables[path] = found.root
    uris = {path: archive.put_input(path, digest) for path, digest in tables.items()}
    for path, uri in uris.items():
        for other in tables:
            overwrite(
                archive, f"{uri.rpartition('/')[0]}/{uris[other].rpartition('/')[2]}", other.read_bytes()
            )
        assert archive.get_input(tables[path]).read_bytes() == path.read_bytes()


def test_strays_are_no_file_of_a_table_that_is_gone(archive: Archive, frozen: tuple[Path, str]) -> None:
    """Else what retention deleted, or was lost, would not be put again."""
    path, digest = frozen
    uri = archive.put_input(path, digest)
    folder, _, name = uri.rpartition("/")
    overwrite(archive, f"{folder}/copy of {name}", b"stray")
    assert archive.input_size(digest) == archive.inputs()[digest] == path.stat().st_size
    archive._fs.rm_file(uri.removeprefix("file://") if archive.is_local else uri)
    assert archive.input_size(digest) == 0
    assert digest not in archive.inputs()
    archive.ensure_input(path, digest)
    assert archive.get_input(digest).read_bytes() == path.read_bytes()


def test_only_the_owner_reads_what_is_put_also_where_others_could_before(
    frozen: tuple[Path, str], tmp_path: Path
) -> None:
    path, digest = frozen
    root = tmp_path / "archive"
    archive = Archive(str(root))
    file = Path(archive.put_input(path, digest).removeprefix("file://"))

    def modes() -> set[str]:
        return {oct(stat.S_IMODE(p.stat().st_mode)) for p in [root, *root.rglob("*")]}

    assert modes() == {"0o700", "0o400"}
    for each in [root, *root.rglob("*")]:  # as an earlier version left them
        each.chmod(0o755 if each.is_dir() else 0o444)
    assert archive.get_input(digest) == file
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o400
    archive.put_input(path, digest)
    assert modes() == {"0o700", "0o400"}
    remote = Archive(f"memory://bucket{uuid.uuid4().hex}", cache=tmp_path / "cache")
    remote.put_input(path, digest)
    cached = remote.get_input(digest)
    assert stat.S_IMODE(cached.stat().st_mode) == 0o400
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700


def test_what_a_killed_process_left_half_written_is_removed_and_a_live_one_is_left_alone(
    frozen: tuple[Path, str], tmp_path: Path
) -> None:
    path, digest = frozen
    for archive, folder in (
        (Archive(str(tmp_path / "archive")), None),
        (Archive(f"memory://bucket{uuid.uuid4().hex}", cache=tmp_path / "cache"), "cache"),
    ):
        uri = archive.put_input(path, digest)
        place = (archive.get_input(digest) if folder else Path(uri.removeprefix("file://"))).parent
        mine = place / partial_name("x.parquet")
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        dead = place / partial_name("y.parquet").replace(f".{os.getpid()}.", f".{ended.pid}.")
        for partial in (mine, dead):
            partial.write_bytes(b"half")
        if folder:
            (place / path.name).unlink(missing_ok=True)
            for whole in place.glob("*.parquet"):
                whole.unlink()
            archive.get_input(digest)
        else:
            archive.put_input(path, digest)
        assert mine.exists()
        assert not dead.exists()


FULL = """
import resource, sys
from pathlib import Path
from rescore.errors import DiskFullError
from rescore.store import Archive
from tests.shared.object_store import KEY, s3_server
archive, path, digest = Archive(sys.argv[1], cache=Path(sys.argv[2])), Path(sys.argv[3]), sys.argv[4]
if sys.argv[1].startswith("memory:"):
    archive.put_input(path, digest)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    archive.get_input(digest) if sys.argv[1].startswith("memory:") else archive.put_input(path, digest)
except DiskFullError as error:
    sys.exit(f"retryable {error.retryable} {error}")
"""


@pytest.mark.parametrize("url", ["archive", "memory://bucket"])
def test_a_full_disk_is_named_with_its_room_and_can_be_retried(
    url: str, frozen: tuple[Path, str], tmp_path: Path
) -> None:
    path, digest = frozen
    assert path.stat().st_size > 1000
    place = str(tmp_path / url) if url == "archive" else url
    command = [sys.executable, "-c", FULL, place, str(tmp_path / "cache"), str(path), digest]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    full = "archive" if url == "archive" else "cache"
    assert "retryable True a file may grow no larger here" in done.stderr
    assert f"where:    {tmp_path / full}" in done.stderr
    assert "MB free" in done.stderr
    assert not [p for p in tmp_path.rglob("*") if "partial" in p.name]


@pytest.mark.slow
def test_a_real_object_store_gives_back_what_was_put_and_refuses_what_was_changed(
    frozen: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in KEY.items():
        monkeypatch.setenv(name, value)
    path, digest = frozen
    with s3_server(tmp_path / "s3.log") as address:
        options = f"scheme=http&endpoint_override={address}&allow_bucket_creation=true"
        archive = Archive(f"s3://bucket/rescore?{options}", cache=tmp_path / "one")
        with pytest.raises(NotFoundError):
            archive.get_input(digest)
        uri = archive.put_input(path, digest)
        assert uri.startswith("s3://bucket/rescore/inputs/") and archive.put_input(path, digest) == uri
        assert not archive.is_local and archive.inputs() == {digest: path.stat().st_size}
        other = Archive(f"s3://bucket/rescore?{options}", cache=tmp_path / "two")
        assert other.get_input(digest).read_bytes() == path.read_bytes()
        with other._fs.open(uri.removeprefix("s3://"), "wb") as stream:
            stream.write(path.read_bytes()[:-1] + b"x")
        with pytest.raises(DigestMismatchError):
            Archive(f"s3://bucket/rescore?{options}", cache=tmp_path / "three").get_input(digest)
        archive.delete_input(digest)
        assert archive.inputs() == {} and not archive.input_size(digest)
        with pytest.raises(SettingsError, match="bucket"):
            Archive("s3://bucket/rescore?endpoint=nobody-knows-this-option")
    with pytest.raises(StoreUnavailableError, match="the archive can't be read or written") as gone:
        archive.put_input(path, digest)
    assert gone.value.retryable
