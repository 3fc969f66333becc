"""Environments are built for what is pinned; a package that runs here needs none."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from rescore import pipeline
from rescore.errors import NotFoundError
from rescore.model.wheel_format import write_zip
from rescore.sha256 import file_sha256
from tests.shared.harbour import MODEL, Harbour


def test_a_package_of_todays_versions_runs_here(harbour: Harbour) -> None:
    expected = {"package": MODEL, "version": "1.0.0", "runs_in": "the environment installed here"}
    assert pipeline.build_environments(harbour.ctx) == [expected]
    assert pipeline.build_environments(harbour.ctx, MODEL, "1.0.0") == [expected]
    pinned = harbour.ctx.store.pins.current(MODEL)
    assert pinned is not None
    wheel = harbour.ctx.archive.get_package(pinned.sha256)
    assert pipeline.build_environments(harbour.ctx, str(wheel)) == [expected]
    assert not harbour.ctx.environments.exists()


def test_a_wheel_that_is_no_registered_packages_is_never_run(harbour: Harbour, tmp_path: Path) -> None:
    """To prove an environment the package is run in it, with the rights of whoever builds."""
    pinned = harbour.ctx.store.pins.current(MODEL)
    assert pinned is not None
    marker, file = tmp_path / "ran", harbour.ctx.archive.get_package(pinned.sha256)
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members[f"{MODEL}/__main__.py"] = f"open({str(marker)!r}, 'w')\n".encode()
    altered = tmp_path / file.name
    altered.write_bytes(write_zip(members))
    with pytest.raises(NotFoundError, match="is registered") as caught:
        pipeline.build_environments(harbour.ctx, str(altered))
    assert caught.value.data == {"sha256": file_sha256(altered)}
    assert not marker.exists()


def test_what_there_is_no_package_of_is_said(untrained: pipeline.Context) -> None:
    assert pipeline.build_environments(untrained) == []
    with pytest.raises(NotFoundError, match="no package of tides is pinned"):
        pipeline.build_environments(untrained, MODEL)
    with pytest.raises(NotFoundError, match="no file"):
        pipeline.build_environments(untrained, "gone.whl")
