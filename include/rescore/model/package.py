"""Opening a package: its digest, its environment, its golden rows, and then its scores.

Nothing of a package is imported into this process. Its file is read once and verified; each child
interpreter that scores with it gets those bytes, unpacked into a folder of its own.
"""

from __future__ import annotations

import io
import os
import time
import zipfile
from array import array
from bisect import bisect_left
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rescore.disk import scratch_folder
from rescore.errors import DigestMismatchError, EnvironmentMismatchError, ModelError
from rescore.leaf_rows import LEAF_ROWS
from rescore.manifest import Manifest
from rescore.model.code_tree import DATA
from rescore.model.environment import differences, numeric_environment
from rescore.model.own_environment import Seal, difference_lines, own_environment
from rescore.model.package_file import manifest_of
from rescore.model.process import MARK, Child, Team
from rescore.model.wheel_format import changed_members, unpack
from rescore.progress import Progress, time_left
from rescore.sha256 import Sha256, bytes_sha256
from rescore.shown_text import number_of

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Package", "open_package", "whole_leaves"]

#: From here on a second process saves more than it costs to start (about 2 s of one processor).
_WORTH_TWO = 1_000_000


@dataclass(frozen=True)
class Package:
    """A verified package.

    Attributes
    ----------
    name, version : str
        Which it is.
    sha256 : Sha256
        Of its file.
    manifest : Manifest
        What it says about itself.
    wheel : bytes
        The verified file. Whatever runs or is read comes from these bytes.
    scratch : Path
        Where private folders for its child interpreters are made.
    seal : Seal or None
        The seal of the package's own environment; None: it runs in the current one.
    """

    name: str
    version: str
    sha256: Sha256
    manifest: Manifest
    wheel: bytes = field(repr=False)
    scratch: Path
    seal: Seal | None = None

    @property
    def python(self) -> Path | None:
        """The interpreter of its own environment; None: the one that runs this."""
        return self.seal.environment.python if self.seal else None

    def data(self, name: str) -> bytes:
        """A file that training made, like ``reference.json``."""
        with zipfile.ZipFile(io.BytesIO(self.wheel)) as archive:
            return archive.read(f"{self.name}/{DATA}/{name}")

    def reference_profile(self) -> bytes:
        """What drift compares live windows with."""
        return self.data("reference.json")

    def numeric_environment(self) -> dict[str, Any]:
        """The numeric environment of its interpreter, on which the bits of its scores depend."""
        if self.python is None:
            return numeric_environment()
        code = (
            f"import json; from {self.name}._runtime.environment import numeric_environment; "
            f"print({MARK!r} + json.dumps(numeric_environment()))"
        )
        with (
            self._unpacked() as run,
            Child(["-c", code], folder=run.work, path=[run.code], python=self.python) as child,
        ):
            return list(child.messages())[-1]

    def verify(self) -> None:
        """Check environment, files and golden rows in a child interpreter.

        Raises
        ------
        EnvironmentMismatchError, DigestMismatchError, GoldenRowError
            What the package proves about itself does not hold.
        """
        with self._unpacked() as run:
            self._command(Team(), [], run)

    def predict(
        self,
        input_parquet: Path,
        *,
        exclude: Iterable[int] | None = None,
        progress: Progress | None = None,
        processes: int | None = None,
        fit: Literal["final", "evaluation"] = "final",
        probabilities: Mapping[str, str] | None = None,
        unproved: bool = False,
    ) -> pa.Table:
        """The scores of :meth:`scored` as one table."""
        import pyarrow as pa

        return pa.Table.from_batches(
            list(
                self.scored(
                    input_parquet,
                    exclude=exclude,
                    progress=progress,
                    processes=processes,
                    fit=fit,
                    probabilities=probabilities,
                    unproved=unproved,
                )
            )
        )

    def scored(
        self,
        input_parquet: Path,
        *,
        exclude: Iterable[int] | None = None,
        progress: Progress | None = None,
        processes: int | None = None,
        fit: Literal["final", "evaluation"] = "final",
        probabilities: Mapping[str, str] | None = None,
        unproved: bool = False,
        leaves: tuple[int, int] | None = None,
    ) -> Generator[pa.RecordBatch]:
        """Score the rows of a Parquet file, in its order, after the checks of :meth:`verify`.

        Scores come as they are made; no more than a few leaves are held, however long the file is.

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
        probabilities : mapping of str to str, optional
            Class to the column of its probability; added in this order. It must name every class
            that the package was trained on; any other class named has 0.
        unproved : bool
            Score although the golden rows give other bits on this numeric environment: to measure
            how far apart the two are, never to publish.
        leaves : (int, int), optional
            Only these leaves of 65,536 rows: the first, and the one after the last; default: all.

        Yields
        ------
        pa.RecordBatch
            ``score`` float64 and, unless it is a regression, ``label`` string; one row for each row
            kept. At least one batch, perhaps without rows.

        Raises
        ------
        IntegrityError
            See :meth:`verify`.
        ModelError
            A feature is missing or of another type, the pipeline failed, or ``probabilities`` leaves out a
            class of the package.
        """
        from rescore.model.class_probabilities import in_declared_columns, refuse_unnamed_classes

        rows, labels = self._rows_of(input_parquet), self.manifest.target.labels
        if probabilities:
            refuse_unnamed_classes(labels, probabilities, f"{self.name} {self.version}")
        first, last = (0, rows) if leaves is None else (min(edge * LEAF_ROWS, rows) for edge in leaves)
        if processes is None:
            processes = min(2, os.cpu_count() or 1) if last - first >= _WORTH_TWO else 1
        positions = sorted({int(position) for position in exclude or ()})
        if positions and not 0 <= positions[0] <= positions[-1] < rows:
            raise ModelError(
                f"excluded positions reach from {positions[0]:,} to {positions[-1]:,}",
                where=str(input_parquet),
                expected=f"positions of its {number_of(rows, 'row')}, from 0",
            )
        away = bisect_left(positions, last) - bisect_left(positions, first)
        wanted, given, began = last - first - away, 0, time.monotonic()
        with self._unpacked() as run:
            options = ["--exclude", str(_save_positions(positions, run.work))] if positions else []
            # What older packages do not know is passed only where it is asked for.
            options += ["--fit", fit] if fit != "final" else []
            options += ["--probabilities"] if probabilities else []
            options += ["--unproved"] if unproved else []
            way = self._in_leaves if self._knows_leaves else self._in_ranges
            with closing(way(run, input_parquet.absolute(), options, (first, last), processes)) as batches:
                for batch in batches:
                    given += batch.num_rows
                    if progress is not None:
                        left = time_left(given, wanted, time.monotonic() - began)
                        progress(f"scored {given:,} of {number_of(wanted, 'row')}{left and ', '}{left}")
                    yield in_declared_columns(batch, labels, probabilities) if probabilities else batch
        if given != wanted:
            raise ModelError(
                f"{self.name} {self.version} gave {number_of(given, 'score')}",
                where=str(input_parquet),
                expected=f"{wanted:,}, one for each row kept",
            )

    def _rows_of(self, input_parquet: Path) -> int:
        """How many rows a file has that holds all features."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(input_parquet) as file:
            rows, columns = file.metadata.num_rows, file.schema_arrow.names
        features = self.manifest.feature_names
        missing = [name for name in features if name not in columns]
        if missing:
            raise ModelError(
                f"features are missing from {input_parquet.name}: {', '.join(missing)}",
                where=f"{self.name} {self.version}",
                expected=f"all of: {', '.join(features)}",
                fix="extract them",
                data={"missing": missing},
            )
        return int(rows)

    @property
    def _knows_leaves(self) -> bool:
        """Whether its runtime answers leaf by leaf; older ones score a range of rows into a file."""
        return f"{self.name}/_runtime/leaves.py" in self.manifest.files

    def _in_leaves(
        self, run: _Unpacked, file: Path, options: list[str], rows: tuple[int, int], processes: int
    ) -> Generator[pa.RecordBatch]:
        from rescore.model.leaf_flow import flow  # imports pyarrow

        command = ["-m", self.name, "score-leaves", str(file), str(run.work), *options, "--lines"]

        def start(team: Team) -> Child:
            return self._child(team, command, run)

        leaves = whole_leaves(rows, -(-(rows[1] - rows[0]) // LEAF_ROWS))
        yield from flow(start, leaves, run.work, min(processes, len(leaves)))

    def _in_ranges(
        self, run: _Unpacked, file: Path, options: list[str], rows: tuple[int, int], processes: int
    ) -> Generator[pa.RecordBatch]:
        import pyarrow as pa

        team = Team()

        def part(out: Path, bounds: tuple[int, int]) -> None:
            limits = ["--rows", f"{bounds[0]}:{bounds[1]}"]
            self._command(team, ["score", str(file), str(out), *options, *limits], run)

        ranges = whole_leaves(rows, processes)
        outputs = [run.work / f"scores_{number}.arrow" for number in range(len(ranges))]
        team.run([partial(part, *one) for one in zip(outputs, ranges, strict=True)])
        for out in outputs:
            with pa.memory_map(str(out)) as source:
                written = pa.ipc.open_file(source)
                yield pa.RecordBatch.from_pylist([], written.schema)
                for number in range(written.num_record_batches):
                    yield written.get_batch(number)

    @contextmanager
    def _unpacked(self) -> Iterator[_Unpacked]:
        """A fresh folder, readable by this user alone, with the package's files; gone afterwards.

        Nothing that was on the disk before is run: no bytecode, no file and no link of anybody's. If the
        package has an environment of its own, a change to it since its check, or during the run, is an error.
        """
        if self.seal:
            self.seal.compare()
        self.scratch.mkdir(parents=True, exist_ok=True)
        with scratch_folder(self.scratch, prefix="package-") as folder:
            run = _Unpacked(folder / "code", folder / "work")
            run.work.mkdir()
            unpack(self.wheel, run.code)
            yield run
        if self.seal:
            self.seal.compare()

    def _command(self, team: Team, arguments: Sequence[str], run: _Unpacked) -> None:
        command = ["-m", self.name, *arguments, "--lines"]
        with self._child(team, command, run) as child:
            for _ in child.messages():
                pass

    def _child(self, team: Team, command: Sequence[str], run: _Unpacked) -> Child:
        types = list(self.manifest.artifact.types)
        return team.start(command, folder=run.work, path=[run.code], python=self.python, types=types)


@dataclass(frozen=True)
class _Unpacked:
    """Where a package's files are for one run, and where its child interpreters may write."""

    code: Path
    work: Path


def open_package(
    path: Path,
    *,
    expected_sha256: str,
    cache: Path,
    environments: Path | None = None,
    progress: Progress | None = None,
) -> Package:
    """Read a package file once and verify what was read.

    Where other versions are installed than it was built with, it runs in an environment of its own,
    which is built unless it is there. The environment is checked here, and again before and after each
    run. The golden rows are checked by each :meth:`Package.predict`, before its first score.

    Parameters
    ----------
    path : Path
        The wheel.
    expected_sha256 : str
        ``sha256:<hex>`` or the bare hex.
    cache : Path
        Where private folders for its child interpreters are made.
    environments : Path, optional
        The folder of packages' own environments. Default: none is used, other versions are an error.
    progress : callable, optional
        Receives a line when an environment is built.

    Raises
    ------
    DigestMismatchError
        The file is not what was recorded; says which member.
    EnvironmentMismatchError
        Other versions are installed than it was built with, and no environment of its own can be
        built; lists each.
    """
    expected, wheel = Sha256(expected_sha256), path.read_bytes()
    found = bytes_sha256(wheel)
    if found != expected:
        changed = changed_members(path) or [
            "only the zip file's own structure; the content of each member is as recorded"
        ]
        raise DigestMismatchError(
            f"the package {path.name} is not what was recorded: got {found}",
            where=str(path),
            expected=expected,
            examples=changed,
            fix="restore the file from the archive's backup, or pin another package",
            data={"file": str(path), "expected": expected, "found": found, "changed": changed},
        )
    manifest = manifest_of(wheel, path)
    package = Package(manifest.name, manifest.version, expected, manifest, wheel, cache)
    different = differences(manifest.requirements)
    if not different:
        return package
    if environments is not None:
        own = own_environment(manifest, package.data("requirements.txt"), environments)
        own.build(progress)
        return replace(package, seal=own.check())
    raise EnvironmentMismatchError(
        f"{package.name} {package.version} was built with other versions than are installed here",
        where=str(path.name),
        expected="exactly the versions it was built with",
        examples=difference_lines(different),
        fix="install what the package's requirements.txt lists, or train the model anew here",
        data={"different": different},
    )


def whole_leaves(rows: tuple[int, int], processes: int) -> list[tuple[int, int]]:
    """Cut rows, from the first of a leaf on, into at most ``processes`` ranges of whole leaves."""
    first, last = rows
    leaves = -(-(last - first) // LEAF_ROWS)
    count = max(1, min(processes, leaves))
    edges = [first + leaves * number // count * LEAF_ROWS for number in range(count)]
    return list(zip(edges, [*edges[1:], last], strict=True))


def _save_positions(positions: Sequence[int], folder: Path) -> Path:
    path = folder / "excluded.i8"
    path.write_bytes(array("q", positions).tobytes())
    return path
