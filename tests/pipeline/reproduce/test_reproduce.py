"""Any published run can be scored again; what stands in the way is said."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rescore import pipeline
from rescore.digest import table_digest
from rescore.errors import DigestMismatchError, NotFoundError, ParameterError, StoreError
from rescore.interval import Interval
from rescore.model.runtime.package import ulps
from rescore.pipeline.reproduce.runs import concluded, without_rows
from rescore.pipeline.reproduce.score_again import Derived
from rescore.pipeline.reproduce.verdict import judge
from rescore.store import Tombstone
from tests.shared.harbour import harbour_context


@pytest.fixture(scope="session")
def trained_harbour(trained_harbour, postgres_server, tmp_path_factory):
    """The harbour with one published day: what every test here begins with a copy of."""
    template, home = trained_harbour
    scored = tmp_path_factory.mktemp("scored")
    shutil.copytree(home / "archive", scored / "archive")
    url = postgres_server.create_database("harbour_scored", template=template)
    ctx = harbour_context(postgres_server, url, scored)
    start = datetime(2024, 2, 1, tzinfo=UTC)
    pipeline.score_interval(ctx, "tides", Interval(start, start + timedelta(days=1)))
    ctx.store.close()
    return "harbour_scored", scored


@pytest.fixture
def published(harbour):
    [run] = harbour.ctx.store.runs.published("tides")
    return run.run_id


def test_a_run_is_reproduced_without_its_source(harbour, published):
    harbour.execute("DROP SCHEMA harbour CASCADE")
    done = pipeline.reproduce_run(harbour.ctx, published)

    assert done.verdict == "identical"
    assert done.recorded_digest == done.stored_digest == done.rederived_digest
    [stored] = harbour.ctx.store.reports.reproductions(published)
    assert stored.verdict == "identical"
    assert pipeline.Reproduction.from_dict(stored.details) == done


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
    sha256 = harbour.ctx.store.runs.get(published).package_sha256
    path = harbour.ctx.archive.get_package(sha256)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(content))

    done = pipeline.reproduce_run(harbour.ctx, published)
    assert done.verdict == "not_rederivable"
    assert sha256 in done.reason
    with pytest.raises(DigestMismatchError, match=sha256):
        pipeline.score_interval(harbour.ctx, "tides", harbour.day(32))
    assert len(harbour.ctx.store.runs.published("tides")) == 1


def test_a_run_without_scores_has_nothing_to_reproduce(harbour):
    run_id = pipeline.begin_extract(harbour.ctx, "tides", harbour.day(31))
    with pytest.raises(NotFoundError, match="has no scores"):
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


def _frozen(harbour, run_id):
    path = harbour.ctx.archive.get_input(harbour.ctx.store.runs.get(run_id).input_digest)
    path.chmod(0o644)
    return path


def test_a_changed_frozen_input_is_named_and_nothing_is_derived_from_it(harbour, published):
    path = _frozen(harbour, published)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    done = pipeline.reproduce_run(harbour.ctx, published)
    assert done.verdict == "not_rederivable"
    assert path.name in done.reason
    assert not done.proved


def test_where_the_frozen_input_is_gone_the_source_as_of_then_proves_the_scores(harbour, published):
    """Also after rows were added that were not known then; and it is said."""
    _frozen(harbour, published).unlink()
    harbour.execute(
        "INSERT INTO harbour.readings SELECT 'late', reading, measured_at, pressure, moon, wind, level, now()"
        " FROM harbour.readings WHERE gauge = 'pier'"
    )
    done = pipeline.reproduce_run(harbour.ctx, published)
    assert done.verdict == "identical"
    assert "the frozen input is gone; the source as known at 2024-02-02" in done.reason


def test_a_source_that_was_rewritten_since_is_no_evidence(harbour, published):
    _frozen(harbour, published).unlink()
    harbour.execute("UPDATE harbour.readings SET moon = moon + 1 WHERE gauge = 'pier' AND reading = 750")
    done = pipeline.reproduce_run(harbour.ctx, published)
    assert done.verdict == "not_rederivable"
    assert "the source was rewritten" in done.reason
    assert harbour.ctx.store.runs.get(published).input_digest in done.reason
    harbour.execute("DROP SCHEMA harbour CASCADE")
    assert "can't give its rows again" in pipeline.reproduce_run(harbour.ctx, published).reason


def test_a_source_of_other_column_types_alone_is_named_as_that(harbour, published):
    _frozen(harbour, published).unlink()
    harbour.execute("ALTER TABLE harbour.readings ALTER COLUMN reading TYPE bigint")
    done = pipeline.reproduce_run(harbour.ctx, published)
    assert done.verdict == "not_rederivable"
    assert "in columns of other types: reading is int64 (then int32)" in done.reason


def test_a_package_that_was_retired_is_the_reason(harbour, published):
    sha256 = harbour.ctx.store.runs.get(published).package_sha256
    harbour.ctx.archive.get_package(sha256).unlink()
    done = pipeline.reproduce_run(harbour.ctx, published)
    assert done.verdict == "not_rederivable"
    assert f"the archive has no file for {sha256}" in done.reason


def test_a_row_missing_from_the_table_is_shown(harbour, published):
    harbour.execute(
        "SET session_replication_role = replica;"
        "DELETE FROM rescore.scores_tides WHERE gauge = 'lock' AND reading = 750"
    )
    done = pipeline.reproduce_run(harbour.ctx, published)
    assert (done.verdict, done.rows, done.ulps) == ("differs", 71, None)
    [difference] = done.differences
    assert difference.key["reading"] == "750"
    assert difference.published is None
    assert difference.rederived is not None


def test_on_another_processor_the_distance_is_measured(harbour, monkeypatch):
    """Kernels of an older processor, as its own machine would choose them; scoring refuses them."""
    published = pipeline.score_interval(harbour.ctx, "tides", harbour.day(33)).run_id
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    monkeypatch.setenv("NPY_DISABLE_CPU_FEATURES", "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX")
    done = pipeline.reproduce_run(harbour.ctx, published)

    assert done.verdict in {"identical", "equal_within_ulp"}
    if done.verdict == "equal_within_ulp":
        assert 0 < done.ulps < 100
        assert f"{done.ulps} ULP on another numeric environment" in done.reason
        assert "blas" in done.environment


@pytest.mark.parametrize(
    ("distance", "environment", "golden", "verdict"),
    [
        (0, {}, 0, "identical"),
        (0, {"blas": {}}, 5, "identical"),
        (1, {}, 0, "differs"),
        (1, {"blas": {}}, 0, "equal_within_ulp"),
        (1_024, {"simd": {}}, 2, "equal_within_ulp"),
        (1_025, {"simd": {}}, 2, "differs"),
        (1_025, {"simd": {}}, 100, "equal_within_ulp"),
        (None, {"blas": {}}, 0, "differs"),
    ],
)
def test_only_another_environment_excuses_a_distance_and_not_any(distance, environment, golden, verdict):
    assert judge(distance, environment, golden)[0] == verdict


@pytest.mark.parametrize(("environment", "verdict"), [({}, "differs"), ({"blas": {}}, "not_rederivable")])
def test_where_retention_took_the_scores_another_environment_is_no_difference(
    harbour, published, environment, verdict
):
    """Only digests can be compared, and they say nothing of a distance."""
    run, scores = harbour.ctx.store.runs.scored(published), harbour.ctx.store.scores.of_run(published)
    moved = scores.set_column(scores.column_names.index("score"), "score", pc.add(scores["score"], 1e-12))
    said = without_rows(run, Derived(moved, environment, 0), "they were deleted")
    assert said.verdict == verdict
    assert ("blas" in said.reason) == bool(environment)
    assert without_rows(run, Derived(scores, environment, 0), "they were deleted").verdict == "identical"


def test_a_single_score_derived_from_its_row_alone_has_the_published_bits(harbour, published):
    key = {"gauge": "lock", "reading": "750"}
    [done] = pipeline.reproduce_score(harbour.ctx, "tides", key)
    assert done.verdict == "identical"
    [(score,)] = harbour.execute("SELECT score FROM scores.tides WHERE gauge = 'lock' AND reading = 750")
    assert done.published == done.rederived == score
    assert (done.run_id, done.ulps) == (published, 0)
    [stored] = harbour.ctx.store.reports.reproductions(published)
    assert (stored.verdict, stored.details["scope"]) == ("identical", "score")
    assert pipeline.ScoreReproduction.from_dict(stored.details) == done


def test_a_single_score_changed_in_the_table_shows_both_values(harbour, published):
    harbour.execute(
        "SET session_replication_role = replica;"
        "UPDATE rescore.scores_tides SET score = score + 1e-9 WHERE gauge = 'lock' AND reading = 750"
    )
    [done] = pipeline.reproduce_score(harbour.ctx, "tides", {"gauge": "lock", "reading": "750"})
    assert done.verdict == "differs"
    assert done.published == pytest.approx(done.rederived + 1e-9)
    assert done.ulps > 1
    assert done.row()["published"] != done.row()["derived_again"]


def test_a_key_that_names_no_score_or_too_many_is_refused(harbour, published):
    with pytest.raises(NotFoundError, match=r"(?s)gauge=mole.*tides_excluded"):
        pipeline.reproduce_score(harbour.ctx, "tides", {"gauge": "mole"})
    with pytest.raises(ParameterError, match="24 published scores have gauge=lock"):
        pipeline.reproduce_score(harbour.ctx, "tides", {"gauge": "lock"})
    with pytest.raises(StoreError, match="no key column 'boat'"):
        pipeline.reproduce_score(harbour.ctx, "tides", {"boat": "lock"})
    with pytest.raises(StoreError, match=r"(?s)none of its column's type.*reading=many"):
        pipeline.reproduce_score(harbour.ctx, "tides", {"reading": "many"})
    assert harbour.ctx.store.reports.reproductions(published) == []


def test_a_package_is_proved_with_every_run_that_it_scored(harbour, published):
    done = pipeline.reproduce_package(harbour.ctx, "tides", "1.0.0")
    assert done.proved
    assert done.metrics == harbour.ctx.store.packages.find("tides", "1.0.0").manifest.metrics
    assert [run.run_id for run in done.runs] == [published]
    harbour.ctx.archive.get_package(done.sha256).unlink()
    gone = pipeline.reproduce_package(harbour.ctx, "tides", "1.0.0")
    assert not gone.proved
    assert "the archive has no file" in gone.problem


def test_a_package_is_trained_again_to_the_same_file_from_what_it_carries(harbour, tmp_path):
    """No model folder is needed: the package has its sources."""
    empty = harbour.elsewhere(tmp_path / "elsewhere")
    empty = replace(empty, settings=replace(empty.settings, models=tmp_path / "no models"))
    again = pipeline.retrain_package(empty, "tides", "1.0.0")
    assert (again.verdict, again.reason) == ("identical", "")
    assert again.again == again.sha256


def test_a_package_without_its_snapshot_is_not_trained_again_and_says_why(harbour):
    package = harbour.ctx.store.packages.find("tides", "1.0.0")
    harbour.ctx.archive.get_input(package.manifest.lineage.snapshot_digest).unlink()
    again = pipeline.retrain_package(harbour.ctx, "tides", "1.0.0")
    assert again.verdict == "not_rederivable"
    assert "the archive has no file" in again.reason


@pytest.mark.parametrize(
    ("moved", "changed", "verdict", "said"),
    [
        (0, False, "identical", "all others are identical and prove the recorded digest"),
        (
            1,
            False,
            "equal_within_ulp",
            "prove the recorded digest; derived again they are equal within 1 ULP",
        ),
        (10**6, False, "differs", "prove the recorded digest; derived again they are scores differ"),
        (1, True, "differs", "what an erasure left is not there: leaf 0"),
    ],
)
def test_an_erasure_hides_no_rounding_and_no_change(
    moved: int, changed: bool, verdict: str, said: str
) -> None:
    """On another processor: what is stored never has the recorded digest once a score was erased."""
    whole = pa.table({"loan": pa.array([1, 2, 3], pa.int32()), "score": [0.1, 0.2, 0.3]})
    rest = whole.slice(1)
    bits = np.add(np.array([0.2, 0.3]).view(np.int64), [moved, 0]).view(np.float64)
    again = Derived(rest.set_column(1, "score", pa.array(bits)), {"cpu": {"expected": "a", "found": "b"}}, 0)
    stored = rest.set_column(1, "score", pa.array([0.2, 0.5])) if changed else rest
    run: Any = SimpleNamespace(run_id="r", model="m", interval="i", score_digest=table_digest(whole).root)
    done = concluded(run, stored, again, "", Tombstone.of(table_digest(whole), rest, [0]))
    assert done.verdict == verdict and said in done.reason
