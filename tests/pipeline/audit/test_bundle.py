"""A bundle proves a run without Rescore, and not one byte of it can be changed unseen."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rescore import pipeline
from rescore.cli import main
from rescore.digest import LEAF_ROWS, canonical_leaf, table_digest
from rescore.errors import DigestMismatchError, NotFoundError, ParameterError
from rescore.local import LocalPostgres
from rescore.pipeline.audit import bundle_verifier
from rescore.sha256 import bytes_sha256
from tests.shared.harbour import Harbour, harbour_context


@pytest.fixture(scope="session")
def bundle(
    trained_harbour: tuple[str, Path],
    postgres_server: LocalPostgres,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The bundle of the published day, which tests only read."""
    template, home = trained_harbour
    out = tmp_path_factory.mktemp("out") / "tides.zip"
    url = postgres_server.create_database("harbour_exported", template=template)
    with harbour_context(postgres_server, url, home) as ctx:
        [run] = ctx.store.runs.published("tides")
        done = pipeline.export_bundle(ctx, out, run_id=run.run_id)
    postgres_server.drop_database("harbour_exported")
    assert done.sha256 == bytes_sha256(out.read_bytes())
    return out


def command(*arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def repacked(inside: dict[str, bytes]) -> bytes:
    """The bundle as somebody would forge it: every digest of a member made anew."""
    listed = json.loads(inside["bundle.json"])
    listed["members"] = {
        name: bytes_sha256(content) for name, content in inside.items() if not name.startswith("bundle.")
    }
    inside = {**inside, "bundle.json": json.dumps(listed).encode()}
    inside["bundle.sha256"] = f"{bytes_sha256(inside['bundle.json'])}\n".encode()
    return bundle_verifier.written(inside)


def test_a_bundle_verifies_with_the_standard_library_alone(bundle: Path, tmp_path: Path) -> None:
    script = tmp_path / "verify.py"
    script.write_bytes(members(bundle)["verify.py"])
    head = json.loads(members(bundle)["bundle.json"])["head"]
    script_run = [sys.executable, "-I", "-S", str(script), str(bundle), "--head", head]
    done = subprocess.run(script_run, capture_output=True, text=True, check=False, env={})
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("VERIFIED\n")
    assert f"the chain holds the kept head {head}" in done.stdout
    wrong = head[:-1] + ("0" if head[-1] != "0" else "1")
    done = subprocess.run([*script_run[:-1], wrong], capture_output=True, text=True, check=False, env={})
    assert done.returncode == 1
    assert done.stdout.startswith("BROKEN: the kept head")


def test_two_exports_of_the_same_history_are_the_same_bytes(
    harbour: Harbour, published: str, bundle: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again.zip"
    pipeline.export_bundle(harbour.ctx, again, run_id=published)
    assert again.read_bytes() == bundle.read_bytes()


def test_one_flipped_bit_anywhere_is_noticed(bundle: Path) -> None:
    """In every member at its ends and within, and in the zip's own bytes between and after them."""
    content = bytearray(bundle.read_bytes())
    places = {0, len(content) - 1, *range(0, len(content), max(1, len(content) // 150))}
    with zipfile.ZipFile(bundle) as archive:
        for info in archive.infolist():
            start = info.header_offset
            data = start + 30 + len(info.filename)
            places |= {start + 4, start + 10, start + 30, data, data + info.file_size // 2}
            places.add(data + info.file_size - 1)
        places |= set(range(archive.start_dir, len(content), 41))
    for place in sorted(places):
        content[place] ^= 1
        with pytest.raises(bundle_verifier.Broken):
            bundle_verifier.verify(bytes(content))
        content[place] ^= 1
    bundle_verifier.verify(bytes(content))


def _swap(inside: dict[str, bytes], name: str, old: bytes, new: bytes) -> dict[str, bytes]:
    assert old in inside[name], (name, old)
    return {**inside, name: inside[name].replace(old, new, 1)}


def _last_bit(inside: dict[str, bytes], name: str) -> dict[str, bytes]:
    return {**inside, name: inside[name][:-1] + bytes([inside[name][-1] ^ 1])}


FORGERIES: dict[str, tuple[Any, str]] = {
    "a pin's author": (lambda inside: _swap(inside, "rows/pin.json", b"tester", b"testes"), "column who"),
    "an entry": (lambda inside: _swap(inside, "chain.jsonl", b"tester", b"testes"), "chain entry"),
    "a frozen value": (
        lambda inside: _last_bit(inside, "input/leaf-00000.bin"),
        "input/leaf-00000.bin",
    ),
    "a score": (
        lambda inside: _last_bit(inside, "scores/leaf-00000.bin"),
        "scores/leaf-00000.bin",
    ),
    "a row left out": (
        lambda inside: {name: content for name, content in inside.items() if name != "rows/publication.json"},
        "its row is missing",
    ),
    "a row set aside": (
        lambda inside: {**inside, "excluded.json": b'[{"position": 0, "kind": "rejected", "reason": "x"}]'},
        "rows without a score",
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forgery_with_all_member_digests_made_anew_is_noticed(bundle: Path, forgery: str) -> None:
    change, expected = FORGERIES[forgery]
    with pytest.raises(bundle_verifier.Broken, match=expected):
        bundle_verifier.verify(repacked(change(members(bundle))))


def test_one_score_is_proved_by_its_leaf(
    harbour: Harbour,
    published: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RESCORE_HOME", str(harbour.home))
    monkeypatch.setenv("RESCORE_MODELS", str(harbour.ctx.settings.models))
    monkeypatch.setenv("RESCORE_DATABASE_URL", str(harbour.ctx.settings.database_url))
    row = harbour.ctx.store.scores.of_run(published).to_pylist()[3]
    out = tmp_path / "one.zip"
    key = [f"gauge={row['gauge']}", f"reading={row['reading']}"]
    command("audit", "export", "--model", "tides", "--key", key[0], "--key", key[1], "--out", str(out))
    about = json.loads(members(out)["bundle.json"])["about"]
    scores = bundle_verifier.parse_leaf(
        members(out)["scores/leaf-00000.bin"], json.loads(members(out)["scores/digest.json"])["columns"]
    )
    assert scores["score"][about["one"]["score_position"]] == row["score"]
    monkeypatch.delenv("RESCORE_DATABASE_URL")
    command("audit", "check", str(out))
    assert "all rows are accounted for" in capsys.readouterr().out
    with pytest.raises(NotFoundError, match="no current score"):
        pipeline.export_bundle(harbour.ctx, out, model_name="tides", key={"gauge": "nowhere"})
    with pytest.raises(ParameterError, match="current scores have this key"):
        pipeline.export_bundle(harbour.ctx, out, model_name="tides", key={"gauge": row["gauge"]})


def test_what_is_not_as_recorded_is_not_exported(harbour: Harbour, published: str, tmp_path: Path) -> None:
    harbour.execute(
        "SET session_replication_role = replica; UPDATE rescore.scores_tides SET score = score + 1"
    )
    with pytest.raises(DigestMismatchError, match="root of scores"):
        pipeline.export_bundle(harbour.ctx, tmp_path / "x.zip", run_id=published)
    assert not (tmp_path / "x.zip").exists()


def test_a_changed_bundle_is_an_error_of_ours(bundle: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed.zip"
    changed.write_bytes(bundle.read_bytes() + b"x")
    with pytest.raises(DigestMismatchError, match="does not verify"):
        pipeline.check_bundle(changed)


def test_the_bill_of_materials_names_the_lock(bundle: Path) -> None:
    inside = members(bundle)
    bill = json.loads(inside["package/sbom.cdx.json"])
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    lock = inside["package/requirements.txt"].decode()
    named = {f"{one['name']}=={one['version']}" for one in bill["components"]}
    assert named == {line.split()[0] for line in lock.splitlines() if "==" in line}
    assert (
        bill["metadata"]["component"]["hashes"][0]["content"]
        in json.loads(inside["rows/package.json"])[0]["row"]["sha256"]
    )


def test_the_card_says_what_is_known_and_what_is_not(bundle: Path) -> None:
    card = members(bundle)["model-card.md"].decode()
    for said in ("# tides", "pressure: numeric, hPa", "tester: first", "The store does not know", "Annex IV"):
        assert said in card
    assert io.BytesIO(card.encode()).readline().startswith(b"# tides 1.0.0")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(0, 40), seed=st.integers(0, 99))
def test_the_bytes_of_a_leaf_are_those_of_its_digest_and_read_back(rows: int, seed: int) -> None:
    import numpy as np
    import pyarrow as pa

    rng = np.random.default_rng(seed)
    table = pa.table(
        {
            "flag": pa.array([None if x < 0.2 else x < 0.6 for x in rng.random(rows)], pa.bool_()),
            "number": pa.array([None if x < 0.2 else int(x * 99) for x in rng.random(rows)], pa.int32()),
            "name": pa.array([None if x < 0.2 else f"é{x:.2f}" for x in rng.random(rows)], pa.string()),
            "score": pa.array(rng.random(rows), pa.float64()),
        }
    )
    digest = table_digest(table)
    leaf = canonical_leaf(table)
    assert [bytes_sha256(leaf)] * (rows > 0) == list(digest.leaves)
    columns = [list(column) for column in digest.columns]
    assert bundle_verifier.parse_leaf(leaf, columns) == table.to_pydict()
    assert LEAF_ROWS == bundle_verifier._LEAF_ROWS
