"""The checker finds what it is there to find: each test shows it one thing that must not be."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from tests.faults.history import (
    Acknowledged,
    Counts,
    Erased,
    Publication,
    Row,
    Seen,
    Stretch,
    check,
)
from tests.faults.world import Expected

DAY = int(datetime(2024, 2, 1, tzinfo=UTC).timestamp())
KEYS = [("pier", 1), ("pier", 2), ("lock", 1), ("lock", 2)]
#: Every package says its own score of every reading.
EXPECTED = Expected(
    scores={name: {key: f"{name} of {key}" for key in KEYS} for name in ("old", "new")},
    keys={datetime(2024, 2, 1, tzinfo=UTC): frozenset(KEYS)},
    keeper={(gauge, reading): f"keeper-{reading}" for gauge, reading in KEYS},
    rows=[],
    columns=[],
)
PUBLICATIONS = {"run-1": Publication(DAY, "old", 1), "run-2": Publication(DAY, "new", 2)}


def rows(run: str, package: str) -> list[Row]:
    return [(run, gauge, reading, f"{package} of {(gauge, reading)}") for gauge, reading in KEYS]


OLD, NEW = rows("run-1", "old"), rows("run-2", "new")


def checked(
    *contents: list[Row] | None,
    agree: bool = True,
    acknowledged: tuple[Acknowledged, ...] = (),
    erased: Mapping[str, Erased] | None = None,
) -> Counts:
    """The account of stretches that saw these contents one after the other, ten seconds each."""
    stretches = [
        Stretch(
            {} if content is None else {DAY: str(number)},
            agree,
            10 * number,
            10 * number + 9,
            10 * number + 9.5,
            7,
        )
        for number, content in enumerate(contents)
    ]
    named = {str(number): content for number, content in enumerate(contents) if content is not None}
    return check(Seen(stretches, named), PUBLICATIONS, acknowledged, erased or {}, EXPECTED)


def without(content: list[Row], *readings: int) -> list[Row]:
    return [row for row in content if row[2] not in readings]


def test_what_is_right_passes() -> None:
    counts = checked(
        None,
        OLD,
        NEW,
        without(NEW, 2),
        acknowledged=(Acknowledged(9.2, DAY, "run-1"), Acknowledged(19.2, DAY, "run-2")),
        erased={"keeper-2": Erased(25, 29.5)},
    )
    assert (counts.all(), counts.polls) == ([], 28)


@pytest.mark.parametrize(
    ("kind", "contents", "how"),
    [
        ("torn", [[*OLD[:2], *NEW[2:]]], {}),
        ("torn", [OLD[:3]], {}),
        ("torn", [without(OLD, 2)], {}),
        ("torn", [without(OLD, 2)], {"erased": {"keeper-2": Erased(100, None)}}),
        ("torn", [OLD[:3]], {"erased": {"keeper-2": Erased(0, None)}}),
        ("duplicated", [[*OLD, OLD[0]]], {}),
        ("wrong", [rows("run-1", "new")], {}),
        ("wrong", [rows("run-3", "old")], {}),
        ("wrong", [[*OLD, ("run-1", "buoy", 9, "0x0")]], {}),
        ("wrong", [OLD], {"agree": False}),
        ("wrong", [OLD, OLD], {"erased": {"keeper-2": Erased(0, 3)}}),
        ("lost", [OLD, None], {}),
        ("lost", [NEW, OLD], {}),
        ("lost", [None, None], {"acknowledged": (Acknowledged(5, DAY, "run-1"),)}),
        ("lost", [OLD, OLD], {"acknowledged": (Acknowledged(5, DAY, "run-2"),)}),
    ],
)
def test_what_is_not_is_found(kind: str, contents: list[list[Row] | None], how: dict[str, object]) -> None:
    counts = checked(*contents, **how)  # type: ignore[arg-type]
    assert getattr(counts, kind)
    assert set(counts.all()) == set(getattr(counts, kind))
