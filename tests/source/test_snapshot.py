"""Training sees what each past run saw, with the labels known now; late commits are counted."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from rescore.digest import table_digest
from rescore.errors import EmptyIntervalError, IntervalError, SourceKeyError, SourceSchemaError
from rescore.folder import ModelFolder
from rescore.interval import Interval
from rescore.source import extract, known_later, labels, read_frozen, snapshot
from rescore.source.labelling import join_labels
from rescore.source.late_commits import compare
from tests.source.conftest import DAY, EXTRACT, LABELS, SPEC, MakeModel, Source, days

LATER = DAY.end + timedelta(days=30)

# What a feature of history looks like: how many parcels of the depot are known by the moment.
WITH_HISTORY = EXTRACT.replace(
    "weight, size",
    "weight, (SELECT count(*)::int4 FROM parcel h "
    "WHERE h.depot = parcel.depot AND h.recorded_at <= :as_of) AS size",
)


def test_training_rows_are_those_that_scoring_saw(
    source: Source, make_model: MakeModel, tmp_path: Path
) -> None:
    folder = make_model(WITH_HISTORY)
    seen = {}
    for number, day in enumerate(days(4)):
        source.send(20 + number, day)
        source.send(5, day, depot="Nice", first=1000)
        seen[day] = extract(source.url, folder, day, day.end, tmp_path / "run.parquet").digest
    source.run("INSERT INTO parcel SELECT 'Lyon', parcel + 500, sent_at, weight, size, carrier, fragile, "
               "promised, note, %s FROM parcel WHERE depot = 'Lyon'", LATER)  # fmt: skip
    result = snapshot(source.url, folder, days(4), LATER, tmp_path / "training.parquet")
    assert {share.interval: share.digest for share in result.per_interval} == seen
    # One late look at everything would have given every row of history the same count.
    table = read_frozen(result.path, result.digest.root)
    assert len(table.filter(pc.equal(table["depot"], "Lyon"))["size"].unique()) == 4


def test_the_shape_of_a_snapshot(source: Source, folder: ModelFolder, tmp_path: Path) -> None:
    for day in days(3):
        source.send(40, day)
        source.send(10, day, depot="Aix")
    source.run("UPDATE outcome SET late = NULL WHERE depot = 'Aix' AND parcel < 5")  # cancelled: never known
    source.run("INSERT INTO outcome VALUES ('Rome', 1, %s, true, %s)", DAY.start, DAY.start)
    as_of = DAY.end + timedelta(days=3, microseconds=-1)  # outcomes take two days: not the third day's
    lines: list[str] = []
    result = snapshot(source.url, folder, days(3), as_of, tmp_path / "t.parquet", progress=lines.append)
    table = read_frozen(result.path, result.digest.root)
    assert table.column_names == ["interval_start", "interval_end", *folder.spec.input_columns, "late"]
    assert (result.rows, result.extracted, table.num_rows) == (90, 150, 90)
    assert [(s.extracted, s.labelled, s.unmatched_labels) for s in result.per_interval] == [
        (50, 45, 1), (50, 45, 0), (50, 0, 0)
    ]  # fmt: skip
    keys = table.select(["interval_start", "depot", "parcel"]).to_pylist()
    assert keys == sorted(keys, key=lambda row: tuple(row.values()))
    assert {row["interval_start"] for row in keys} == {DAY.start, DAY.end}
    assert table["late"].to_pylist() == [parcel % 4 == 0 for parcel in table["parcel"].to_pylist()]
    assert lines[-2].startswith("parcels: 1 known label matches no row of extract.sql")
    assert lines[-1].startswith("parcels: 90 labelled of 150 rows in 3 intervals extracted in ")
    again = snapshot(source.url, folder, days(3), as_of, tmp_path / "u.parquet")
    assert again.path.read_bytes() == result.path.read_bytes()


def test_a_key_may_come_back_in_another_interval(source: Source, folder: ModelFolder, tmp_path: Path) -> None:
    source.send(8, days(2)[0])
    source.send(8, days(2)[1])
    source.run("UPDATE outcome SET late = (sent_at >= %s)", DAY.end)
    result = snapshot(source.url, folder, days(2), LATER, tmp_path / "t.parquet")
    table = read_frozen(result.path, result.digest.root)
    assert table["late"].to_pylist() == [False] * 8 + [True] * 8
    known = labels(source.url, folder, days(2)[::-1], LATER)
    assert known.column_names == ["interval_start", "interval_end", "depot", "parcel", "late"]
    assert known.equals(table.select(known.column_names))


def test_labels_are_as_known_then(source: Source, folder: ModelFolder) -> None:
    source.send(6)
    assert labels(source.url, folder, [DAY], DAY.end).num_rows == 0
    assert labels(source.url, folder, [DAY], LATER)["parcel"].to_pylist() == list(range(6))
    with pytest.raises(IntervalError):
        labels(source.url, folder, [], LATER)


@pytest.mark.parametrize("key", ["depot", "size", "promised", "sent_at", "fragile"])
def test_every_type_of_key_can_be_joined(
    source: Source, make_model: MakeModel, tmp_path: Path, key: str
) -> None:
    source.send(9)
    source.send(9, depot="Nice", first=9)
    folder = make_model(
        f"SELECT DISTINCT ON ({key}) {key} AS id, sent_at AS at, weight FROM parcel "
        f"WHERE sent_at < :interval_end ORDER BY {key}, parcel",
        f"SELECT DISTINCT ON (id) id, late FROM (SELECT p.{key} AS id, p.parcel, late "
        "FROM outcome JOIN parcel p USING (depot, parcel)) q "
        "WHERE :interval_start < :interval_end ORDER BY id, parcel",
        source={**SPEC["source"], "key": ["id"], "event_time": "at"},
        features=[{"name": "weight", "kind": "numeric"}],
    )
    result = snapshot(source.url, folder, [DAY], LATER, tmp_path / "t.parquet")
    ((distinct,),) = source.run(f"SELECT count(DISTINCT {key}) FROM parcel")
    assert result.rows == result.extracted == distinct > 1


def test_labels_may_give_a_key_in_another_width(
    source: Source, make_model: MakeModel, tmp_path: Path
) -> None:
    source.send(9)
    folder = make_model(labels=LABELS.replace("parcel,", "parcel::int4,"))
    assert snapshot(source.url, folder, [DAY], LATER, tmp_path / "t.parquet").rows == 9
    folder = make_model(labels=LABELS.replace("parcel,", "parcel::text AS parcel,"))
    with pytest.raises(SourceSchemaError, match=r"parcel: labels\.sql gives string, extract"):
        snapshot(source.url, folder, [DAY], LATER, tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("change", "error", "problem"),
    [
        (("late\n", "parcel::float8 AS late\n"), SourceSchemaError, "late: expected bool or int2"),
        (("parcel, late\n", "parcel, late, recorded_at\n"), SourceSchemaError, "recorded_at: not declared"),
        (("FROM outcome", "FROM (TABLE outcome UNION ALL TABLE outcome) o"),
         SourceKeyError, "more than once"),
        (("FROM outcome", "FROM (SELECT NULL AS depot, parcel, late, sent_at, recorded_at FROM outcome) o"),
         SourceKeyError, "key is NULL in at least 9 rows: depot"),
    ],
)  # fmt: skip
def test_wrong_labels_are_named_with_their_file(
    source: Source,
    make_model: MakeModel,
    tmp_path: Path,
    change: tuple[str, str],
    error: type[Exception],
    problem: str,
) -> None:
    source.send(9)
    folder = make_model(labels=LABELS.replace(*change))
    with pytest.raises(error, match=problem) as caught:
        snapshot(source.url, folder, [DAY], LATER, tmp_path / "t.parquet")
    assert "labels.sql" in getattr(caught.value, "where", "")
    assert list(tmp_path.glob("*.parquet*")) == []


def test_labels_find_their_rows_in_any_order() -> None:
    rows = pa.table({"k": np.arange(100_000), "w": np.arange(100_000) * 0.5})
    known = pa.table({"k": np.random.default_rng(0).permutation(200_000)[:90_000]})
    known = known.append_column("late", pc.multiply(known["k"], 3))
    joined = join_labels(rows, known, ["k"], "late")
    expected = np.sort(known["k"].to_numpy()[known["k"].to_numpy() < 100_000])
    assert joined["k"].to_numpy().tolist() == expected.tolist()
    assert joined["late"].to_numpy().tolist() == (expected * 3).tolist()
    assert joined["w"].to_numpy().tolist() == (expected * 0.5).tolist()


def test_an_interval_without_rows_is_no_reason_to_stop(
    source: Source, folder: ModelFolder, tmp_path: Path
) -> None:
    source.send(9, days(3)[1])
    result = snapshot(source.url, folder, days(3), LATER, tmp_path / "t.parquet")
    assert [share.extracted for share in result.per_interval] == [0, 9, 0]


@pytest.mark.parametrize(
    "labels_sql", [LABELS, LABELS.replace("SELECT depot", "SELECT depot || '!' AS depot")]
)
def test_nothing_to_learn_from_is_an_error(
    source: Source, make_model: MakeModel, tmp_path: Path, labels_sql: str
) -> None:
    source.send(9)
    matching = labels_sql == LABELS
    as_of = DAY.end if matching else LATER
    with pytest.raises(EmptyIntervalError, match="none of 9 extracted rows has a known label") as caught:
        snapshot(source.url, make_model(labels=labels_sql), [DAY], as_of, tmp_path / "t.parquet")
    assert ("delay" if matching else "same key") in (caught.value.fix or "")
    assert list(tmp_path.glob("*.parquet*")) == []


@pytest.mark.parametrize(
    ("intervals", "problem"),
    [
        ([], "at least one interval"),
        (days(2)[::-1], "comes before it"),
        ([days(1)[0]] * 2, "overlaps"),
        (days(60), "ends after as_of"),
    ],
)
def test_intervals_must_be_in_order_and_over(
    folder: ModelFolder, tmp_path: Path, intervals: list[Interval], problem: str
) -> None:
    with pytest.raises(IntervalError, match=problem):
        snapshot("postgresql://unused", folder, intervals, LATER, tmp_path / "t.parquet")


def test_a_snapshot_is_one_look(source: Source, make_model: MakeModel, tmp_path: Path) -> None:
    """Rows that others commit between the first and the last interval are in none of them."""
    for day in days(3):
        source.send(5, day)
    folder = make_model()

    def write(line: str) -> None:
        with closing(Source(source.url)) as other:
            other.run("INSERT INTO parcel (depot, parcel, sent_at, recorded_at) "
                      "SELECT md5(random()::text), parcel, sent_at, recorded_at FROM parcel")  # fmt: skip

    expected = snapshot(source.url, folder, days(3), LATER, tmp_path / "t.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rescore.progress._SECONDS_BETWEEN_LINES", 0.0)
        late = snapshot(source.url, folder, days(3), LATER, tmp_path / "u.parquet", progress=write)
    assert source.run("SELECT count(*) > 15 FROM parcel") == [(True,)]
    assert late.digest == expected.digest
    assert late.per_interval == expected.per_interval


@pytest.mark.parametrize(
    ("change", "counts", "columns"),
    [
        (None, (0, 0, 0), ()),
        ("INSERT INTO parcel SELECT 'Nice', parcel, sent_at FROM parcel WHERE parcel = 3", (0, 0, 0), ()),
        ("INSERT INTO parcel SELECT 'Nice', parcel, sent_at, weight, size, carrier, fragile, promised, note, "
         "recorded_at FROM parcel WHERE parcel = 3", (1, 0, 0), ()),
        ("DELETE FROM parcel WHERE parcel IN (0, 7)", (0, 2, 0), ()),
        ("UPDATE parcel SET weight = '-0', note = NULL WHERE parcel = 0", (0, 0, 1),
         ("weight", "note")),
        ("UPDATE parcel SET weight = 'NaN' WHERE parcel = 2", (0, 0, 1), ("weight",)),
        ("UPDATE parcel SET parcel = parcel + 1", (1, 1, 8),
         ("sent_at", "weight", "size", "carrier", "fragile", "promised", "note")),
    ],
)  # fmt: skip
def test_late_commits_are_counted(
    source: Source, folder: ModelFolder, tmp_path: Path, change: str | None, counts: tuple[int, int, int],
    columns: tuple[str, ...],
) -> None:  # fmt: skip
    source.send(9)
    result = extract(source.url, folder, DAY, DAY.end, tmp_path / "x.parquet")
    frozen = read_frozen(result.path, result.digest.root)
    if change:
        source.run(change)
    later = known_later(source.url, folder, DAY, DAY.end, frozen)
    assert (later.added, later.removed, later.changed) == counts
    assert later.changed_columns == columns
    assert later.is_empty == (counts == (0, 0, 0))
    assert later.then == result.digest
    assert len(later.examples) == min(sum(counts), 7)


def test_the_same_nan_is_no_change(source: Source, folder: ModelFolder, tmp_path: Path) -> None:
    source.send(4)
    source.run("UPDATE parcel SET weight = 'NaN', carrier = NULL")
    result = extract(source.url, folder, DAY, DAY.end, tmp_path / "x.parquet")
    source.run("UPDATE parcel SET note = 'new' WHERE parcel = 1")
    later = known_later(source.url, folder, DAY, DAY.end, read_frozen(result.path, None))
    assert (later.changed, later.changed_columns) == (1, ("note",))
    assert later.examples == ("changed depot=Lyon, parcel=1",)


@pytest.mark.parametrize("key", [{"depot": ["Lyon", "Nice"]}, {"parcel": ["1", "2"]}])
def test_of_another_key_every_row_is_another_one(key: dict[str, list[str]]) -> None:
    late = compare(pa.table(key), pa.table({"parcel": [1, 2, 3]}), ["parcel"])
    assert (late.added, late.removed, late.changed, late.is_empty) == (3, 2, 0, False)


def test_an_interval_that_has_lost_all_its_rows(source: Source, folder: ModelFolder, tmp_path: Path) -> None:
    source.send(4)
    result = extract(source.url, folder, DAY, DAY.end, tmp_path / "x.parquet")
    source.run("DELETE FROM parcel")
    later = known_later(source.url, folder, DAY, DAY.end, read_frozen(result.path, None))
    assert (later.added, later.removed, later.changed) == (0, 4, 0)
    assert later.now == table_digest(pa.table(read_frozen(result.path, None).slice(0, 0)))


@pytest.mark.parametrize(
    ("was", "named"),
    [
        (pa.array([5.5, 1.0, 2.0]), "size: frozen as double in"),
        (pa.array(["5", "1", "2"]), "size: frozen as string in"),
        (None, "size: the frozen rows of"),
    ],
)
def test_a_type_that_changed_under_frozen_rows_is_named(
    source: Source, folder: ModelFolder, tmp_path: Path, was: pa.Array | None, named: str
) -> None:
    source.send(3)
    frozen = extract(source.url, folder, DAY, DAY.end, tmp_path / "day.parquet")
    rows = read_frozen(frozen.path, None)
    at = rows.column_names.index("size")
    changed = rows.remove_column(at) if was is None else rows.set_column(at, "size", was)
    later = DAY.end + timedelta(days=9)
    with pytest.raises(SourceSchemaError) as caught:
        snapshot(source.url, folder, [DAY], later, tmp_path / "s.parquet", frozen={DAY: changed})
    assert caught.value.what.startswith(named)
    assert str(DAY) in caught.value.what
    assert caught.value.fix


def test_a_wider_type_of_frozen_numbers_is_taken_as_it_is(
    source: Source, folder: ModelFolder, tmp_path: Path
) -> None:
    source.send(3)
    frozen = extract(source.url, folder, DAY, DAY.end, tmp_path / "day.parquet")
    source.run("ALTER TABLE parcel ALTER size TYPE float8")
    later = DAY.end + timedelta(days=9)
    rows = {DAY: read_frozen(frozen.path, None)}
    made = snapshot(source.url, folder, [DAY], later, tmp_path / "s.parquet", frozen=rows)
    assert read_frozen(made.path, None)["size"].to_pylist() == [0.0, 1.0, 2.0]
