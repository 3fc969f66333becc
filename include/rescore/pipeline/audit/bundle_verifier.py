#!/usr/bin/env python3
r"""Verify a bundle with Python's standard library alone: ``python3 verify.py FILE.zip [--head N:sha256:…]``.

This file is copied into every bundle as ``verify.py``; it imports nothing of Rescore. What it compares::

    the file      byte for byte, with the file that its members make (stored, in order, no dates)
    members       with their sha256 in bundle.json, and that with bundle.sha256
    chain         each entry's digest: sha256("rescore chain 1" \n number \n digest before \n sha256 of entry)
    rows          with the last entry about each; objects and arrays by the sha256 of their text
    leaves        of frozen rows and scores, with the roots that the run's row names
    binding       sha256("rescore binding 1" \n input \n package \n score root \n rows), with the run's
    package       the wheel's sha256, with run, pin and package; its manifest, with the package's row
    accounting    extracted = scored + quarantined + rejected; each score's key, with its frozen row's

Only a head that was kept outside proves that the chain itself was not made anew: give it with --head.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import sys
import zipfile
from collections.abc import Iterator
from typing import Any

_LEAF_ROWS = 65_536
_WIDTHS = {"int16": "h", "int32": "i", "int64": "q", "float64": "d", "date32": "i", "timestamp[us, UTC]": "q"}


class Broken(Exception):
    """The bundle is not what was exported."""


def verify(content: bytes, head: str | None = None) -> list[str]:
    """Verify a bundle.

    Parameters
    ----------
    content : bytes
        The zip file.
    head : str, optional
        A head that was kept, ``12:sha256:…``: the bundle's chain must hold it.

    Returns
    -------
    list of str
        What was verified, in words.

    Raises
    ------
    Broken
        What is not as it was exported.
    """
    members = _members(content)
    about = json.loads(members["bundle.json"])
    entries = _chain(members["chain.jsonl"], about["head"], head)
    rows = _rows(members, entries)
    [run] = rows["run"]
    said = [f"{len(members)} members, {len(entries)} entries of the chain up to {about['head']}"]
    if head is not None:
        said.append(f"the chain holds the kept head {head}")
    said.append(f"{sum(map(len, rows.values()))} rows are those that entered the chain")
    frozen = _leaves(members, "input", run["input_digest"])
    scores = _leaves(members, "scores", json.loads(run["score_digest"]["json"])["root"])
    said.append(
        f"{frozen['rows']} frozen rows and {scores['rows']} scores have the digests of run {run['run_id']}"
        + (
            ""
            if frozen["whole"] and scores["whole"]
            else "; the leaves of one row are here, the others by digest"
        )
    )
    _bound(run, rows)
    _account(members, run, frozen, scores)
    said.append("input, package and scores are bound to each other; all rows are accounted for")
    _package(members, run, rows)
    said.append(f"package {run['package_version']} is the file that was pinned and scored")
    said.append(
        "not verified here: signatures (they need a library), and that the package gives these scores"
    )
    return said


def _members(content: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
    except Exception as error:  # a changed byte may mean anything to the reader of zips
        raise Broken(f"the file is no whole zip: {error}") from error
    if written(members) != content:
        raise Broken("the file has bytes that none of its members explains")
    if "bundle.json" not in members or "bundle.sha256" not in members:
        raise Broken("bundle.json or bundle.sha256 is missing")
    _same(
        "bundle.json",
        members["bundle.sha256"].decode("ascii", "replace"),
        _sha(members["bundle.json"]) + "\n",
    )
    listed = json.loads(members["bundle.json"])["members"]
    present = {name: _sha(member) for name, member in members.items() if not name.startswith("bundle.")}
    if listed.keys() != present.keys():
        raise Broken(f"other members than are listed: {sorted(listed.keys() ^ present.keys())}")
    for name, digest in present.items():
        _same(name, listed[name], digest)
    return members


def written(members: dict[str, bytes]) -> bytes:
    """The zip that members make: stored, in their order, with one date and one mode."""
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_STORED) as archive:
        for name, member in members.items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o100644 << 16
            archive.writestr(info, member)
    return output.getvalue()


def _chain(member: bytes, named: str, kept: str | None) -> dict[str, dict[str, Any]]:
    """The last entry about each row, by table and key."""
    last: dict[str, dict[str, Any]] = {}
    digests: dict[int, str] = {}
    previous = number = None
    for line in member.decode().splitlines():
        entry = json.loads(line)
        if number is not None and entry["number"] != number + 1:
            raise Broken(f"the chain has a gap after entry {number}")
        if previous is not None and entry["previous"] != previous:
            raise Broken(f"chain entry {entry['number']} does not follow the one before")
        if "entry" in entry:
            _same(f"chain entry {entry['number']}", entry["entry_sha256"], _sha(entry["entry"].encode()))
            told = json.loads(entry["entry"])
            last[_name(told["table"], told["key"])] = {**told, "number": entry["number"]}
        number = entry["number"]
        parts = ("rescore chain 1", str(number), entry["previous"], entry["entry_sha256"])
        previous = _sha("\n".join(parts).encode())
        _same(f"chain entry {number}", entry["digest"], previous)
        digests[number] = previous
    _same("the head of the chain", named, f"{number}:{previous}")
    if kept is not None:
        at, _, digest = kept.partition(":")
        if int(at) not in digests:
            raise Broken(
                f"the bundle's chain, {min(digests)} to {number}, has no entry {at}: keep a head in between"
            )
        _same("the kept head", digest, digests[int(at)])
    return last


def _rows(members: dict[str, bytes], entries: dict[str, dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    seen: set[str] = set()
    for name, member in members.items():
        if not name.startswith("rows/"):
            continue
        table = name.removeprefix("rows/").removesuffix(".json")
        for row in json.loads(member):
            where = _name(table, row["key"])
            if where not in entries or entries[where]["action"] == "delete":
                raise Broken(f"{where} did not enter the chain")
            for column, value in entries[where]["row"].items():
                present = row["row"].get(column)
                if isinstance(present, dict):
                    present = {"sha256": _sha(present["json"].encode()).removeprefix("sha256:")}
                _same(f"{where}, column {column}", value, present)
            found.setdefault(table, []).append(row["row"])
            seen.add(where)
    missing = sorted(entries.keys() - seen)
    if missing:
        raise Broken(f"{missing[0]} is in the chain, and its row is missing")
    return found


def _leaves(members: dict[str, bytes], folder: str, root: str) -> dict[str, Any]:
    """Compare the leaves that are here with a table's root; give the table's digest."""
    digest: dict[str, Any] = json.loads(members[f"{folder}/digest.json"])
    here = {name: member for name, member in members.items() if name.startswith(f"{folder}/leaf-")}
    for name, member in here.items():
        number = int(name.rpartition("-")[2].removesuffix(".bin"))
        _same(name, digest["leaves"][number], _sha(member))
    made = hashlib.sha256(b"rescore.table\0" + struct.pack("<II", digest["format"], len(digest["columns"])))
    for text in (text for column in digest["columns"] for text in column):
        made.update(struct.pack("<I", len(text.encode())) + text.encode())
    made.update(struct.pack("<QQ", _LEAF_ROWS, digest["rows"]))
    for leaf in digest["leaves"]:
        made.update(bytes.fromhex(leaf.removeprefix("sha256:")))
    _same(f"the root of {folder}", root, f"sha256:{made.hexdigest()}")
    return {**digest, "whole": len(here) == len(digest["leaves"]), "here": here}


def _bound(run: dict[str, Any], rows: dict[str, list[dict[str, Any]]]) -> None:
    root = json.loads(run["score_digest"]["json"])["root"]
    parts = ("rescore binding 1", run["input_digest"], run["package_sha256"], root, str(run["rows_scored"]))
    _same("what made the scores", run["binding"], _sha("\n".join(parts).encode()))
    for publication in rows.get("publication", []):
        _same("the publication's run", run["run_id"], publication["run_id"])


def _account(
    members: dict[str, bytes], run: dict[str, Any], frozen: dict[str, Any], scores: dict[str, Any]
) -> None:
    counts = [run[f"rows_{name}"] for name in ("scored", "quarantined", "rejected")]
    _same("extracted = scored + quarantined + rejected", run["rows_extracted"], sum(counts))
    _same("frozen rows", run["rows_extracted"], frozen["rows"])
    _same("scores", run["rows_scored"], scores["rows"])
    excluded = {one["position"] for one in json.loads(members["excluded.json"])}
    _same("rows without a score", frozen["rows"] - scores["rows"], len(excluded))
    names = [name for name, _ in scores["columns"] if name not in ("score", "label")]
    if frozen["whole"] and scores["whole"]:
        keys = _named(frozen, names)
        kept = [key for position, key in enumerate(keys) if position not in excluded]
        if kept != list(_named(scores, names)):
            raise Broken("the scores are not of the frozen rows that were kept")
    elif "one" in json.loads(members["bundle.json"])["about"]:
        one = json.loads(members["bundle.json"])["about"]["one"]
        key = _at(frozen, one["frozen_position"], names)
        if key != _at(scores, one["score_position"], names):
            raise Broken("the score is not of the frozen row")


def _named(table: dict[str, Any], names: list[str]) -> Iterator[tuple[Any, ...]]:
    for name in sorted(table["here"]):
        columns = parse_leaf(table["here"][name], table["columns"])
        yield from zip(*(columns[name] for name in names), strict=True)


def _at(table: dict[str, Any], position: int, names: list[str]) -> tuple[Any, ...]:
    leaf = f"leaf-{position // _LEAF_ROWS:05d}.bin"
    [member] = [member for name, member in table["here"].items() if name.endswith(leaf)]
    columns = parse_leaf(member, table["columns"])
    return tuple(columns[name][position % _LEAF_ROWS] for name in names)


def parse_leaf(leaf: bytes, columns: list[list[str]]) -> dict[str, list[Any]]:
    """The values of a leaf: None for NULL; moments in microseconds since 1970, days likewise."""
    start = len(b"rescore.leaf\0")
    (rows,) = struct.unpack_from("<Q", leaf, start)
    offset, found = start + 8, {}
    bits = (rows + 7) // 8
    for name, kind in columns:
        valid, offset = leaf[offset : offset + bits], offset + bits
        values: list[Any]
        if kind == "bool":
            values = [bool(leaf[offset + row // 8] >> row % 8 & 1) for row in range(rows)]
            offset += bits
        elif kind == "string":
            lengths = struct.unpack_from(f"<{rows}I", leaf, offset)
            offset += 4 * rows
            values = []
            for length in lengths:
                values.append(leaf[offset : offset + length].decode())
                offset += length
        else:
            layout = f"<{rows}{_WIDTHS[kind]}"
            values = list(struct.unpack_from(layout, leaf, offset))
            offset += struct.calcsize(layout)
        found[name] = [value if valid[row // 8] >> row % 8 & 1 else None for row, value in enumerate(values)]
    return found


def _package(members: dict[str, bytes], run: dict[str, Any], rows: dict[str, list[dict[str, Any]]]) -> None:
    [wheel] = [name for name in members if name.endswith(".whl")]
    _same(wheel, run["package_sha256"], _sha(members[wheel]))
    for table in ("package", "pin"):
        for row in rows.get(table, []):
            _same(f"the {table}'s file", run["package_sha256"], row["sha256"])
    with zipfile.ZipFile(io.BytesIO(members[wheel])) as archive:
        [manifest] = [name for name in archive.namelist() if name.endswith("/_data/manifest.json")]
        inside = json.loads(archive.read(manifest))
    [recorded] = [json.loads(row["manifest"]["json"]) for row in rows["package"]]
    for key in ("name", "version", "format", "features", "code", "artifact", "lineage"):
        _same(f"the manifest's {key}", inside.get(key), recorded.get(key))


def _name(table: str, key: Any) -> str:
    return f"{table} {json.dumps(key, ensure_ascii=False)}"


def _sha(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _same(what: str, expected: Any, got: Any) -> None:
    if expected != got:
        raise Broken(f"{what}: expected {expected}, got {got}")


def main(arguments: list[str]) -> int:
    """Verify the file that is named; 0 if all holds."""
    if len(arguments) not in (1, 3) or (len(arguments) == 3 and arguments[1] != "--head"):
        sys.stderr.write("usage: python3 verify.py FILE.zip [--head N:sha256:...]\n")
        return 2
    try:
        with open(arguments[0], "rb") as file:  # noqa: PTH123 (short, and free of other imports)
            said = verify(file.read(), arguments[2] if len(arguments) == 3 else None)
    except (Broken, KeyError, ValueError, IndexError, TypeError, struct.error) as error:
        sys.stdout.write(f"BROKEN: {error}\n")
        return 1
    sys.stdout.write("".join(f"{line}\n" for line in said) + "VERIFIED\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
