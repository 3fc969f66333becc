"""Any published run can be scored again; what stands in the way is said."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rescore import pipeline
from rescore.errors import DigestMismatchError, NotFoundError
from rescore.model.runtime.package import ulps


@pytest.fixture
def published(harbour):
    return pipeline.score_interval(harbour.ctx, "tides", harbour.day(31))["run_id"]


def test_a_run_is_reproduced_without_its_source(harbour, published):
    harbour.execute("DROP SCHEMA harbour CASCADE")
    done = pipeline.reproduce_run(harbour.ctx, published)

    assert done.verdict == "identical"
    assert done.recorded_digest == done.stored_digest == done.rederived_digest
    [stored] = harbour.ctx.store.reproductions(published)
    assert stored["verdict"] == "identical"


def test_a_score_changed_in_the_table_is_shown_with_its_key_and_distance(harbour, published):
    # The store refuses this to everybody but a superuser who switches its triggers off.
    [(_, old)] = harbour.execute(
        "SET session_replication_role = replica;"
        "UPDATE rescore.scores_tides SET score = score + 1e-9 WHERE gauge = 'lock' AND reading = 750"
        " RETURNING run_id::text, score"
    )
    done = pipeline.reproduce_run(harbour.ctx, published)

    assert done.verdict == "differs"
    assert "score table" in done.reason
    [difference] = done.differences
    assert difference.key == {"gauge": "lock", "reading": "750"} | {
        "measured_at": difference.key["measured_at"]
    }
    assert difference.published == pytest.approx(old)
    assert difference.ulps > 1


def test_one_changed_byte_in_the_package_stops_scoring_and_reproducing(harbour, published):
    sha256 = harbour.ctx.store.run(published).package_sha256
    path = harbour.ctx.archive.get_package(sha256)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(content))

    done = pipeline.reproduce_run(harbour.ctx, published)
    assert done.verdict == "not_re_derivable"
    assert sha256 in done.reason
    with pytest.raises(DigestMismatchError, match=sha256):
        pipeline.score_interval(harbour.ctx, "tides", harbour.day(32))
    assert len(harbour.ctx.store.published_runs("tides")) == 1


def test_a_run_without_scores_has_nothing_to_reproduce(harbour):
    run_id = pipeline.begin_extract(harbour.ctx, "tides", harbour.day(31))
    with pytest.raises(NotFoundError, match="no scores to reproduce"):
        pipeline.reproduce_run(harbour.ctx, run_id)


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(finite, st.integers(0, 50))
def test_ulps_count_the_steps_between_two_numbers(start, steps):
    end = start
    for _ in range(steps):
        end = math.nextafter(end, math.inf)
    # nextafter passes from the largest negative to the smallest positive through one zero, while the
    # two zeros have bits of their own.
    crossing = int(start < 0 <= end or (start == 0 and math.copysign(1, start) < 0 and steps > 0))
    distance = int(ulps(np.array([start]), np.array([end]))[0])
    if math.isfinite(end):
        assert distance in {steps, steps + crossing}
        assert distance == int(ulps(np.array([end]), np.array([start]))[0])
