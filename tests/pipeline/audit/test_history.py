"""History that is rewritten with everything that proves it is found out by whoever kept a head."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import text

from rescore import pipeline
from rescore.cli import main
from rescore.digest import table_digest
from rescore.errors import ParameterError, SettingsError, SignatureError, StoreError
from rescore.pipeline.reproduce.score_again import Frozen, derived
from rescore.sha256 import Sha256, bytes_sha256
from rescore.source import Freezer
from rescore.store import Store
from rescore.store.audit.chain import BEFORE_THE_FIRST, entry_digest
from rescore.store.audit.table_comparison import CHAINED
from rescore.store.binary_copy import copy_in
from rescore.store.database import store_table
from tests.shared.harbour import Harbour
from tests.shared.superuser import as_administrator


def findings(ctx: pipeline.Context, *heads: str, **how: Any) -> list[str]:
    return [str(finding) for finding in pipeline.verify_history(ctx, heads, **how).findings]


def binding(input_digest: str, package_sha256: str, score_digest: str, rows: int) -> Sha256:
    """What ``binding_of`` in the database says, as whoever rewrites it would work it out."""
    parts = ("rescore binding 1", input_digest, package_sha256, score_digest, rows)
    return bytes_sha256("\n".join(str(part) for part in parts).encode())


def rewrite(harbour: Harbour, run_id: str, scratch: Path) -> None:
    """As a superuser who has the archive: another input, and all that would have come of it."""
    ctx, run = harbour.ctx, harbour.ctx.store.runs.scored(run_id)
    rows = ctx.frozen_rows(run)
    place = rows.schema.get_field_index("pressure")
    forged = rows.set_column(place, "pressure", pc.add(rows["pressure"], 1.0))
    with Freezer(scratch / "forged.parquet", forged.schema, where="forged") as freezer:
        for batch in forged.to_batches():
            freezer.write(batch)
        digest = freezer.keep()
    genuine = ctx.archive.get_input(run.input_digest)
    uri = ctx.archive.put_input(scratch / "forged.parquet", digest.root)
    genuine.unlink()
    stored = ctx.store.scores.of_run(run)
    excluded = ctx.store.excluded.positions(run)
    scores: pa.Table = derived(
        ctx, run, Frozen(scratch / "forged.parquet", forged, excluded), stored.schema
    ).scores
    assert scores != stored
    made = table_digest(scores)
    with Store(as_administrator(harbour.url)) as unbound, unbound.database.transaction() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("DELETE FROM rescore.scores_tides WHERE run_id = :run"), {"run": run_id})
        copy_in(
            connection,
            store_table(connection, "scores_tides"),
            scores,
            constants={"run_id": uuid.UUID(run_id)},
        )
        connection.execute(
            text(
                "UPDATE rescore.run SET input_digest = :input, input_uri = :uri, binding = :binding,"
                " score_digest = CAST(:digest AS jsonb) WHERE run_id = :run;"
                "UPDATE rescore.snapshot SET digest = :input, uri = :uri WHERE digest = :genuine;"
                "UPDATE rescore.pin SET who = 'mallory';"
                "UPDATE rescore.publication SET reason = 'as planned';"
                "UPDATE rescore.current_publication SET reason = 'as planned'"
            ),
            {
                "input": digest.root,
                "uri": uri,
                "genuine": run.input_digest,
                "run": run_id,
                "digest": json.dumps(made.to_dict()),
                "binding": binding(digest.root, run.package_sha256, made.root, made.rows),
            },
        )
        _chain_again(connection)


def _chain_again(connection: Any) -> None:
    """Let every entry say what its row says now, and every digest what follows from it.

    A run's entries keep its states, in their order: nobody believes a run that was published four times.
    """
    previous = str(BEFORE_THE_FIRST)
    entries = connection.execute(text("SELECT number, about, key, entry FROM rescore.chain ORDER BY 1")).all()
    for number, about, key, entry in entries:
        named = " AND ".join(
            f"to_jsonb(t)->'{column}' = CAST(:key AS jsonb)->{place}"
            for place, column in enumerate(CHAINED[about])
        )
        shown = (
            "(SELECT jsonb_object_agg(f.key, CASE WHEN jsonb_typeof(f.value) IN ('object', 'array') THEN"
            " jsonb_build_object('sha256', encode(sha256(convert_to(f.value::text, 'UTF8')), 'hex'))"
            " ELSE f.value END) FROM jsonb_each(to_jsonb(t)) AS f)"
        )
        if about == "run":
            shown = f"({shown} || jsonb_build_object('state', CAST(:entry AS jsonb)->'row'->'state'))"
        query = text(
            f"SELECT jsonb_set(CAST(:entry AS jsonb), '{{row}}', {shown})::text"
            f" FROM rescore.{about} t WHERE {named}"
        )
        written = connection.execute(query, {"entry": entry, "key": key}).scalar_one()
        digest = str(entry_digest(number, previous, written))
        connection.execute(
            text("UPDATE rescore.chain SET entry = :e, previous = :p, digest = :d WHERE number = :n"),
            {"e": written, "p": previous, "d": digest, "n": number},
        )
        previous = digest


def test_a_consistent_rewrite_of_everything_is_found_by_an_old_head(
    harbour: Harbour,
    published: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    head = str(harbour.ctx.store.chain.head())
    assert findings(harbour.ctx, head, scores=True, files=True) == []
    rewrite(harbour, published, tmp_path)

    assert pipeline.reproduce_run(harbour.ctx, published).verdict == "identical"
    assert findings(harbour.ctx, scores=True, files=True) == []  # within the store all of it agrees
    [finding] = findings(harbour.ctx, head)
    assert "the history up to this entry is not the one that this head was taken of" in finding

    monkeypatch.setenv("RESCORE_HOME", str(harbour.home))
    monkeypatch.setenv("RESCORE_DATABASE_URL", str(harbour.ctx.settings.database_url))
    with pytest.raises(SystemExit) as ended:
        main(["audit", "verify", "--head", head])
    assert ended.value.code == 1
    assert "this head was taken of" in capsys.readouterr().out


def test_the_archives_files_are_compared_on_demand(harbour: Harbour, published: str) -> None:
    run = harbour.ctx.store.runs.scored(published)
    assert findings(harbour.ctx, files=True) == []
    path = harbour.ctx.archive.get_input(run.input_digest)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(bytes(content))
    package = harbour.ctx.archive.get_package(run.package_sha256)
    package.unlink()
    assert findings(harbour.ctx) == []
    changed, gone = findings(harbour.ctx, files=True)
    assert f"input snapshot of tides {run.interval}: the archive's file is not what was frozen" in changed
    assert f"package tides {run.package_version}: the archive has no file of it" in gone


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A private key, its public one beside it as ``.pub``."""
    private = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "key"
    path.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    path.with_suffix(".pub").write_bytes(
        private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return path


def test_heads_are_anchored_outside_and_signed(harbour: Harbour, key: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no place outside of the store"):
        pipeline.anchor_head(harbour.ctx)
    anchors = tmp_path / "worm"
    settings = replace(
        harbour.ctx.settings,
        anchors=str(anchors),
        signing_key=key,
        signing_public_key=key.with_suffix(".pub"),
    )
    ctx = replace(harbour.ctx, settings=settings)
    first = pipeline.anchor_head(ctx)
    assert pipeline.anchor_head(ctx) == first
    pipeline.pin(ctx, "tides", ctx.store.packages.of_model("tides")[0].version, who="ada", why="again")
    pipeline.anchor_head(ctx)
    assert pipeline.verify_history(ctx).looked_at["kept heads"] == 2
    assert findings(ctx) == []

    harbour.execute(
        "SET session_replication_role = replica; DELETE FROM rescore.chain WHERE about = 'pin';"
        "DELETE FROM rescore.pin WHERE who = 'ada'"
    )
    assert any("the entry of a kept head is gone" in finding for finding in findings(ctx))

    file = anchors / Path(first).name
    kept = json.loads(file.read_text())
    file.write_text(json.dumps(kept | {"digest": "sha256:" + "0" * 64}))
    with pytest.raises(SignatureError, match="does not hold"):
        pipeline.verify_history(ctx)
    file.with_name(f"{file.name}.sig").unlink()
    with pytest.raises(SignatureError, match="is not signed"):
        pipeline.verify_history(ctx)
    head = ctx.store.chain.head()
    assert head is not None
    another = kept | {"number": head.number, "digest": "sha256:" + "0" * 64}
    (anchors / f"{head.number:012d}.json").write_text(json.dumps(another))
    with pytest.raises(StoreError, match="another head of entry"):
        pipeline.anchor_head(ctx)


def test_a_torn_anchor_is_a_finding(harbour: Harbour, tmp_path: Path) -> None:
    """A disk that was full: the other heads are compared all the same."""
    ctx = replace(harbour.ctx, settings=replace(harbour.ctx.settings, anchors=str(tmp_path / "worm")))
    file = tmp_path / "worm" / Path(pipeline.anchor_head(ctx)).name
    whole = file.read_bytes()
    assert [one.name for one in file.parent.iterdir()] == [file.name]
    torn = file.with_name("000000000001.json")
    torn.write_bytes(whole[:20])
    [found] = findings(ctx)
    assert "anchor 000000000001.json: the kept head can't be read" in found
    assert pipeline.verify_history(ctx).looked_at["kept heads"] == 1
    file.write_bytes(whole[:20])
    with pytest.raises(StoreError, match="head that is kept there can't be read"):
        pipeline.anchor_head(ctx)


def test_a_saved_head_is_read_with_its_signature(harbour: Harbour, key: Path, tmp_path: Path) -> None:
    public = key.with_suffix(".pub")
    saved = tmp_path / "heads" / "today.json"
    head = pipeline.save_head(harbour.ctx, saved, key=key)
    assert pipeline.read_head(str(saved), public_key=public) == head
    assert findings(harbour.ctx, str(saved), public_key=public) == []
    with pytest.raises(ParameterError, match="can't be read"):
        pipeline.read_head(str(tmp_path / "nowhere.json"))
