"""A bundle proves a run without Rescore, and not one byte of it can be changed unseen."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from rescore import pipeline
from rescore.cli import main
from rescore.errors import DigestMismatchError, NotFoundError, ParameterError
from rescore.local import LocalPostgres
from rescore.pipeline.audit import bundle_verifier
from rescore.sha256 import bytes_sha256
from tests.pipeline.audit.forging import (
    about,
    deflated,
    head_at,
    members,
    repacked,
    stripped,
    swapped,
    told_of,
    told_otherwise,
    with_last_bit,
    with_scores_invented,
    with_wheel,
)
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


def command(*arguments: str, code: int = 0) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == code


def test_a_bundle_verifies_with_the_standard_library_alone(bundle: Path, tmp_path: Path) -> None:
    script = tmp_path / "verify.py"
    script.write_bytes(members(bundle)["verify.py"])
    head = json.loads(members(bundle)["bundle.json"])["head"]
    script_run = [sys.executable, "-I", "-S", str(script), str(bundle), "--head", head]
    done = subprocess.run(script_run, capture_output=True, text=True, check=False, env={})
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("VERIFIED\n")
    assert f"the chain holds the kept head {head}" in done.stdout
    assert "state published, as publication 1" in done.stdout
    assert "pinned by tester" in done.stdout
    wrong = head[:-1] + ("0" if head[-1] != "0" else "1")
    done = subprocess.run([*script_run[:-1], wrong], capture_output=True, text=True, check=False, env={})
    assert done.returncode == 1
    assert done.stdout.startswith("BROKEN: the kept head")


def test_without_a_kept_head_the_verdict_says_on_what_it_stands(bundle: Path) -> None:
    assert bundle_verifier.verify(bundle.read_bytes())[-1].startswith("VERIFIED in itself: without --head")
    invented = repacked(with_scores_invented(members(bundle)))
    assert bundle_verifier.verify(invented)[-1].startswith("VERIFIED in itself: without --head")


def test_a_head_kept_before_the_run_does_not_cover_it(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Real entries up to the pin, and all that came after them invented: the genuine head is in the chain."""
    inside = members(bundle)
    [pinned] = told_of(inside, "pin")
    head = head_at(inside, pinned)
    forged = repacked(with_scores_invented(inside))
    for content in (bundle.read_bytes(), forged):
        with pytest.raises(
            bundle_verifier.Uncovered, match=r'says nothing .* run \["[0-9a-f-]+"\].*publicat'
        ):
            bundle_verifier.verify(content, head)
    with pytest.raises(bundle_verifier.Broken, match="the kept head: expected"):
        bundle_verifier.verify(forged, head_at(inside, max(told_of(inside, "run"))))
    (tmp_path / "forged.zip").write_bytes(forged)
    assert bundle_verifier.main([str(tmp_path / "forged.zip"), "--head", head]) == 1
    assert capsys.readouterr().out.startswith(f"NOT COVERED: the kept head is that of entry {pinned}")
    with pytest.raises(DigestMismatchError, match="does not cover"):
        pipeline.check_bundle(bundle, head=head)


def test_what_entered_after_the_kept_head_is_named(harbour: Harbour, published: str, tmp_path: Path) -> None:
    """A package that is pinned again later still has the pin that its scores were made under."""
    head = harbour.ctx.store.chain.head()
    run = harbour.ctx.store.runs.scored(published)
    harbour.ctx.store.pins.add("tides", run.package_version, run.package_sha256, who="tester", why="again")
    out = tmp_path / "x.zip"
    pipeline.export_bundle(harbour.ctx, out, run_id=published)
    said = pipeline.check_bundle(out, head=str(head))
    assert said[-1].startswith("VERIFIED but for what the kept head does not cover: pin [2] (entry ")


def test_a_reason_may_hold_any_line_separator(harbour: Harbour, published: str, tmp_path: Path) -> None:
    ctx = harbour.ctx
    pipeline.pin(ctx, "tides", "1.0.0", who="ada", why="pasted\u2028from\u2029a\u0085letter")
    done = pipeline.export_bundle(ctx, tmp_path / "out.zip", run_id=published)
    assert done.sha256 == bytes_sha256((tmp_path / "out.zip").read_bytes())


@pytest.mark.parametrize(
    ("table", "guard", "change"),
    [
        ("pin", "append_only", "who = 'mallory'"),
        ("run", "published_is_final", "as_of = as_of + interval '1 s'"),
    ],
)
def test_a_rewrite_through_the_chain_is_no_bundle(
    harbour: Harbour, published: str, tmp_path: Path, table: str, guard: str, change: str
) -> None:
    """Guards off, changed, guards on: each last entry is what the row says, and a later head holds."""
    for statement in (
        f"ALTER TABLE rescore.{table} DISABLE TRIGGER {guard}",
        f"UPDATE rescore.{table} SET {change}",
        f"ALTER TABLE rescore.{table} ENABLE TRIGGER {guard}",
    ):
        harbour.execute(statement)
    with pytest.raises(DigestMismatchError, match=f"{table} .*must not change was changed"):
        pipeline.export_bundle(harbour.ctx, tmp_path / "x.zip", run_id=published)


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


FORGERIES: dict[str, tuple[Any, str]] = {
    "a pin's author": (lambda inside: swapped(inside, "rows/pin.json", b"tester", b"testes"), "column who"),
    "an entry": (lambda inside: swapped(inside, "chain.jsonl", b"tester", b"testes"), "chain entry"),
    "a frozen value": (
        lambda inside: with_last_bit(inside, "input/leaf-00000.bin"),
        "input/leaf-00000.bin",
    ),
    "a score": (
        lambda inside: with_last_bit(inside, "scores/leaf-00000.bin"),
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
    "no leaves": (
        lambda inside: {name: content for name, content in inside.items() if "/leaf-" not in name},
        "input/leaf-00000.bin is missing",
    ),
    "a leaf by two names": (
        lambda inside: {**inside, "scores/leaf-0.bin": inside["scores/leaf-00000.bin"]},
        "scores/leaf-0.bin is no leaf",
    ),
    "another run's name": (lambda inside: about(inside, run_id="other"), "the run that bundle.json is about"),
    "another model's name": (lambda inside: about(inside, model="other"), "the model that bundle.json is"),
    "another interval": (
        lambda inside: about(inside, interval="2024-03-01T00:00:00Z/2024-03-02T00:00:00Z"),
        "the interval that bundle.json is about",
    ),
    "another row than the score's": (
        lambda inside: about(inside, one={"frozen_position": 3, "score_position": 4}),
        "the score's place",
    ),
    "a row that is not there": (
        lambda inside: about(inside, one={"frozen_position": 10**6, "score_position": 10**6}),
        "input has 72 rows",
    ),
    "another run's validation": (
        lambda inside: told_otherwise(inside, "validation", run_id="other"),
        "the run of a row in rows/validation.json",
    ),
    "another run's drift": (
        lambda inside: told_otherwise(inside, "drift", run_id="other"),
        "the run of a row in rows/drift.json",
    ),
    "another run's publication": (
        lambda inside: told_otherwise(inside, "publication", run_id="other"),
        "the run of a row in rows/publication.json",
    ),
    "another package's build": (
        lambda inside: told_otherwise(inside, "build", sha256="other"),
        "the file of a row in rows/build.json",
    ),
    "other rows' snapshot": (
        lambda inside: told_otherwise(inside, "snapshot", digest="other"),
        "a row in rows/snapshot.json is neither",
    ),
    "a publication of a run that is not published": (
        lambda inside: told_otherwise(inside, "run", state="checked"),
        "the run's state is checked, and it has 1 publications",
    ),
    "an unpublished run's publication stripped": (
        lambda inside: {
            name: content
            for name, content in stripped(inside, *told_of(inside, "publication")).items()
            if name != "rows/publication.json"
        },
        "the run's state is published, and it has 0 publications",
    ),
    "another lock": (
        lambda inside: {**inside, "package/requirements.txt": b"numpy==0\n"},
        "not the lock in the wheel",
    ),
    "another signature": (
        lambda inside: {**inside, "package/signatures.json": b'[{"mediaType": "x"}]'},
        "other signatures than rows/signature.json",
    ),
    "a wheel that grows": (
        lambda inside: with_wheel(inside, deflated(bytes(10**6))),
        "holds tides/_data/manifest.json compressed",
    ),
    "a wheel that is none": (lambda inside: with_wheel(inside, b"none"), "can't be read: BadZipFile"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forgery_with_all_member_digests_made_anew_is_noticed(bundle: Path, forgery: str) -> None:
    change, expected = FORGERIES[forgery]
    with pytest.raises(bundle_verifier.Broken, match=expected):
        bundle_verifier.verify(repacked(change(members(bundle))))


def test_a_member_with_the_name_of_none_is_listed_like_any_other(bundle: Path) -> None:
    """``bundle.json`` and ``bundle.sha256`` alone are outside of the list."""
    inside = {**members(bundle), "bundle.exe": b"run me"}
    with pytest.raises(bundle_verifier.Broken, match=r"other members than are listed: \['bundle.exe'\]"):
        bundle_verifier.verify(bundle_verifier.written(inside))


def test_a_pin_that_is_not_there_is_not_spoken_of(bundle: Path) -> None:
    inside = members(bundle)
    del inside["rows/pin.json"]
    said = bundle_verifier.verify(repacked(stripped(inside, *told_of(inside, "pin"))))
    assert any("no pin of it is here" in line for line in said)
    assert not any("pinned by" in line for line in said)


def test_a_zip_that_grows_is_refused_before_it_is_read(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lying = bytearray(bundle.read_bytes())
    with zipfile.ZipFile(bundle) as archive:
        lying[archive.start_dir + 24 : archive.start_dir + 28] = (2**31).to_bytes(4, "little")
    monkeypatch.setattr(zipfile.ZipFile, "read", None)
    for content, expected in (
        (deflated(bytes(10**6)), "compressed"),
        (bytes(lying), "says that its members"),
    ):
        with pytest.raises(bundle_verifier.Broken, match=expected):
            bundle_verifier.verify(content)


def test_whatever_a_forger_writes_into_a_member_the_answer_is_ours(bundle: Path) -> None:
    inside = members(bundle)
    unread = {"README.txt", "verify.py", "model-card.md", "bundle.sha256"}
    for name in inside.keys() - unread:
        for content in (b"", b"7", b"[7]", b"{}", b'[{"key": [1], "row": []}]', b"\xff", b"[" * 10**5):
            if name == "bundle.json":
                forged = {**inside, name: content, "bundle.sha256": f"{bytes_sha256(content)}\n".encode()}
                file = bundle_verifier.written(forged)
            else:
                file = repacked({**inside, name: content})
            with pytest.raises(bundle_verifier.Broken):
                bundle_verifier.verify(file)


def test_a_file_that_is_not_there_is_said_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bundle_verifier.main([str(tmp_path / "none.zip")]) == 1
    assert "none.zip" in capsys.readouterr().out
    for unreadable in (tmp_path / "none.zip", tmp_path):
        with pytest.raises(ParameterError, match="can't be read"):
            pipeline.check_bundle(unreadable)


def test_a_bundle_is_for_its_owner_alone_and_whole(harbour: Harbour, published: str, tmp_path: Path) -> None:
    out = tmp_path / "out" / "x.zip"
    out.parent.mkdir()
    before = os.umask(0)
    try:
        pipeline.export_bundle(harbour.ctx, out, run_id=published)
    finally:
        os.umask(before)
    assert out.stat().st_mode & 0o777 == 0o600
    out.unlink()
    out.mkdir()
    with pytest.raises(IsADirectoryError):
        pipeline.export_bundle(harbour.ctx, out, run_id=published)
    assert [*out.parent.iterdir()] == [out]


def test_a_run_and_a_key_are_not_both_taken(harbour: Harbour, published: str, tmp_path: Path) -> None:
    out = tmp_path / "x.zip"
    with pytest.raises(ParameterError, match="both a run and a key"):
        pipeline.export_bundle(harbour.ctx, out, run_id=published, model_name="tides", key={"gauge": "north"})
    command("audit", "export", "--run", published, "--key", "gauge=north", "--out", str(out), code=2)
    assert not out.exists()


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


def test_rows_without_a_score_are_accounted_for_by_kind_and_place(harbour: Harbour, tmp_path: Path) -> None:
    changed = "UPDATE harbour.readings SET pressure = %s WHERE gauge = %s AND measured_at = %s"
    for value, gauge in ((None, "lock"), (2000.0, "pier")):
        harbour.execute(changed, value, gauge, harbour.day(32).start)
    run = pipeline.score_interval(harbour.ctx, "tides", harbour.day(32))
    whole, one = tmp_path / "whole.zip", tmp_path / "one.zip"
    pipeline.export_bundle(harbour.ctx, whole, run_id=run.run_id)
    last = harbour.ctx.store.scores.of_run(run).to_pylist()[-1]
    key = {name: last[name] for name in ("gauge", "reading")}
    pipeline.export_bundle(harbour.ctx, one, model_name="tides", key=key)
    for path in (whole, one):
        inside = members(path)
        kinds = swapped(inside, "excluded.json", b'"rejected"', b'"quarantined"')
        with pytest.raises(bundle_verifier.Broken, match="quarantined rows: expected 1, got 2"):
            bundle_verifier.verify(repacked(kinds))
        excluded = json.loads(inside["excluded.json"])
        assert sorted(row["kind"] for row in excluded) == ["quarantined", "rejected"]
        excluded[0]["position"] += 1
        moved = {**inside, "excluded.json": json.dumps(excluded).encode()}
        with pytest.raises(bundle_verifier.Broken, match="not of the frozen rows that were kept"):
            bundle_verifier.verify(repacked(moved))


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
    with zipfile.ZipFile(io.BytesIO(inside["package/tides-1.0.0-py3-none-any.whl"])) as wheel:
        held = wheel.read("tides-1.0.0.dist-info/sboms/rescore.cdx.json")
    assert inside["package/sbom.cdx.json"] == held


def test_the_card_says_what_is_known_and_what_is_not(bundle: Path) -> None:
    card = members(bundle)["model-card.md"].decode()
    for said in ("# tides", "pressure: numeric, hPa", "tester: first", "The store does not know", "Annex IV"):
        assert said in card
    assert io.BytesIO(card.encode()).readline().startswith(b"# tides 1.0.0")
