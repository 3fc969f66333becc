"""Store and archive from a backup, taken at different moments: what was published still proves itself."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rescore import pipeline
from rescore.local import LocalPostgres, postgres_binaries
from tests.shared.harbour import MODEL, Harbour, harbour_context

Restore = Callable[[Path, Path], Harbour]


def program(name: str, *arguments: str) -> None:
    done = subprocess.run(
        [str(postgres_binaries() / name), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def restore(postgres_server: LocalPostgres, tmp_path: Path) -> Iterator[Restore]:
    """Make a store and an archive of their own from a dump and a copy, as the guide says."""
    made: list[tuple[Harbour, str]] = []

    def into(dump: Path, archive: Path) -> Harbour:
        name = f"restored_{uuid.uuid4().hex[:12]}"
        url = postgres_server.create_database(name)
        program("pg_restore", "--exit-on-error", "--dbname", url, str(dump))
        home = tmp_path / name
        shutil.copytree(archive, home / "archive")
        harbour = Harbour(harbour_context(postgres_server, url, home), url, home)
        made.append((harbour, name))
        return harbour

    yield into
    for harbour, name in made:
        harbour.ctx.store.close()
        postgres_server.drop_database(name)


def copy(harbour: Harbour, to: Path) -> Path:
    return Path(shutil.copytree(harbour.home / "archive", to))


def missing(harbour: Harbour) -> list[str]:
    return [str(one) for one in pipeline.verify_history(harbour.ctx, scores=True, files=True).findings]


@pytest.mark.slow
def test_store_and_archive_are_restored_from_different_moments(
    harbour: Harbour, published: str, restore: Restore, tmp_path: Path
) -> None:
    ctx = harbour.ctx
    before = copy(harbour, tmp_path / "archive before")
    second = pipeline.score_interval(ctx, MODEL, harbour.day(32)).run_id
    head = str(ctx.store.chain.head())
    dump = tmp_path / "store.dump"
    program("pg_dump", "--format=custom", "--file", str(dump), harbour.url)
    pipeline.score_interval(ctx, MODEL, harbour.day(33))
    later = str(ctx.store.chain.head())
    after = copy(harbour, tmp_path / "archive after")

    # In the order that the guide names: the store, then the archive. Nothing is missing.
    whole = restore(dump, after)
    runs = whole.ctx.store.publications.run_ids(MODEL)
    assert runs == [published, second]
    assert {pipeline.reproduce_run(whole.ctx, run).verdict for run in runs} == {"identical"}
    assert missing(whole) == []
    assert pipeline.verify_history(whole.ctx, [head]).findings == ()
    # What was published after the dump is gone, and whoever kept a later head is told so.
    assert pipeline.verify_history(whole.ctx, [later]).findings
    # It works on: the day that was lost is scored again, to the same digest.
    again = pipeline.score_interval(whole.ctx, MODEL, whole.day(33))
    [lost] = ctx.store.runs.published(MODEL, interval=harbour.day(33))
    assert again.score_digest == lost.score_digest

    # The other way round: what was frozen in between is missing, and named.
    part = restore(dump, before)
    digest = part.ctx.store.runs.scored(second).input_digest
    [found] = missing(part)
    assert "the archive has no file of it" in found and digest in found
    [archive] = [one for one in pipeline.examine(part.ctx) if one.about == f"archive of {MODEL}"]
    assert (archive.state, str(part.day(32)) in archive.said) == ("warning", True)
    assert pipeline.reproduce_run(part.ctx, published).verdict == "identical"
    # The source still shows the rows as they were known then; without it there is no evidence left.
    from_source = pipeline.reproduce_run(part.ctx, second)
    assert from_source.verdict == "identical" and "source" in from_source.reason
    part.execute("DELETE FROM harbour.readings")
    gone = pipeline.reproduce_run(part.ctx, second)
    assert gone.verdict == "not_rederivable" and digest.removeprefix("sha256:") in gone.reason


@pytest.mark.slow
def test_a_package_that_the_backup_lacks_stops_what_would_score_with_it(
    harbour: Harbour, published: str, restore: Restore, tmp_path: Path
) -> None:
    dump = tmp_path / "store.dump"
    program("pg_dump", "--format=custom", "--file", str(dump), harbour.url)
    archive = copy(harbour, tmp_path / "archive")
    shutil.rmtree(archive / "packages")
    part = restore(dump, archive)
    sha256 = part.ctx.store.pins.current(MODEL).sha256  # type: ignore[union-attr]
    [found] = missing(part)
    assert "package tides 1.0.0" in found and sha256 in found
    [doctor] = [one for one in pipeline.examine(part.ctx) if one.about == f"archive of {MODEL}"]
    assert doctor.state == "fault" and sha256 in doctor.said
    assert sha256 in pipeline.reproduce_run(part.ctx, published).reason
