"""A frozen file is whole or not there, and is read back only if not one value has changed."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rescore.digest import table_digest
from rescore.errors import DigestMismatchError, DiskFullError
from rescore.leaf_rows import LEAF_ROWS
from rescore.source import Freezer, FrozenTable, KeptColumns, read_frozen, without


def frozen(path: Path, table: pa.Table) -> str:
    with Freezer(path, table.schema, where="x.sql") as freezer:
        for batch in table.to_batches(max_chunksize=LEAF_ROWS):
            freezer.write(batch)
        return freezer.keep().root


@pytest.fixture
def table() -> pa.Table:
    values = np.random.default_rng(0).normal(size=LEAF_ROWS + 500)
    return pa.table(
        {"k": np.arange(len(values)), "v": values, "c": [f"c{i % 7}" for i in range(len(values))]}
    )


def test_what_is_read_is_what_was_frozen(tmp_path: Path, table: pa.Table) -> None:
    root = frozen(tmp_path / "x.parquet", table)
    assert root == table_digest(table).root
    assert read_frozen(tmp_path / "x.parquet", root).equals(table)
    assert read_frozen(tmp_path / "x.parquet", None).equals(table)
    assert pq.ParquetFile(tmp_path / "x.parquet").num_row_groups == 2


def test_the_same_rows_make_the_same_bytes(tmp_path: Path, table: pa.Table) -> None:
    for name in ("a", "b"):
        frozen(tmp_path / name, table)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("away", [[], [0, 7, LEAF_ROWS - 1, LEAF_ROWS, LEAF_ROWS + 499]])
def test_columns_read_one_by_one_are_those_of_the_rows_kept(
    tmp_path: Path, table: pa.Table, away: list[int]
) -> None:
    frozen(tmp_path / "x.parquet", table)
    kept, columns = without(table, away), KeptColumns(tmp_path / "x.parquet", away)
    assert (columns.column_names, columns.num_rows) == (table.column_names, kept.num_rows)
    assert all(columns[name].equals(kept[name]) for name in table.column_names)
    some = pa.array([3, LEAF_ROWS - 2, 0])
    assert columns.take(some).equals(kept.take(some))


def test_a_table_in_its_file_gives_what_the_table_would(tmp_path: Path, table: pa.Table) -> None:
    file = FrozenTable(tmp_path / "x.parquet", frozen(tmp_path / "x.parquet", table))
    assert (file.schema, file.num_rows) == (table.schema, table.num_rows)
    narrow, names = file.select(["c", "k"]), ["c", "k"]
    assert pa.Table.from_batches(narrow.to_batches(100)).equals(table.select(names))
    assert not file.read_again  # once, and by that one pass all rows are proved
    for places in ([], [0, 7, LEAF_ROWS - 1, LEAF_ROWS, LEAF_ROWS + 499], [LEAF_ROWS + 3]):
        some = pa.array(places, pa.int64())
        assert narrow.take(some).equals(table.select(names).take(some))
    assert narrow.column("c").equals(table["c"])
    assert file.read_again


@pytest.mark.parametrize("look", [lambda file: file.column("k"), lambda file: file.take(pa.array([0]))])
def test_nothing_is_given_of_rows_that_are_not_those_frozen(
    tmp_path: Path, table: pa.Table, look: Callable[[FrozenTable], object]
) -> None:
    file = FrozenTable(tmp_path / "x.parquet", frozen(tmp_path / "x.parquet", table))
    frozen(tmp_path / "x.parquet", table.set_column(2, "c", pa.array(["other"] * table.num_rows)))
    with pytest.raises(DigestMismatchError, match="not what was recorded"):
        look(file)  # neither is of the column that differs


def test_a_damaged_column_is_refused(tmp_path: Path, table: pa.Table) -> None:
    frozen(tmp_path / "x.parquet", table)
    chunk = pq.ParquetFile(tmp_path / "x.parquet").metadata.row_group(0).column(1)
    content = bytearray((tmp_path / "x.parquet").read_bytes())
    content[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 0x10
    (tmp_path / "x.parquet").write_bytes(content)
    columns = KeptColumns(tmp_path / "x.parquet")
    assert columns["k"].equals(table["k"])
    with pytest.raises(DigestMismatchError, match="can't be read"):
        columns["v"]


def test_nothing_is_left_of_an_unfinished_file(tmp_path: Path, table: pa.Table) -> None:
    (tmp_path / "x").write_text("old")

    def interrupted() -> None:
        with Freezer(tmp_path / "x", table.schema, where="x.sql") as freezer:
            freezer.write(table.to_batches()[0].slice(0, 10))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_text() == "old"


def test_a_full_disk_leaves_nothing_and_says_so(tmp_path: Path) -> None:
    table = pa.table({"v": np.random.default_rng(0).normal(size=LEAF_ROWS)})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(DiskFullError, match="a file may grow no larger here") as caught:
            frozen(tmp_path / "x.parquet", table)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.retryable
    assert "ulimit -f" in (caught.value.fix or "")
    assert (caught.value.where or "").startswith(f"{tmp_path}, ")
    assert list(tmp_path.iterdir()) == []


def test_any_changed_byte_of_the_rows_is_noticed(tmp_path: Path) -> None:
    """Flip bytes all over the file: either it is refused, or what is read is still the same table."""
    table = pa.table({"k": np.arange(200), "v": np.sin(np.arange(200)), "c": ["ab", None] * 100})
    root = frozen(tmp_path / "x.parquet", table)
    content = (tmp_path / "x.parquet").read_bytes()
    footer = int.from_bytes(content[-8:-4], "little") + 8
    refused = 0
    positions = range(4, len(content) - footer, 11)
    for position in positions:
        flipped = bytearray(content)
        flipped[position] ^= 0x10
        (tmp_path / "y.parquet").write_bytes(flipped)
        try:
            assert read_frozen(tmp_path / "y.parquet", root).equals(table)
        except DigestMismatchError:
            refused += 1
    assert refused > 0.9 * len(positions)


def test_a_forged_table_is_refused_with_the_rows_that_differ(tmp_path: Path, table: pa.Table) -> None:
    root = frozen(tmp_path / "x.parquet", table)
    metadata = pq.ParquetFile(tmp_path / "x.parquet").metadata.metadata
    values = table.column("v").to_numpy().copy()
    values[LEAF_ROWS] = np.nextafter(values[LEAF_ROWS], 1)  # one bit of one value
    forged = table.set_column(1, "v", pa.array(values)).replace_schema_metadata(metadata)
    pq.write_table(forged, tmp_path / "x.parquet")
    for expected in (root, None):
        with pytest.raises(DigestMismatchError, match="its rows were changed") as caught:
            read_frozen(tmp_path / "x.parquet", expected)
        assert len(caught.value.examples) == 1
        assert caught.value.examples[0].startswith("rows 65,536 to 66,035: expected sha256:")


def test_another_extract_is_refused(tmp_path: Path, table: pa.Table) -> None:
    frozen(tmp_path / "x.parquet", table.slice(0, 5))
    root = table_digest(table).root
    with pytest.raises(DigestMismatchError, match="it holds other rows") as caught:
        read_frozen(tmp_path / "x.parquet", root)
    assert caught.value.expected == root
    assert caught.value.examples[0].endswith("5 rows")


@pytest.mark.parametrize(
    "content", [None, b"", b"PAR1", b"not a table at all", b"PAR1" + b"\0" * 100 + b"PAR1"]
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "x").write_bytes(content)
    with pytest.raises(DigestMismatchError) as caught:
        read_frozen(tmp_path / "x", "sha256:00")
    assert caught.value.where == str(tmp_path / "x")
    assert caught.value.fix


def test_a_table_that_was_never_frozen_needs_a_digest(tmp_path: Path, table: pa.Table) -> None:
    pq.write_table(table, tmp_path / "x")
    with pytest.raises(DigestMismatchError, match="has no digest"):
        read_frozen(tmp_path / "x", None)
    assert read_frozen(tmp_path / "x", table_digest(table).root).num_rows == table.num_rows
