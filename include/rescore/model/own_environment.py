"""An environment of a package's own: built from its lock, kept under the lock's digest.

One upgrade of the platform must not stop the models that were trained before it. So a package whose
versions are not the ones installed here runs in a virtual environment of its own, as a child process.
It is built once, with hashes required and no build of source distributions, and needs no network
afterwards. A package never runs in a wrong environment: this says what is in one before it is used,
and the package itself checks again before its first score.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path

from packaging.utils import canonicalize_name

from rescore.disk import disk_errors, scratch_folder
from rescore.errors import EnvironmentMismatchError
from rescore.manifest import Manifest
from rescore.model.environment import differences
from rescore.model.requirements import without_hashes
from rescore.progress import Progress
from rescore.sha256 import file_sha256

__all__ = ["OwnEnvironment", "Seal", "difference_lines", "find_uv", "own_environment"]

_COMPLETE = "complete"
_TAIL_LINES = 12


@dataclass(frozen=True)
class OwnEnvironment:
    """What a package needs installed, and where that is or would be.

    Attributes
    ----------
    label : str
        Name and version of the package, for messages.
    digest : str
        sha256 of Python's feature release and of the lock, hexadecimal.
    root : Path
        The folder of this environment.
    lock : str
        The package's requirements.txt.
    requirements : mapping
        What the package checks before it scores: distribution (and ``python``) to version.
    """

    label: str
    digest: str
    root: Path
    lock: str
    requirements: Mapping[str, str]

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.root / "bin" / "python"

    @property
    def built(self) -> bool:
        """Whether it was built to its end, by a release that lists its files."""
        return (self.root / _COMPLETE).is_file() and (self.root / _COMPLETE).stat().st_size > 0

    def build(self, progress: Progress | None = None) -> bool:
        """Build it unless it is there.

        Returns
        -------
        bool
            Whether it was built now.

        Raises
        ------
        EnvironmentMismatchError
            It can't be built; names each distribution with the version expected and found here, and
            the end of what the installer said.
        """
        with disk_errors([self.root]), _locked(self.root):
            if self.built:
                return False
            if progress is not None:
                progress(f"building the environment of {self.label} in {self.root}")
            unhashed = without_hashes(self.lock)
            if unhashed:
                raise self._impossible(f"its lock has no hashes for {', '.join(unhashed)}")
            shutil.rmtree(self.root, ignore_errors=True)
            try:
                self._install()
                (self.root / _COMPLETE).write_text(json.dumps(self._files()), encoding="utf-8")
            except BaseException:
                shutil.rmtree(self.root, ignore_errors=True)
                raise
        return True

    def check(self) -> Seal:
        """Compare every file in it with what was there when it was built, without starting it.

        Returns
        -------
        Seal
            Of the files that were read, taken before they were: what runs in it later is compared with that.

        Raises
        ------
        EnvironmentMismatchError
            Somebody changed it; names each distribution with the version expected and found in it, or
            the files that were changed, added or removed.
        """
        seal = Seal(self, self._stamps())
        different = self.different()
        examples = difference_lines(different) or self._changed_files()
        if examples:
            raise EnvironmentMismatchError(
                f"the environment of {self.label} was changed since it was built",
                where=str(self.root),
                expected="exactly the versions of the package's lock, and the files that were installed",
                examples=examples,
                fix="delete that folder; `rescore env build` makes it anew",
                data={"different": different, "examples": examples},
            )
        return seal

    def _stamps(self) -> frozenset[tuple[str, int, int, int, int]]:
        """Each file with its inode, size and times in ns: any write to one changes its stamp."""
        stats = ((os.fspath(path), path.lstat()) for path in self._paths())
        return frozenset((name, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for name, s in stats)

    def _changed_files(self) -> list[str]:
        if self.root.is_symlink():
            return [f"{self.root.name}: a link to another folder"]
        built = json.loads((self.root / _COMPLETE).read_text(encoding="utf-8"))
        found = self._files()
        return [
            f"{name}: {'added' if name not in built else 'removed' if name not in found else 'changed'}"
            for name in sorted(built.keys() | found.keys())
            if built.get(name) != found.get(name)
        ]

    def _files(self) -> dict[str, str]:
        """Each file in it, bytecode too, with its sha256; each link with what it leads to."""
        paths = self._paths()
        names = [path.relative_to(self.root).as_posix() for path in paths]
        with ThreadPoolExecutor() as pool:
            found = dict(zip(names, pool.map(_content, paths), strict=True))
        found.pop(_COMPLETE, None)
        return found

    def _paths(self) -> list[Path]:
        return [
            Path(folder) / name
            for folder, folders, files in os.walk(self.root)
            for name in [*files, *(one for one in folders if (Path(folder) / one).is_symlink())]
        ]

    def different(self) -> dict[str, dict[str, str | None]]:
        """What is installed in it otherwise than the package needs, as :func:`differences` says it."""
        sites = [str(site) for site in self.root.glob("lib/python*/site-packages")]
        there: dict[str, str] = {
            canonicalize_name(one.metadata["Name"]): one.version for one in distributions(path=sites)
        }
        config = self.root / "pyvenv.cfg"
        settings = (
            dict(line.partition("=")[::2] for line in config.read_text().splitlines() if "=" in line)
            if config.is_file()
            else {}
        )
        named = {key.strip(): value.strip() for key, value in settings.items()}
        there["python"] = named.get("version_info") or named.get("version", "none")
        return differences(self.requirements, installed=lambda name: there.get(canonicalize_name(name)))

    def _install(self) -> None:
        with scratch_folder() as scratch:
            lock = scratch / "requirements.txt"
            lock.write_text(self.lock, encoding="utf-8")
            for command in self._commands(lock):
                self._run(command)
        if different := self.different():
            raise self._impossible(f"after installing, versions differ from the lock: {', '.join(different)}")

    def _commands(self, lock: Path) -> list[list[str]]:
        feature = ".".join(self.requirements["python"].split(".")[:2])
        uv = find_uv()
        if uv is not None:
            here = f"{sys.version_info.major}.{sys.version_info.minor}"
            base = getattr(sys, "_base_executable", sys.executable) if feature == here else feature
            install = [uv, "pip", "install", "--quiet", "--python", str(self.python), "--no-deps"]
            install.append("--compile-bytecode")  # nothing writes it later
            return [
                [uv, "venv", "--quiet", "--no-project", "--python", base, str(self.root)],
                [*install, "--only-binary", ":all:", "--require-hashes", "-r", str(lock)],
            ]
        python = shutil.which(f"python{feature}") or sys.executable
        install = [str(self.python), "-m", "pip", "install", "--quiet", "--no-deps"]
        return [
            [python, "-m", "venv", str(self.root)],
            [*install, "--only-binary", ":all:", "--require-hashes", "-r", str(lock)],
        ]

    def _run(self, command: list[str]) -> None:
        # Of the caller's own variables all stay: an index, a proxy or a cache is configured by them.
        variables = {"UV_PYTHON_DOWNLOADS": "never", **os.environ}
        variables.pop("PYTHONPATH", None)
        try:
            subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
        except OSError as error:
            raise self._impossible(str(error)) from error
        except subprocess.CalledProcessError as error:
            said = "\n".join(error.stderr.strip().splitlines()[-_TAIL_LINES:])
            raise self._impossible(said or f"{command[0]} ended with {error.returncode}") from error

    def _impossible(self, why: str) -> EnvironmentMismatchError:
        different = differences(self.requirements)
        return EnvironmentMismatchError(
            f"{self.label} was built with other versions than are installed here, and an environment "
            f"of its own can't be built: {why}",
            where=str(self.root),
            expected="exactly the versions it was built with",
            examples=difference_lines(different),
            fix=f"`rescore env build {self.label.partition(' ')[0]}`, where the package index can be "
            "reached; or train the model anew here",
            data={"different": different, "environment": str(self.root)},
        )


@dataclass(frozen=True)
class Seal:
    """An environment as it was when it was checked.

    Attributes
    ----------
    environment : OwnEnvironment
    stamps : frozenset of tuple
        Of every file in it: path, inode, size, and times of writing and of change in ns.
    """

    environment: OwnEnvironment
    stamps: frozenset[tuple[str, int, int, int, int]] = field(repr=False)

    def compare(self) -> None:
        """Look whether a file was written since, and read all of them again if one was.

        An installer that links another environment to the same files stamps them, too, and changes nothing.

        Raises
        ------
        EnvironmentMismatchError
            See :meth:`OwnEnvironment.check`.
        """
        if self.environment.root.is_symlink() or self.environment._stamps() != self.stamps:
            self.environment.check()


def own_environment(manifest: Manifest, lock: bytes, environments: Path) -> OwnEnvironment:
    """The environment of a package.

    Parameters
    ----------
    manifest : Manifest
        What the package says about itself.
    lock : bytes
        Its requirements.txt.
    environments : Path
        The folder of all environments.
    """
    feature = ".".join(manifest.requirements["python"].split(".")[:2])
    digest = hashlib.sha256(f"python {feature}\n".encode() + lock).hexdigest()
    label = f"{manifest.name} {manifest.version}"
    return OwnEnvironment(label, digest, environments / digest, lock.decode(), manifest.requirements)


def difference_lines(different: Mapping[str, Mapping[str, str | None]]) -> list[str]:
    """What :func:`differences` found, a line for each distribution."""
    return [
        f"{name}: expected {one['expected']}, found {one['found'] or 'not installed'}"
        for name, one in different.items()
    ]


def _content(path: Path) -> str:
    return f"leads to {path.readlink()}" if path.is_symlink() else file_sha256(path)


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """One builder at a time; the lock ends with its process."""
    root.parent.mkdir(parents=True, exist_ok=True)
    with root.with_name(f".{root.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def find_uv() -> str | None:
    """The installer uv: on the path, beside this interpreter, or as the package ``uv``; or None."""
    beside = Path(sys.executable).with_name("uv")
    found = shutil.which("uv") or (str(beside) if beside.is_file() else None)
    if found is None and importlib.util.find_spec("uv") is not None:
        import uv

        found = uv.find_uv_bin()
    return found
