"""Full disks are typed errors that name the folder; what is private is so; users may have no name."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rescore.disk import disk_errors, is_disk_full, private_folder, process_folder
from rescore.errors import DiskFullError


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_names_the_folder_of_the_file(number: int, tmp_path: Path) -> None:
    with pytest.raises(DiskFullError) as caught, disk_errors([Path("/")]):
        raise OSError(number, os.strerror(number), str(tmp_path / "file"))
    assert caught.value.retryable
    assert caught.value.data["folder"] == str(tmp_path)
    assert caught.value.data["free_bytes"] > 0
    assert str(tmp_path) in str(caught.value)


def test_of_a_copy_the_target_is_blamed(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    with pytest.raises(DiskFullError) as caught, disk_errors([]):
        raise OSError(errno.ENOSPC, "full", "/etc/hosts", None, str(tmp_path / "target" / "file"))
    assert caught.value.data["folder"] == str(tmp_path / "target")


def test_an_error_without_a_file_blames_the_folder_with_the_least_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with pytest.raises(DiskFullError) as caught, disk_errors([Path("/proc")]):  # a disk without room
        raise OSError(errno.ENOSPC, "full")
    assert caught.value.data == {"folder": "/proc", "free_bytes": 0}


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), disk_errors([tmp_path]):
        raise PermissionError(errno.EACCES, "no")


def test_a_folder_for_temporary_files_that_is_full_counts() -> None:
    assert is_disk_full(FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"))
    assert not is_disk_full(FileNotFoundError(errno.ENOENT, "No such file or directory"))


def test_a_private_folder_is_made_or_becomes_so(tmp_path: Path) -> None:
    folder = private_folder(tmp_path / "a" / "b")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o755)
    private_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


NAMELESS = """
import os, sys
from rescore.store import Archive
Archive("memory://x")  # an interpreter below /root is out of reach afterwards
os.environ.pop("HOME", None)
os.setgid(54321), os.setuid(54321)
print(Archive("memory://x")._cache)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without a name")
def test_a_user_without_a_name_has_a_cache() -> None:
    done = subprocess.run(
        [sys.executable, "-c", NAMELESS],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={**os.environ},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("rescore-cache-54321")


def test_scratch_of_killed_processes_is_removed_and_that_of_living_ones_stays(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from rescore.disk import process_folder\n"
        "folder = process_folder(Path(sys.argv[1])); (folder / 'rows.parquet').write_text('ada,1815')\n"
        "print(folder, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False
    )
    left = Path(killed.stdout.strip())
    assert (left / "rows.parquet").exists()
    living = tmp_path / left.name.replace(left.name.split(".")[-3], str(os.getppid()))
    living.mkdir()
    os.utime(living, (0, 0))  # a long run
    mine = process_folder(tmp_path)
    assert not left.exists()
    assert living.exists()
    assert stat.S_IMODE(mine.stat().st_mode) == 0o700
    assert process_folder(tmp_path) == mine


def test_of_folders_on_one_disk_the_first_is_named_whatever_others_write_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = tmp_path / "cache", tmp_path / "tmp"
    mine.mkdir()
    other.mkdir()
    room = iter(range(1000, 0, -1))
    monkeypatch.setattr("rescore.disk._free", lambda folder: next(room))  # another process fills the disk
    with pytest.raises(DiskFullError) as caught, disk_errors([mine, other]):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.data["folder"] == str(mine)


@pytest.mark.parametrize("mask", [0, 0o002, 0o027])
def test_nobody_else_may_put_another_folder_in_the_place_of_a_private_one(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        folder = private_folder(tmp_path / "home" / "of" / "rows")
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [one.stat().st_mode & 0o022 for one in (folder.parent, folder.parent.parent)] == [0, 0]
