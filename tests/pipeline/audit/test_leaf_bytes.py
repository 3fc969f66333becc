"""The bytes of a leaf, as a bundle holds them, are read by its verifier without pyarrow."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rescore.digest import table_digest
from rescore.leaf_bytes import canonical_leaf
from rescore.leaf_rows import LEAF_ROWS
from rescore.pipeline.audit import bundle_verifier
from rescore.sha256 import bytes_sha256


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(0, 40), seed=st.integers(0, 99))
def test_the_bytes_of_a_leaf_are_those_of_its_digest_and_read_back(rows: int, seed: int) -> None:
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
