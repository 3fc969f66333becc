"""Opening a package: its digest, its environment, its golden rows, and then its scores.

Nothing of a package is imported into this process. It is unpacked below a cache folder, under its
digest, and scores rows in a child interpreter through its own command line.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
import zipfile
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from rescore.errors import DigestMismatchError, EnvironmentMismatchError, ModelError
from rescore.model.environment import differences, numeric_environment
from rescore.model.own_environment import own_environment
from rescore.model.process import MARK, Child, Team
from rescore.model.stage import DATA
from rescore.model.wheel import changed_members, unpack
from rescore.progress import Progress
from rescore.sha256 import file_sha256

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Package", "open_package"]

#: Rows of one leaf of a content digest; processes share a file by whole leaves.
_LEAF_ROWS = 65_536
#: From here on a second process saves more than it costs to start (about 2 s of one processor).
_WORTH_TWO = 1_000_000


@dataclass(frozen=True)
class Package:
    """A verified package, unpacked.

    Attributes
    ----------
    name, version, sha256 : str
        Which it is.
    manifest : dict
        What it says about itself.
    root : Path
        The folder it is unpacked in; importable.
    python : Path or None
        The interpreter of the environment of its own that it runs in; None: the one that runs this.
    """

    name: str
    version: str
    sha256: str
    manifest: dict[str, Any]
    root: Path
    python: Path | None = None

    def reference_profile(self) -> bytes:
        """What drift compares live windows with."""
        return (self.root / self.name / DATA / "reference.json").read_bytes()

    def numeric_environment(self) -> dict[str, Any]:
        """What the bits of its scores depend on: that of the interpreter that it runs in."""
        if self.python is None:
            return numeric_environment()
        code = (
            f"import json; from {self.name}._runtime.environment import numeric_environment; "
            f"print({MARK!r} + json.dumps(numeric_environment()))"
        )
        with (
            TemporaryDirectory() as scratch,
            Child(["-c", code], folder=Path(scratch), path=[self.root], python=self.python) as child,
        ):
            return list(child.messages())[-1]

    def verify(self) -> None:
        """Check environment, files and golden rows in a child interpreter.

        Raises
        ------
        EnvironmentMismatchError, DigestMismatchError, GoldenRowError
            What the package proves about itself does not hold.
        """
        with TemporaryDirectory() as scratch:
            self._command(Team(), [], Path(scratch), None)

    def predict(
        self,
        input_parquet: Path,
        *,
        exclude: Iterable[int] | None = None,
        progress: Progress | None = None,
        processes: int | None = None,
        fit: Literal["final", "evaluation"] = "final",
        probabilities: bool = False,
        unproved: bool = False,
    ) -> pa.Table:
        """Score the rows of a Parquet file, in its order, after the checks of :meth:`verify`.

        Parameters
        ----------
        input_parquet : Path
            At least the model's features.
        exclude : iterable of int, optional
            Row positions in the file that are not to be scored.
        progress : callable, optional
            Receives one line per step.
        processes : int, optional
            How many child interpreters share the file; default 2 from 1,000,000 rows on. The scores
            do not depend on it.
        fit : {'final', 'evaluation'}
            The fit on all training rows, which scores in production; or the one on the rows before
            the hold-out, whose metrics the manifest holds.
        probabilities : bool
            Unless it is a regression, add ``p0``, ``p1``, …: each label's, in the order of
            ``manifest["target"]["labels"]``.
        unproved : bool
            Score although the golden rows give other bits on this numeric environment: to measure
            how far apart the two are, never to publish.

        Returns
        -------
        pa.Table
            ``score`` float64 and, unless it is a regression, ``label`` string; one row for each row
            kept.

        Raises
        ------
        IntegrityError
            See :meth:`verify`.
        ModelError
            A feature is missing or of another type, or the pipeline failed.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        with pq.ParquetFile(input_parquet) as file:
            rows, columns = file.metadata.num_rows, file.schema_arrow.names
        features = [feature["name"] for feature in self.manifest["features"]]
        missing = [name for name in features if name not in columns]
        if missing:
            raise ModelError(
                f"features are missing from {input_parquet.name}: {', '.join(missing)}",
                where=f"{self.name} {self.version}",
                expected=f"all of: {', '.join(features)}",
                fix="extract them",
                data={"missing": missing},
            )
        if processes is None:
            processes = min(2, os.cpu_count() or 1) if rows >= _WORTH_TWO else 1
        positions = sorted({int(position) for position in exclude or ()})
        if positions and not 0 <= positions[0] <= positions[-1] < rows:
            raise ModelError(
                f"excluded positions reach from {positions[0]:,} to {positions[-1]:,}",
                where=str(input_parquet),
                expected=f"positions of its {rows:,} rows, from 0",
            )
        counted = _Counted(rows - len(positions), progress)
        with TemporaryDirectory() as scratch:
            folder = Path(scratch)
            arguments = ["score", str(input_parquet.absolute())]
            options = ["--exclude", str(_save_positions(positions, folder))] if positions else []
            # What older packages do not know is passed only where it is asked for.
            options += ["--fit", fit] if fit != "final" else []
            options += ["--probabilities"] if probabilities else []
            options += ["--unproved"] if unproved else []

            team = Team()

            def part(number: int, bounds: tuple[int, int]) -> pa.Table:
                out = folder / f"scores_{number}.arrow"
                limits = ["--rows", f"{bounds[0]}:{bounds[1]}"]
                self._command(team, [*arguments, str(out), *options, *limits], folder, counted.of(number))
                with pa.OSFile(str(out), "rb") as source:
                    return pa.ipc.open_file(source).read_all()

            parts = [partial(part, *one) for one in enumerate(_ranges(rows, processes))]
            scores = pa.concat_tables(team.run(parts))
        if scores.num_rows != rows - len(positions):
            raise ModelError(
                f"{self.name} {self.version} gave {scores.num_rows:,} scores",
                where=str(input_parquet),
                expected=f"{rows - len(positions):,}, one for each row kept",
            )
        return scores

    def _command(self, team: Team, arguments: Sequence[str], folder: Path, progress: Any) -> None:
        command = ["-m", self.name, *arguments, "--lines"]
        with team.start(command, folder=folder, path=[self.root], python=self.python) as child:
            for message in child.messages():
                if progress is not None:
                    progress(message["rows"])


def open_package(
    path: Path,
    *,
    expected_sha256: str,
    cache: Path,
    environments: Path | None = None,
    progress: Progress | None = None,
) -> Package:
    """Verify a package file and unpack it below ``cache``, once for each digest.

    Where other versions are installed than it was built with, it runs in an environment of its own,
    which is built unless it is there. The environment is checked here; the golden rows are, by every
    :meth:`Package.predict`, before the first score.

    Parameters
    ----------
    path : Path
        The wheel.
    expected_sha256 : str
        ``sha256:<hex>`` or the bare hex.
    cache : Path
        A folder for unpacked packages; ``cache/<hex>/``.
    environments : Path, optional
        The folder of packages' own environments. Default: none is used, other versions are an error.
    progress : callable, optional
        Receives a line when an environment is built.

    Raises
    ------
    DigestMismatchError
        The file, or what was unpacked from it earlier, is not what was recorded; says which file.
    EnvironmentMismatchError
        Other versions are installed than it was built with, and no environment of its own can be
        built; lists each.
    """
    expected = "sha256:" + expected_sha256.removeprefix("sha256:")
    found = file_sha256(path)
    if found != expected:
        changed = changed_members(path) or ["no member's content, but the bytes around them"]
        raise DigestMismatchError(
            f"the package {path.name} is not what was recorded: got {found}",
            where=str(path),
            expected=expected,
            examples=changed,
            fix="restore the file from the archive's backup, or pin another package",
            data={"file": str(path), "expected": expected, "found": found, "changed": changed},
        )
    root = cache / expected.removeprefix("sha256:")
    if not root.is_dir():
        _unpack(path, root)
    _check_unpacked(path, root)
    manifest_path = next(root.glob(f"*/{DATA}/manifest.json"))
    manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
    label = f"{manifest['name']} {manifest['version']}"
    different = differences(manifest["requirements"])
    if different and environments is not None:
        own = own_environment(root, manifest, environments)
        own.build(progress)
        own.check()
        return Package(manifest["name"], manifest["version"], expected, manifest, root, own.python)
    if different:
        raise EnvironmentMismatchError(
            f"{label} was built with other versions than are installed here",
            where=str(path.name),
            expected="exactly the versions it was built with",
            examples=[
                f"{name}: expected {one['expected']}, found {one['found'] or 'not installed'}"
                for name, one in different.items()
            ],
            fix="install what the package's requirements.txt lists, or train the model anew here",
            data={"different": different},
        )
    return Package(manifest["name"], manifest["version"], expected, manifest, root)


def _unpack(path: Path, root: Path) -> None:
    partial = root.with_name(f".{root.name}.{uuid.uuid4().hex}")
    try:
        unpack(path, partial)
        try:
            partial.rename(root)
        except OSError:
            if not root.is_dir():  # else another process unpacked the same bytes first
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_unpacked(path: Path, root: Path) -> None:
    """Compare what is in the cache with the verified file: nothing changed, nothing added."""
    with zipfile.ZipFile(path) as archive:
        expected = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}
    found = {
        file.relative_to(root).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in root.rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }
    wrong = [
        f"{name}: expected sha256:{expected.get(name, ' no such file')}, "
        f"got {'sha256:' + found[name] if name in found else 'no file'}"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]
    if wrong:
        raise DigestMismatchError(
            f"the unpacked package is not what its file holds: {wrong[0]}",
            where=str(root),
            expected=f"the members of {path.name}, and nothing else",
            examples=wrong,
            fix="find out who changed it, then delete that folder; it is unpacked again",
            data={"files": [one.partition(":")[0] for one in wrong]},
        )


def _ranges(rows: int, processes: int) -> list[tuple[int, int]]:
    """Cut rows into at most ``processes`` ranges of whole leaves."""
    leaves = -(-rows // _LEAF_ROWS)
    count = max(1, min(processes, leaves))
    edges = [leaves * number // count * _LEAF_ROWS for number in range(count)]
    return list(zip(edges, [*edges[1:], rows], strict=True))


def _save_positions(positions: Sequence[int], folder: Path) -> Path:
    path = folder / "excluded.i8"
    path.write_bytes(array("q", positions).tobytes())
    return path


class _Counted:
    """Sums what the children have scored and says it."""

    def __init__(self, rows: int, progress: Progress | None) -> None:
        self._rows = rows
        self._progress = progress
        self._done: dict[int, int] = {}

    def of(self, number: int) -> Any:
        def count(rows: int) -> None:
            self._done[number] = rows
            if self._progress is not None:
                self._progress(f"scored {sum(self._done.values()):,} of {self._rows:,} rows")

        return count
