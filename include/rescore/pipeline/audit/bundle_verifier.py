#!/usr/bin/env python3
r"""Verify a bundle with Python's standard library alone: ``python3 verify.py FILE.zip [--head N:sha256:…]``.

This file is copied into every bundle as ``verify.py``; it imports nothing of Rescore. What it compares::

    the file      byte for byte, with the file that its members make (stored, in order, no dates)
    members       with their sha256 in bundle.json, and that with bundle.sha256
    chain         each entry's digest: sha256("rescore chain 1" \n number \n digest before \n sha256 of entry)
    kept head     with the chain, and with the last entry about each row: a later one is not covered
    history       each entry about a row with the one before it: nothing that is final was changed
    rows          with the last entry about each; objects and arrays by the sha256 of their text; all with
                  the one run, its model, interval and package
    leaves        of frozen rows and scores, none missing, with the roots that the run's row names
    binding       sha256("rescore binding 1" \n input \n package \n score root \n rows), with the run's
    package       the wheel's sha256, with run, pin and package; its manifest, with the package's row; its
                  lock, bill of materials and signatures, with the wheel's and with the rows
    accounting    extracted = scored + quarantined + rejected; each score's key, with its frozen row's

Only a head that was kept outside, after the run, proves that all this was not made anew: give it with
--head. It exits with 0 if all holds, 1 if something does not, or the head covers too little.
"""

from __future__ import annotations

import datetime
import hashlib
import io
import json
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_LEAF_ROWS = 65_536
_WIDTHS = {"int16": "h", "int32": "i", "int64": "q", "float64": "d", "date32": "i", "timestamp[us, UTC]": "q"}


#: What names a run's scores: bound once. Reports of a run are final from these states of it on.
_BOUND = ("binding", "input_digest", "package_version", "package_sha256", "score_digest", "rows_scored")
_FINAL_IN = {
    "validation": ("validated", "scored", "checked", "published", "failed", "stopped"),
    "drift": ("checked", "published", "failed", "stopped"),
}
#: Reports that an erasure takes a person out of: this column alone changes then.
_ERASED = {"run": "error", "reproduction": "details"}

#: Every row in a bundle is about its run, or about the package that scored it.
_OF_RUN = ("run", "validation", "drift", "publication", "performance", "reproduction")
_OF_PACKAGE = ("package", "build", "signature", "pin")
_UNPROVED = (
    "not verified here: signatures (they need a library); that the package gives these scores (install it);"
    " that no other entry, here by digest only, is about these rows, or supersedes the publication; which row"
    " without a score has which kind and reason; model-card.md, README.txt and verify.py, which the export"
    " adds, and package/sbom.cdx.json where the wheel holds no bill of materials"
)


#: A row of the store by column: its values are JSON, an object or array in it is {"json": its text}.
Row = Mapping[str, Any]
#: Rows by table.
Rows = Mapping[str, list[Row]]
#: What is read, how many parts of it are done, how many there are.
Step = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Entry:
    """The text of an entry of the chain: which row, what was done to it, and what the row was then."""

    number: int
    table: str
    key: list[Any]
    action: str
    row: Row

    @property
    def where(self) -> str:
        """Table and key, as they are named in what is said."""
        return _name(self.table, self.key)


@dataclass(frozen=True)
class One:
    """Which score a bundle is of, where it is of one: its place among the frozen rows, and the scores."""

    frozen_position: int
    score_position: int


@dataclass(frozen=True)
class Leaves:
    """A table in a bundle: how many rows, columns with their types, and the leaves that are here, by name."""

    rows: int
    columns: list[list[str]]
    whole: bool
    here: Mapping[str, bytes]


class Broken(Exception):
    """The bundle is not what was exported."""


class Uncovered(Broken):
    """The kept head is older than what it has to prove."""


def verify(content: bytes, head: str | None = None, step: Step | None = None) -> list[str]:
    """Verify a bundle.

    Parameters
    ----------
    content : bytes
        The zip file.
    head : str, optional
        A head that was kept, ``12:sha256:…``: the bundle's chain must hold it.
    step : callable, optional
        Receives what is read, and how many parts of it are done and there are.

    Returns
    -------
    list of str
        What was verified, in words; the last line is the verdict, and says what it stands on.

    Raises
    ------
    Broken
        What is not as it was exported.
    Uncovered
        The run, its package or publication, or every pin entered the chain after the kept head.
    """
    try:
        return _verified(content, head, step)
    except Broken:
        raise
    except Exception as error:  # a forged member may break any reader
        raise Broken(f"a member can't be read: {type(error).__name__}: {error}") from error


def _verified(content: bytes, head: str | None, step: Step | None) -> list[str]:
    members = _members(content)
    described = json.loads(members["bundle.json"])
    _same("the format of bundle.json", 1, described["format"])
    about = described["about"]
    one = None if about.get("one") is None else One(**about["one"])
    entries = _chain(members["chain.jsonl"], described["head"], head)
    rows, unnamed = _rows(members, entries)
    run = _one(rows, "run")
    said = [f"{len(members)} members, {len(entries)} entries of the chain up to {described['head']}"]
    verdict = "VERIFIED in itself: without --head, nothing shows that it was not made anew as a whole"
    if head is not None:
        said.append(f"the chain holds the kept head {head}")
        later = _later(entries, int(head.partition(":")[0]))
        verdict = (
            f"VERIFIED but for what the kept head does not cover: {', '.join(later)}" if later else "VERIFIED"
        )
    said.append(f"{sum(map(len, rows.values()))} rows are those that entered the chain")
    said += [f"no entry names {where}: it is not verified" for where in unnamed]
    said.append(_about(about, run, rows))
    frozen = _leaves(members, "input", run["input_digest"], one)
    scores = _leaves(members, "scores", json.loads(run["score_digest"]["json"])["root"], one)
    said.append(
        f"{frozen.rows} frozen rows and {scores.rows} scores have the digests of run {run['run_id']}"
        + ("" if frozen.whole and scores.whole else "; the leaves of one row are here, the others by digest")
    )
    _bound(run)
    _account(members, run, frozen, scores, one, step)
    said.append("input, package and scores are bound to each other; all rows are accounted for")
    said.append(_package(members, run, rows))
    return [*said, _UNPROVED, verdict]


def _members(content: bytes) -> dict[str, bytes]:
    try:
        members = _unpacked(content, "the file")
    except Broken:
        raise
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
    ours = ("bundle.json", "bundle.sha256")
    present = {name: _sha(member) for name, member in members.items() if name not in ours}
    if listed.keys() != present.keys():
        raise Broken(f"other members than are listed: {sorted(listed.keys() ^ present.keys())}")
    for name, digest in present.items():
        _same(name, listed[name], digest)
    return members


def _unpacked(content: bytes, what: str) -> dict[str, bytes]:
    """The members of a zip; refused before any is read if it says that it grows."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED:
                raise Broken(f"{what} holds {info.filename} compressed; what we write is stored as it is")
        told = sum(info.file_size for info in archive.infolist())
        if told > len(content):
            raise Broken(f"{what} has {len(content)} bytes, and says that its members have {told}")
        return {info.filename: archive.read(info) for info in archive.infolist()}


def written(members: dict[str, bytes]) -> bytes:
    """The zip that members make: stored, in their order, with one date and one mode."""
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_STORED) as archive:
        for name, member in members.items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o100644 << 16
            archive.writestr(info, member)
    return output.getvalue()


def _chain(member: bytes, named: str, kept: str | None) -> dict[str, Entry]:
    """The last entry about each row, by table and key; refused if one before it was final."""
    last: dict[str, Entry] = {}
    state = None
    digests: dict[int, str] = {}
    previous = number = None
    for line in member.decode().rstrip("\n").split("\n"):  # texts may hold other line separators
        entry = json.loads(line)
        if number is not None and entry["number"] != number + 1:
            raise Broken(f"the chain has a gap after entry {number}")
        if previous is not None and entry["previous"] != previous:
            raise Broken(f"chain entry {entry['number']} does not follow the one before")
        if "entry" in entry:
            _same(f"chain entry {entry['number']}", entry["entry_sha256"], _sha(entry["entry"].encode()))
            told = json.loads(entry["entry"])
            about = Entry(entry["number"], *(told[name] for name in ("table", "key", "action", "row")))
            if _is_change(about, last.get(about.where), state):
                raise Broken(f"{about.where}: a row that must not change was changed (entry {about.number})")
            state = about.row["state"] if about.table == "run" else state
            last[about.where] = about
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
                f"the bundle's chain, {min(digests)} to {number}, has no entry {at}, the kept head's:"
                " give a head that was kept after the run and before the export"
            )
        _same("the kept head", digest, digests[int(at)])
    return last


def _is_change(told: Entry, before: Entry | None, state: str | None) -> bool:
    """Whether an entry changes what was final before it; ``state`` is the run's until here."""
    if before is None:  # a run enters the chain when its row first tells something
        return told.action not in ("insert", "found") and told.table != "run"
    if told.action == "delete":
        return True
    other = {name for name, value in before.row.items() if told.row.get(name) != value}
    if told.action == "erase":
        return not other <= {_ERASED.get(told.table)}
    if told.table == "run":
        bound = before.row.get("binding") is not None and not other.isdisjoint(_BOUND)
        return before.row["state"] in ("published", "failed") or bound
    return told.table not in _FINAL_IN or state in _FINAL_IN[told.table]


def _later(entries: Mapping[str, Entry], kept: int) -> list[str]:
    """The rows that entered after a kept head; refused if the head proves nothing of what matters."""
    later = {where: entry for where, entry in entries.items() if entry.number > kept}
    told = [f"{where} (entry {entry.number})" for where, entry in later.items()]
    pins = [where for where, entry in entries.items() if entry.table == "pin"]
    # A package may be pinned again after its run: one pin that is covered is enough.
    without = [
        f"{where} (entry {entry.number})"
        for where, entry in later.items()
        if entry.table in ("run", "package", "publication")
        or (entry.table == "pin" and later.keys() >= set(pins))
    ]
    if without:
        raise Uncovered(
            f"the kept head is that of entry {kept}, and says nothing of what entered after it:"
            f" {', '.join(without)}. Give a head that was kept after the run"
        )
    return told


def _rows(members: dict[str, bytes], entries: Mapping[str, Entry]) -> tuple[dict[str, list[Row]], list[str]]:
    """The rows by table, with the columns that their entries name; and the columns that none names."""
    found: dict[str, list[Row]] = {}
    seen: set[str] = set()
    unnamed: list[str] = []
    for name in members:
        if not name.startswith("rows/"):
            continue
        table = name.removeprefix("rows/").removesuffix(".json")
        for row in _listed(members, name):
            where = _name(table, row["key"])
            if where not in entries or entries[where].action == "delete":
                raise Broken(f"{where} did not enter the chain")
            if where in seen:
                raise Broken(f"{where} is given twice")
            named = entries[where].row
            for column, value in named.items():
                present = row["row"].get(column)
                if isinstance(present, dict):
                    present = {"sha256": _sha(present["json"].encode()).removeprefix("sha256:")}
                _same(f"{where}, column {column}", value, present)
            unnamed += [f"{where}, column {column}" for column in sorted(row["row"].keys() - named.keys())]
            found.setdefault(table, []).append({column: row["row"][column] for column in named})
            seen.add(where)
    missing = sorted(entries.keys() - seen)
    if missing:
        raise Broken(f"{missing[0]} is in the chain, and its row is missing")
    return found, unnamed


def _one(rows: Rows, table: str) -> Row:
    if len(rows.get(table, [])) != 1:
        raise Broken(f"rows/{table}.json: expected one row, got {len(rows.get(table, []))}")
    return rows[table][0]


def _about(about: Mapping[str, Any], run: Row, rows: Rows) -> str:
    """Every row is about the one run or its package; say whose scores they are, and whether published."""
    _same("the run that bundle.json is about", about["run_id"], run["run_id"])
    _same("the model that bundle.json is about", about["model"], run["model"])
    interval = [_moment(moment) for moment in about["interval"].split("/")]
    _same("the interval that bundle.json is about", interval, _interval(run))
    manifest = json.loads(_one(rows, "package")["manifest"]["json"])
    frozen = (run["input_digest"], (manifest.get("lineage") or {}).get("snapshot_digest"))
    for table, found in rows.items():
        for row in found:
            if table in _OF_RUN:
                _same(f"the run of a row in rows/{table}.json", run["run_id"], row["run_id"])
            elif table in _OF_PACKAGE:
                _same(f"the model of a row in rows/{table}.json", run["model"], row["model"])
                _same(f"the file of a row in rows/{table}.json", run["package_sha256"], row["sha256"])
            elif table != "snapshot" or row["model"] != run["model"] or row["digest"] not in frozen:
                raise Broken(f"a row in rows/{table}.json is neither about the run nor about its package")
    told = f"run {run['run_id']} of {run['model']} for {about['interval']}: state {run['state']}"
    publications = rows.get("publication", [])
    if (run["state"] == "published") != (len(publications) == 1):
        raise Broken(f"the run's state is {run['state']}, and it has {len(publications)} publications")
    for row in publications:
        _same(
            "the publication's model and interval",
            [run["model"], *_interval(run)],
            [row["model"], *_interval(row)],
        )
        told += f", as publication {row['sequence']} at {row['published_at']}"
    return told + ("" if publications else "; its scores were not published")


def _interval(row: Row) -> list[datetime.datetime]:
    return [_moment(row["interval_start"]), _moment(row["interval_end"])]


def _moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def _leaves(members: dict[str, bytes], folder: str, root: str, one: One | None) -> Leaves:
    """Compare the leaves that are here with a table's root; give the table."""
    digest = json.loads(members[f"{folder}/digest.json"])
    count = len(digest["leaves"])
    _same(f"the leaves of {folder}", -(-digest["rows"] // _LEAF_ROWS), count)
    wanted = range(count)
    if one is not None:
        position = one.frozen_position if folder == "input" else one.score_position
        if not 0 <= position < digest["rows"]:
            raise Broken(f"{folder} has {digest['rows']} rows, and bundle.json is about its row {position}")
        wanted = range(position // _LEAF_ROWS, position // _LEAF_ROWS + 1)
    names = {f"{folder}/leaf-{number:05d}.bin": number for number in wanted}
    here = {name: member for name, member in members.items() if name.startswith(f"{folder}/leaf-")}
    if lacking := sorted(names.keys() - here.keys()):
        raise Broken(f"{lacking[0]} is missing: nothing here shows the rows in it")
    if more := sorted(here.keys() - names.keys()):
        raise Broken(f"{more[0]} is no leaf that the digest of {folder} asks for")
    for name, number in names.items():
        _same(name, digest["leaves"][number], _sha(here[name]))
    made = hashlib.sha256(b"rescore.table\0" + struct.pack("<II", digest["format"], len(digest["columns"])))
    for text in (text for column in digest["columns"] for text in column):
        made.update(struct.pack("<I", len(text.encode())) + text.encode())
    made.update(struct.pack("<QQ", _LEAF_ROWS, digest["rows"]))
    for leaf in digest["leaves"]:
        made.update(bytes.fromhex(leaf.removeprefix("sha256:")))
    _same(f"the root of {folder}", root, f"sha256:{made.hexdigest()}")
    _same(f"the root in {folder}/digest.json", root, digest["root"])
    return Leaves(digest["rows"], digest["columns"], len(here) == count, here)


def _bound(run: Row) -> None:
    root = json.loads(run["score_digest"]["json"])["root"]
    parts = ("rescore binding 1", run["input_digest"], run["package_sha256"], root, str(run["rows_scored"]))
    _same("what made the scores", run["binding"], _sha("\n".join(parts).encode()))


def _account(
    members: dict[str, bytes],
    run: Row,
    frozen: Leaves,
    scores: Leaves,
    one: One | None,
    step: Step | None,
) -> None:
    counts = [run[f"rows_{name}"] for name in ("scored", "quarantined", "rejected")]
    _same("extracted = scored + quarantined + rejected", run["rows_extracted"], sum(counts))
    _same("frozen rows", run["rows_extracted"], frozen.rows)
    _same("scores", run["rows_scored"], scores.rows)
    without = _listed(members, "excluded.json")
    excluded = {row["position"] for row in without}
    _same("rows without a score", [frozen.rows - scores.rows] * 2, [len(excluded), len(without)])
    for kind in ("quarantined", "rejected"):
        _same(f"{kind} rows", run[f"rows_{kind}"], sum(row["kind"] == kind for row in without))
    # No float identifies a row: those are the score and the probabilities of classes.
    names = [name for name, kind in scores.columns if kind != "float64" and name != "label"]
    if frozen.whole and scores.whole:
        keys = _named(frozen, names, step)
        kept = [key for position, key in enumerate(keys) if position not in excluded]
        if kept != list(_named(scores, names, step)):
            raise Broken("the scores are not of the frozen rows that were kept")
    if one is not None:
        position = one.frozen_position
        before = position - sum(other < position for other in excluded)
        _same("the score's place among the rows that were kept", before, one.score_position)
        if position in excluded or _at(frozen, position, names) != _at(scores, before, names):
            raise Broken("the score is not of the frozen row")


def _named(table: Leaves, names: list[str], step: Step | None) -> Iterator[tuple[Any, ...]]:
    for number, name in enumerate(sorted(table.here)):
        if step is not None:
            folder = name.partition("/")[0]
            step(f"verifying leaves of {folder}: {number} of {len(table.here)}", number, len(table.here))
        columns = parse_leaf(table.here[name], table.columns)
        yield from zip(*(columns[name] for name in names), strict=True)


def _at(table: Leaves, position: int, names: list[str]) -> tuple[Any, ...]:
    leaf = f"leaf-{position // _LEAF_ROWS:05d}.bin"
    [member] = [member for name, member in table.here.items() if name.endswith(leaf)]
    columns = parse_leaf(member, table.columns)
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


def _package(members: dict[str, bytes], run: Row, rows: Rows) -> str:
    """Compare the wheel with run, row, manifest, lock and signatures; say who pinned it."""
    wheels = [name for name in members if name.endswith(".whl")]
    _same("wheels", 1, len(wheels))
    _same(wheels[0], run["package_sha256"], _sha(members[wheels[0]]))
    inside = _unpacked(members[wheels[0]], wheels[0])
    recorded = json.loads(_one(rows, "package")["manifest"]["json"])
    _same("the package's version", run["package_version"], _one(rows, "package")["version"])
    manifest = json.loads(_data(inside, "manifest.json"))
    for key in ("name", "version", "format", "features", "code", "artifact", "lineage"):
        _same(f"the manifest's {key}", manifest.get(key), recorded.get(key))
    if members["package/requirements.txt"] != _data(inside, "requirements.txt"):
        raise Broken("package/requirements.txt is not the lock in the wheel")
    bills = [
        content for path, content in inside.items() if path.endswith(".dist-info/sboms/rescore.cdx.json")
    ]
    if bills and bills != [members["package/sbom.cdx.json"]]:
        raise Broken("package/sbom.cdx.json is not the bill of materials in the wheel")
    signatures = [json.loads(row["bundle"]["json"]) for row in rows.get("signature", [])]
    if _texts(signatures) != _texts(_listed(members, "package/signatures.json")):
        raise Broken("package/signatures.json holds other signatures than rows/signature.json")
    pins = [f"pinned by {row['who']} at {row['pinned_at']}" for row in rows.get("pin", [])]
    told = ", ".join(pins) or "no pin of it is here, so who chose it is not shown"
    return f"package {run['package_version']} is the file that the run names as what scored; {told}"


def _data(wheel: dict[str, bytes], name: str) -> bytes:
    found = [member for path, member in wheel.items() if path.endswith(f"/_data/{name}")]
    _same(f"files {name} in the wheel", 1, len(found))
    return found[0]


def _listed(members: dict[str, bytes], name: str) -> list[Any]:
    found = json.loads(members[name])
    if not isinstance(found, list):
        raise Broken(f"{name}: expected a list, got a {type(found).__name__}")
    return found


def _texts(values: list[Any]) -> list[str]:
    return sorted(json.dumps(value, sort_keys=True) for value in values)


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
    except Uncovered as error:
        sys.stdout.write(f"NOT COVERED: {error}\n")
        return 1
    except (Broken, OSError) as error:
        sys.stdout.write(f"BROKEN: {error}\n")
        return 1
    sys.stdout.write("".join(f"{line}\n" for line in said))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
