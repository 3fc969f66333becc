"""Bundles as a forger would write them: whatever is changed, all digests that depend on it are made anew."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from rescore.digest import table_digest
from rescore.leaf_bytes import canonical_leaf
from rescore.pipeline.audit import bundle_verifier
from rescore.sha256 import bytes_sha256


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def repacked(inside: dict[str, bytes]) -> bytes:
    """The bundle as somebody would forge it: every digest of a member made anew."""
    listed = json.loads(inside["bundle.json"])
    listed["members"] = {
        name: bytes_sha256(content)
        for name, content in inside.items()
        if name not in ("bundle.json", "bundle.sha256")
    }
    inside = {**inside, "bundle.json": json.dumps(listed).encode()}
    inside["bundle.sha256"] = f"{bytes_sha256(inside['bundle.json'])}\n".encode()
    return bundle_verifier.written(inside)


def retold(inside: dict[str, bytes], change: Callable[[str, dict[str, Any]], object]) -> dict[str, bytes]:
    """The store's rows changed, and the chain made anew from the first entry about a changed row on."""
    inside, rows = dict(inside), {}
    for name in [name for name in inside if name.startswith("rows/")]:
        table = name.removeprefix("rows/").removesuffix(".json")
        told = json.loads(inside[name])
        for row in told:
            before = json.dumps(row)
            change(table, row["row"])
            if json.dumps(row) != before:
                rows[table, json.dumps(row["key"])] = {
                    column: {"sha256": bytes_sha256(value["json"].encode()).removeprefix("sha256:")}
                    if isinstance(value, dict)
                    else value
                    for column, value in row["row"].items()
                }
        inside[name] = json.dumps(told).encode()
    lines: list[dict[str, Any]] = []
    for line in inside["chain.jsonl"].decode().splitlines():
        entry = json.loads(line)
        told = json.loads(entry.get("entry", "{}"))
        if told and (told["table"], json.dumps(told["key"])) in rows:
            row = dict(rows[told["table"], json.dumps(told["key"])])
            if told["table"] == "run" and told["row"]["state"] != "published":  # it ends once
                row["state"] = told["row"]["state"]
            entry["entry"] = json.dumps({**told, "row": row})
            entry["entry_sha256"] = bytes_sha256(entry["entry"].encode())
        entry["previous"] = lines[-1]["digest"] if lines else entry["previous"]
        parts = ("rescore chain 1", str(entry["number"]), entry["previous"], entry["entry_sha256"])
        lines.append({**entry, "digest": bytes_sha256("\n".join(parts).encode())})
    inside["chain.jsonl"] = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
    head = f"{lines[-1]['number']}:{lines[-1]['digest']}"
    return {**inside, "bundle.json": json.dumps({**json.loads(inside["bundle.json"]), "head": head}).encode()}


def told_otherwise(inside: dict[str, bytes], table: str, **columns: Any) -> dict[str, bytes]:
    return retold(inside, lambda of, row: row.update(columns) if of == table else None)


def stripped(inside: dict[str, bytes], *numbers: int) -> dict[str, bytes]:
    """Entries of the chain by digest only, as those about others are."""
    lines = [json.loads(line) for line in inside["chain.jsonl"].splitlines()]
    kept = [{k: v for k, v in one.items() if k != "entry" or one["number"] not in numbers} for one in lines]
    return {**inside, "chain.jsonl": "".join(f"{json.dumps(line)}\n" for line in kept).encode()}


def told_of(inside: dict[str, bytes], table: str) -> dict[int, dict[str, Any]]:
    """The entries about a table, by number."""
    lines = [json.loads(line) for line in inside["chain.jsonl"].splitlines()]
    told = {line["number"]: json.loads(line["entry"]) for line in lines if "entry" in line}
    return {number: entry for number, entry in told.items() if entry["table"] == table}


def head_at(inside: dict[str, bytes], number: int) -> str:
    lines = [json.loads(line) for line in inside["chain.jsonl"].splitlines()]
    return next(f"{number}:{line['digest']}" for line in lines if line["number"] == number)


def about(inside: dict[str, bytes], **facts: Any) -> dict[str, bytes]:
    described = json.loads(inside["bundle.json"])
    described["about"].update(facts)
    return {**inside, "bundle.json": json.dumps(described).encode()}


def with_wheel(inside: dict[str, bytes], wheel: bytes) -> dict[str, bytes]:
    """Another file in place of the package, and every row told of it."""
    [name] = [name for name in inside if name.endswith(".whl")]
    [run] = json.loads(inside["rows/run.json"])
    root = json.loads(run["row"]["score_digest"]["json"])["root"]
    sha256 = bytes_sha256(wheel)
    bound = ("rescore binding 1", run["row"]["input_digest"], sha256, root, str(run["row"]["rows_scored"]))

    def change(table: str, row: dict[str, Any]) -> None:
        if table == "run":
            row.update(package_sha256=sha256, binding=bytes_sha256("\n".join(bound).encode()))
        elif "sha256" in row:
            row["sha256"] = sha256

    return {**retold(inside, change), name: wheel}


def deflated(content: bytes) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tides/_data/manifest.json", content)
    return output.getvalue()


def with_scores_invented(inside: dict[str, bytes]) -> dict[str, bytes]:
    """Other scores, with leaf, root, run, binding and chain made to agree."""
    kinds = {
        "string": pa.string(),
        "int32": pa.int32(),
        "timestamp[us, UTC]": pa.timestamp("us", "UTC"),
        "float64": pa.float64(),
    }
    columns = json.loads(inside["scores/digest.json"])["columns"]
    values = bundle_verifier.parse_leaf(inside["scores/leaf-00000.bin"], columns)
    values["score"] = [score + 1 for score in values["score"]]
    table = pa.table({name: pa.array(values[name], kinds[kind]) for name, kind in columns})
    digest = table_digest(table)
    [run] = [one["row"] for one in json.loads(inside["rows/run.json"])]
    bound = ("rescore binding 1", run["input_digest"], run["package_sha256"], digest.root, str(digest.rows))
    made = told_otherwise(
        inside,
        "run",
        score_digest={"json": json.dumps(digest.to_dict())},
        binding=bytes_sha256("\n".join(bound).encode()),
    )
    made["scores/leaf-00000.bin"] = canonical_leaf(table)
    return {**made, "scores/digest.json": json.dumps(digest.to_dict()).encode()}


def swapped(inside: dict[str, bytes], name: str, old: bytes, new: bytes) -> dict[str, bytes]:
    assert old in inside[name], (name, old)
    return {**inside, name: inside[name].replace(old, new, 1)}


def with_last_bit(inside: dict[str, bytes], name: str) -> dict[str, bytes]:
    return {**inside, name: inside[name][:-1] + bytes([inside[name][-1] ^ 1])}
