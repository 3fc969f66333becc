"""Export a run, or one score of it, with all that proves it, as one file that verifies offline."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from rescore import model
from rescore.digest import table_digest
from rescore.disk import disk_errors, partial_name, scratch_folder
from rescore.errors import DigestMismatchError, NotFoundError, ParameterError
from rescore.interval import Interval
from rescore.leaf_bytes import canonical_leaf
from rescore.leaf_rows import LEAF_ROWS
from rescore.manifest import Manifest
from rescore.pipeline.audit import bundle_verifier
from rescore.pipeline.audit.model_card import model_card
from rescore.pipeline.context import Context
from rescore.progress import Progress, Ticker, counted, silent
from rescore.sha256 import bytes_sha256
from rescore.store import ChainedRow, ScoredRun, row_columns

__all__ = ["Exported", "check_bundle", "export_bundle"]

_README = """\
What proves the scores of one run, for somebody who has neither Rescore nor its database.

    python3 verify.py FILE.zip                       the standard library is enough
    python3 verify.py FILE.zip --head N:sha256:...   also: the chain holds this head, which somebody
                                                     kept after the run; the last line says what that proves

verify.py says at its top what it compares. Run a copy of it that you trust: a release has one.

input/         the frozen rows that were scored: digest.json names columns, rows, leaves; leaf-*.bin are the
               bytes that the leaves' digests are of, and parse_leaf in verify.py reads them
scores/        the scores, likewise
excluded.json  positions of frozen rows that got no score, and why
package/       the model's wheel, its lock, its CycloneDX bill of materials, its signatures (Sigstore bundles)
rows/          the store's rows about all that; an object in a row is {"json": its text}
chain.jsonl    the hash chain from the first entry about these rows to the head; others by digest only
model-card.md  what the store knows of the model, by the headings of Annex IV

To derive the scores again (this needs pyarrow, which the lock names): install package/requirements.txt and
the wheel into an empty environment, and run python -m NAME on the rows. To verify a signature:
python -m model_signing verify key, or `rescore audit check FILE.zip --public-key KEY`.
"""


@dataclass(frozen=True)
class Exported:
    """A bundle: its file, the sha256 of it, the run, and the head of the chain in it."""

    path: str
    sha256: str
    run_id: str
    head: str
    members: int
    bytes: int


def export_bundle(
    ctx: Context,
    out: Path,
    *,
    run_id: str | None = None,
    model_name: str | None = None,
    key: Mapping[str, str] | None = None,
    interval: Interval | None = None,
) -> Exported:
    """Write what proves a run's scores into one zip file.

    With a key only the leaves (of up to 65,536 rows) that hold that row are in it; they hold other rows, too.

    Parameters
    ----------
    ctx : Context
        Store and archive.
    out : Path
        The file; replaced whole.
    run_id : str, optional
        A run that staged scores.
    model_name, key, interval : optional
        Instead of a run: the current score of a key.

    Raises
    ------
    NotFoundError
        No such run or score, or its frozen rows or its package are gone.
    ParameterError
        The key has several current scores; or neither a run nor a key is given, or both.
    DiskFullError
        No room for the file.
    DigestMismatchError
        Something is not what was recorded: nothing is exported.
    """
    one = None
    if run_id is not None and (model_name is not None or key):
        raise ParameterError("both a run and a key are given", expected="--run ID, or MODEL and --key")
    if run_id is None:
        if model_name is None or not key:
            raise ParameterError("neither a run nor a key is given", expected="--run ID, or MODEL and --key")
        run_id, one = _found(ctx, model_name, key, interval)
    run = ctx.store.runs.scored(run_id)
    _, frozen, _, erased = ctx.frozen(run)
    scores = ctx.store.scores.of_run(run)
    if erased or run.run_id in ctx.store.erasures.of_scores():
        raise NotFoundError(
            f"rows of run {run.run_id} were erased: a bundle can't prove rows that are gone",
            where=f"{run.model} {run.interval}",
            expected="a run whose frozen rows and scores are there",
            fix="`rescore audit verify --scores --files` proves the others through the tombstones",
        )
    if gone := ctx.store.deletions.of_runs([run.run_id]).get(run.run_id):
        raise NotFoundError(
            f"the scores of run {run.run_id} were {gone}: a bundle can't prove what is gone",
            where=f"{run.model} {run.interval}",
            expected="a run whose frozen rows and scores are there",
        )
    positions = None if one is None else _positions(ctx, run, scores, one)
    members = dict(_members(ctx, run, frozen, scores, positions))
    about: dict[str, Any] = {"run_id": run.run_id, "model": run.model, "interval": str(run.interval)}
    if positions is not None:
        about["one"] = {"frozen_position": positions[0], "score_position": positions[1]}
    last = json.loads(members["chain.jsonl"].rstrip(b"\n").rpartition(b"\n")[2])
    head = f"{last['number']}:{last['digest']}"
    described = {
        "format": 1,
        "about": about,
        "head": head,
        "rescore": version("rescore"),
        "members": {name: bytes_sha256(content) for name, content in members.items()},
    }
    members["bundle.json"] = _json(described)
    members["bundle.sha256"] = f"{bytes_sha256(members['bundle.json'])}\n".encode()
    content = bundle_verifier.written(members)
    _verified(content, f"run {run.run_id}", None, ctx.progress)
    _write(out, content)
    return Exported(str(out), bytes_sha256(content), run.run_id, head, len(members), len(content))


def _write(out: Path, content: bytes) -> None:
    """Write the file whole or not at all, for its owner alone from its first byte on."""
    partial = out.with_name(partial_name(out.name))
    try:
        with disk_errors([out.parent]):
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def check_bundle(
    path: Path,
    *,
    head: str | None = None,
    public_key: Path | None = None,
    progress: Progress = silent,
) -> list[str]:
    """Verify a bundle with this release's own verifier; with a key, its package's signature, too.

    Raises
    ------
    DigestMismatchError
        Something in it is not what was exported, or the kept head is older than what it has to prove.
    SignatureError
        No signature in it is by the owner of the key.
    ParameterError
        The file can't be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ParameterError(
            f"the bundle {str(path)!r} can't be read: {error.strerror or error}",
            expected="a file that `rescore audit export --out FILE` wrote",
        ) from error
    said = _verified(content, str(path), head, progress)
    if public_key is not None:
        said.insert(-1, _signed(path, public_key))
    return said


def _verified(content: bytes, where: str, head: str | None, progress: Progress) -> list[str]:
    say = Ticker(progress)
    try:
        return bundle_verifier.verify(content, head, say.step)
    except bundle_verifier.Uncovered as error:
        raise DigestMismatchError(
            f"the kept head does not cover the bundle: {error}",
            where=where,
            expected="a head that was kept after the run, its publication and a pin of its package",
            fix="keep heads more often (`rescore audit anchor`), or trust the file as far as its sender",
        ) from error
    except bundle_verifier.Broken as error:
        raise DigestMismatchError(
            f"the bundle does not verify: {error}",
            where=where,
            expected="a file that `rescore audit export --out FILE` wrote, unchanged, of rows as recorded",
            fix="`rescore audit verify --scores --files` says what was changed in the store; or ask for the "
            "file again, and compare the sha256 that the export printed",
        ) from error


def _found(
    ctx: Context, model_name: str, key: Mapping[str, str], interval: Interval | None
) -> tuple[str, dict[str, Any]]:
    found = ctx.store.scores.of_key(model_name, key, interval=interval)
    rows = [(run_id, row) for run_id, table in found for row in table.to_pylist()]
    if not rows:
        raise NotFoundError(
            f"{model_name} has no current score of this key",
            where=", ".join(f"{name}={value}" for name, value in key.items()),
            fix="give the whole key, as the view `scores.<model>` shows it",
        )
    if len(rows) > 1:
        raise ParameterError(
            f"{len(rows)} current scores have this key",
            expected="one",
            examples=[str(row) for _, row in rows],
            fix="give more of the key, or the interval",
        )
    return rows[0]


def _positions(ctx: Context, run: ScoredRun, scores: pa.Table, one: Mapping[str, Any]) -> tuple[int, int]:
    """Where the row of one score stands among the frozen rows, and among the scores."""
    names = row_columns(scores)
    wanted = tuple(one[name] for name in names)
    columns = zip(*(scores[name].to_pylist() for name in names), strict=True)
    place = next(number for number, row in enumerate(columns) if row == wanted)
    excluded = set(ctx.store.excluded.positions(run))
    kept = (position for position in range(run.rows_extracted) if position not in excluded)
    return next(position for number, position in enumerate(kept) if number == place), place


def _members(
    ctx: Context,
    run: ScoredRun,
    frozen: pa.Table,
    scores: pa.Table,
    positions: tuple[int, int] | None,
) -> Iterator[tuple[str, bytes]]:
    yield "README.txt", _README.encode()
    yield "verify.py", Path(bundle_verifier.__file__).read_bytes()
    wheel = ctx.archive.get_package(run.package_sha256)
    package = ctx.store.packages.find(run.model, run.package_sha256)
    pins = [pin for pin in ctx.store.pins.of_model(run.model) if pin.sha256 == run.package_sha256]
    rows = list(_rows(ctx, run, package.manifest))
    yield "model-card.md", model_card(package, pins, rows).encode()
    for folder, table, position in (("input", frozen, 0), ("scores", scores, 1)):
        yield f"{folder}/digest.json", _json(table_digest(table).to_dict())
        leaves = range(-(-table.num_rows // LEAF_ROWS))
        for number in counted(leaves, f"leaves of {folder}", ctx.progress):
            if positions is None or number == positions[position] // LEAF_ROWS:
                leaf = canonical_leaf(table.slice(number * LEAF_ROWS, LEAF_ROWS))
                yield f"{folder}/leaf-{number:05d}.bin", leaf
    yield "excluded.json", _json(ctx.store.excluded.kinds(run))
    yield f"package/{wheel.name}", wheel.read_bytes()
    lock = model.lock_of(wheel)
    yield "package/requirements.txt", lock.encode()
    yield "package/sbom.cdx.json", model.bill_of(wheel)
    signatures = ctx.store.signatures.of_package(run.model, run.package_sha256)
    yield "package/signatures.json", _json([one.bundle for one in signatures])
    for table_name in sorted({row.table for row in rows}):
        told = [{"key": row.key, "row": row.row} for row in rows if row.table == table_name]
        yield f"rows/{table_name}.json", _json(told)
    yield (
        "chain.jsonl",
        "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in _chain(ctx, rows)).encode(),
    )


def _rows(ctx: Context, run: ScoredRun, manifest: Manifest) -> Iterator[ChainedRow]:
    of_package = {"model": run.model, "sha256": run.package_sha256}
    trained = manifest.lineage.snapshot_digest
    wanted: list[tuple[str, dict[str, Any]]] = [
        *((table, of_package) for table in ("package", "build", "signature", "pin")),
        *(
            ("snapshot", {"model": run.model, "digest": digest})
            for digest in dict.fromkeys((run.input_digest, trained))
            if digest is not None
        ),
        *(
            (table, {"run_id": run.run_id})
            for table in ("run", "validation", "drift", "publication", "performance", "reproduction")
        ),
    ]
    for table, conditions in wanted:
        yield from ctx.store.chain.rows(table, **conditions)


def _chain(ctx: Context, rows: list[ChainedRow]) -> Iterator[dict[str, Any]]:
    """The chain from the first entry about these rows on; the entries about others by digest only."""
    about = {entry.number: entry for row in rows for entry in ctx.store.chain.about(row.table, row.key)}
    for number, previous, digest, entry_sha256 in ctx.store.chain.links(min(about)):
        text = {"entry": about[number].entry} if number in about else {}
        yield {
            "number": number,
            "previous": previous,
            "digest": digest,
            "entry_sha256": entry_sha256,
            **text,
        }


def _signed(path: Path, public_key: Path) -> str:
    from rescore.errors import SignatureError

    with zipfile.ZipFile(path) as archive, scratch_folder() as scratch:
        [name] = [name for name in archive.namelist() if name.endswith(".whl")]
        wheel = scratch / Path(name).name
        wheel.write_bytes(archive.read(name))
        bundles = json.loads(archive.read("package/signatures.json"))
        refused = None
        for bundle in bundles:
            try:
                model.verify_file(wheel, bundle, public_key)
            except SignatureError as error:
                refused = error
                continue
            return f"the package is signed by the owner of {public_key}"
    raise refused or SignatureError(
        "the bundle's package is not signed",
        where=str(path),
        expected=f"a signature by the owner of {public_key}",
        fix="sign the package (`rescore packages sign MODEL --key FILE`), and export again",
    )


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
