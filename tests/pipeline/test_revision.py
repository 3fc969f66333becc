"""The revision that a run records, looked up beside people who work in the same checkout."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from rescore.pipeline import build_facts
from rescore.pipeline.build_facts import code_revision


def git(repository: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=tester", "-c", "user.email=tester@example.invalid"]
    done = subprocess.run(
        ["git", "-C", repository, *identity, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_looking_up_the_revision_changes_nothing_in_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RESCORE_CODE_REVISION", raising=False)
    file = tmp_path / "model.yaml"
    file.write_text("name: x\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "model.yaml")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    os.utime(file, (1, 1))  # git would note in its index that the content is still the same
    index = tmp_path / ".git" / "index"
    before = index.read_bytes()
    monkeypatch.setattr(build_facts, "__file__", str(tmp_path / "rescore" / "pipeline" / "build_facts.py"))
    folder = SimpleNamespace(path=tmp_path, shared_path=tmp_path)
    assert code_revision(folder) == git(tmp_path, "rev-parse", "HEAD")  # type: ignore[arg-type]
    assert index.read_bytes() == before
    git(tmp_path, "status")
    assert index.read_bytes() != before  # which is what the look-up must not do
    file.write_text("name: y\n")
    assert code_revision(folder).endswith("+dirty")  # type: ignore[arg-type]


def test_what_git_cannot_tell_counts_as_uncommitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RESCORE_CODE_REVISION", raising=False)
    (tmp_path / "model.yaml").write_text("name: x\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "model.yaml")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    monkeypatch.setattr(build_facts, "__file__", str(tmp_path / "rescore" / "pipeline" / "build_facts.py"))
    (tmp_path / ".git" / "index").write_bytes(b"no index")
    folder = SimpleNamespace(path=tmp_path, shared_path=tmp_path)
    assert code_revision(folder).endswith("+dirty")  # type: ignore[arg-type]


def test_uncommitted_changes_to_what_goes_into_every_package_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package carries the library's runtime: a revision alone would not say which."""
    monkeypatch.delenv("RESCORE_CODE_REVISION", raising=False)
    library = tmp_path / "library" / "rescore"
    (library / "model" / "runtime").mkdir(parents=True)
    (library / "pipeline").mkdir()
    runtime = library / "model" / "runtime" / "package.py"
    runtime.write_text("one = 1\n")
    models = tmp_path / "models"
    models.mkdir()
    (models / "model.yaml").write_text("name: x\n")
    for repository in (tmp_path / "library", models):
        git(repository, "init", "--quiet")
        git(repository, "add", ".")
        git(repository, "commit", "--quiet", "-m", "first")
    monkeypatch.setattr(build_facts, "__file__", str(library / "pipeline" / "build_facts.py"))
    folder = SimpleNamespace(path=models, shared_path=models)
    assert code_revision(folder) == git(models, "rev-parse", "HEAD")  # type: ignore[arg-type]
    runtime.write_text("one = 2\n")
    assert code_revision(folder).endswith("+dirty")  # type: ignore[arg-type]
