"""Rows judged from their frozen file are judged as the table is: one pass over it, and memory that stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from rescore.errors import DigestMismatchError
from rescore.folder import ModelFolder
from rescore.source import Freezer, FrozenTable
from rescore.validation import arrow_engine, gx_engine, validate
from rescore.validation.declared import declare
from tests.validation.conftest import HEADER, WIND, MakeModel, frozen, replaced, weather
from tests.validation.test_arrow_engine import EDGES, asked, seen, table_of
from tests.validation.test_intervals import SUITE_OF_EVERY_KIND

SUITE = """
from great_expectations.expectations.row_conditions import Column


def suite():
    return gx.ExpectationSuite(name="w", expectations=[{}
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["observer", "wind_speed"], severity="warning"),
        gxe.ExpectColumnValuesToBeBetween(column="wind_speed", max_value=9, severity="warning",
            row_condition=Column("gusts") < 3),
        gxe.ExpectColumnUniqueValueCountToBeBetween(column="observer", max_value=3, severity="info"),
    ])
"""


def test_every_kind_is_judged_from_the_file_as_from_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rescore.digest.LEAF_ROWS", 3)
    expectations = list(asked(0.9))
    declared = [declare(one) for one in expectations]
    kinds = set()
    alike, empty = (0, 0.0, "a", True, 0, 0.0, 0, 0), (None, None, None, None, 1, 2.0, None, None)
    for table in map(table_of, ([empty] * 5, [alike] * 8, [*EDGES, *EDGES[::-1]])):
        file = frozen(tmp_path / "x.parquet", table, 4)  # leaves that are no row groups
        questions = [(one.kind, one.parameters) for one in declared]
        ours, theirs = arrow_engine.evaluate(file, questions), arrow_engine.evaluate(table, questions)
        assert [one and seen(one) for one in ours] == [one and seen(one) for one in theirs]
        kinds |= {(one.kind, found.success) for one, found in zip(declared, ours, strict=True) if found}
    assert kinds == {(kind, success) for kind in arrow_engine.KINDS for success in (True, False)}

    # Of what is left to Great Expectations, one of each kind.
    left = {one.kind: number for number, one in enumerate(declared) if ours[number] is None}.values()
    shown = [declared[number].question(expectations[number], table.column_names) for number in left]
    from_file, from_table = ([seen(one) for one in gx_engine.evaluate(rows, shown)] for rows in (file, table))
    assert len(left) > 10 and from_file == from_table


def messy() -> pa.Table:
    table = replaced(weather(40), "wind_speed", {4: -1.0, 5: None, 6: float("nan"), 33: 151.0})
    table = replaced(table, "pressure", {2: None, 12: float("inf"), 39: None})
    table = replaced(table, "gusts", {0: None, 20: 7})
    return replaced(table, "observer", {30: "person 7"})


@pytest.mark.parametrize(
    "table",
    [
        messy(),
        replaced(messy(), "reading", {21: 20}),  # a key that occurs twice
        messy().take(pa.array(range(40)[::-1])),  # not in key order: uniqueness needs a look at all keys
        messy().drop_columns(["sky"]),
        messy().slice(0, 1),
        messy().slice(0, 0),
    ],
    ids=["messy", "twice", "reversed", "without a column", "one row", "no row"],
)
def test_a_report_of_the_file_is_that_of_the_table(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: pa.Table
) -> None:
    monkeypatch.setattr("rescore.digest.LEAF_ROWS", 7)  # a border before row 21
    folder = make_model(file=f"{HEADER}{SUITE.format(SUITE_OF_EVERY_KIND)}", fraction=1)
    file = frozen(tmp_path / "x.parquet", table, 4)
    from_file = validate(file, folder)
    monkeypatch.undo()
    report = validate(table, folder)
    assert from_file == report
    assert str(from_file.report().to_dict()) == str(report.report().to_dict())
    key = folder.spec.source.key
    assert from_file.excluded(file, key).equals(report.excluded(table, key))


def test_clean_rows_are_read_once(make_model: MakeModel, tmp_path: Path) -> None:
    folder = make_model(WIND.format("critical"))
    file = frozen(tmp_path / "x.parquet", weather(50), 7)
    report = validate(file, folder)
    assert report.success and report.excluded(file, folder.spec.source.key).num_rows == 0
    assert not file.read_again
    file = frozen(tmp_path / "x.parquet", messy(), 7)
    assert not validate(file, folder).success
    assert file.read_again  # for examples: whoever stores them has to look at the file once more


@pytest.mark.parametrize(
    "suite", [WIND.format("info"), 'gxe.ExpectColumnValuesToBeUnique(column="observer", severity="info")', ""]
)
def test_other_rows_than_those_frozen_are_not_judged(
    make_model: MakeModel, tmp_path: Path, suite: str
) -> None:
    file = frozen(tmp_path / "x.parquet", weather(50), 7)
    frozen(tmp_path / "x.parquet", replaced(weather(50), "remark", {49: "a storm"}), 7)
    with pytest.raises(DigestMismatchError, match="frozen rows are not what was recorded"):
        validate(file, make_model(suite))


def test_memory_does_not_grow_with_the_rows(make_model: MakeModel, tmp_path: Path) -> None:
    """Of what Arrow holds: the rows and what is distinct among them."""
    folder = make_model(
        f"{WIND.format('warning')},"
        'gxe.ExpectColumnUniqueValueCountToBeBetween(column="remark", max_value=3, severity="info"),'
        'gxe.ExpectColumnValuesToMatchRegex(column="sky", regex="^c", severity="warning")'
    )
    few, many = (peak(folder, tmp_path / f"{leaves}.parquet", leaves) for leaves in (3, 12))
    assert many < 1.05 * few


def peak(folder: ModelFolder, path: Path, leaves: int) -> int:
    """The most that Arrow held at once while it judged a file of so many leaves."""
    rows = 65_536
    leaf = weather(1).take(pa.array(np.zeros(rows, dtype=np.int64)))
    number = leaf.column_names.index("reading")
    with Freezer(path, leaf.schema, where="x.sql") as freezer:
        for start in range(0, leaves * rows, rows):
            numbers = pa.array(np.arange(start, start + rows))
            [batch] = leaf.set_column(number, "reading", numbers).to_batches()
            freezer.write(batch)
        root = freezer.keep().root
    usual = pa.default_memory_pool()
    counted = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(counted)
    try:
        report = validate(FrozenTable(path, root), folder)
    finally:
        pa.set_memory_pool(usual)
    assert report.success and report.scored == leaves * rows
    return int(counted.max_memory())
