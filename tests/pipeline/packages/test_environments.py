"""Environments are built for what is pinned; a package that runs here needs none."""

from __future__ import annotations

import pytest

from rescore import pipeline
from rescore.errors import NotFoundError
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


def test_what_there_is_no_package_of_is_said(untrained: pipeline.Context) -> None:
    assert pipeline.build_environments(untrained) == []
    with pytest.raises(NotFoundError, match="no package of tides is pinned"):
        pipeline.build_environments(untrained, MODEL)
    with pytest.raises(NotFoundError, match="no file"):
        pipeline.build_environments(untrained, "gone.whl")
