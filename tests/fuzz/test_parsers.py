"""What reads a language or a file that anybody may have written: a value, or an error of ours, and soon."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from rescore.digest import TableDigest, table_digest
from rescore.interval import Interval, Schedule, parse_moment
from rescore.manifest import Manifest
from rescore.model.package_file import bill_of, lock_of, manifest_of
from rescore.postgres_url import PostgresUrl
from rescore.sha256 import Sha256
from rescore.source.query import quote_identifier, quote_literal, relation_names, render
from rescore.spec_values import is_zone
from tests.fuzz.hostile import fuzzed, hostile_texts, refusals, words

DAY = Interval.parse("2024-03-01T00:00:00Z/2024-03-02T00:00:00Z")
GOLDEN = Path(__file__).parents[1] / "golden" / "v1"

_TOKENS = st.sampled_from(
    words(
        "SELECT FROM WITH AS x \"é\" '😀' U&'\\0441' $a$ ( ) , ; . * :: :as_of :interval_start ONLY JOIN"
        " UNION VALUES -- /* */ \n 1e5 $1 E'\\x' WHERE = [ ]"
    )
)
sql_texts = st.one_of(
    hostile_texts,
    hostile_texts.map(lambda text: f"SELECT {text} FROM a.b"),
    st.lists(st.one_of(_TOKENS, hostile_texts), max_size=12).map(" ".join),
)


@fuzzed
@given(sql_texts)
def test_queries(sql: str) -> None:
    with refusals():
        rendered = render(sql, DAY, DAY.end, where="extract.sql")
        relation_names(rendered.text)


@fuzzed
@given(hostile_texts)
def test_what_is_quoted_is_one_token_of_sql(text: str) -> None:
    with refusals():
        quoted = f"SELECT {quote_literal(text)} AS {quote_identifier(text)} FROM a.b"
        assert [name.parts for name in relation_names(quoted)] == [("a", "b")]


READERS: dict[str, Callable[[str], Any]] = {
    "interval": Interval.parse,
    "moment": lambda text: parse_moment(text, name="as_of"),
    "cron": lambda text: Schedule(text, "UTC").floor(datetime(2024, 1, 1, tzinfo=UTC)),
    "zone": is_zone,
    "sha256": Sha256,
    "url": lambda text: str(PostgresUrl.parse(text, where="RESCORE_DATABASE_URL")),
    "url with it as password": lambda text: (
        PostgresUrl.parse(f"postgresql://a:{text}@b/c", where="RESCORE_DATABASE_URL").dsn
    ),
}


@fuzzed
@given(st.sampled_from([*READERS]), hostile_texts)
def test_small_languages(reader: str, text: str) -> None:
    with refusals():
        READERS[reader](text)


@cache
def _digest() -> dict[str, Any]:
    return table_digest(pa.table({"a": [1, 2], "b": ["x", None]})).to_dict()


@cache
def _wheel() -> bytes:
    return next(GOLDEN.rglob("*.whl")).read_bytes()


@cache
def _manifest() -> dict[str, Any]:
    stored: dict[str, Any] = manifest_of(_wheel(), Path("golden.whl")).to_dict()
    return stored


DOCUMENTS: dict[str, tuple[Callable[[], dict[str, Any]], Callable[[Any], Any]]] = {
    "digest": (_digest, TableDigest.from_dict),
    "manifest": (_manifest, Manifest.from_dict),
}
VALUES = st.one_of(
    hostile_texts,
    st.none(),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.just([]),
    st.just({}),
    st.lists(hostile_texts, max_size=2),
)


@fuzzed
@given(st.sampled_from([*DOCUMENTS]), st.data())
def test_stored_documents(name: str, data: st.DataObject) -> None:
    stored, read = DOCUMENTS[name]
    changed = json.loads(json.dumps(stored()))
    inside = changed
    while True:
        key = data.draw(
            st.sampled_from(sorted(inside) if isinstance(inside, dict) else [*range(len(inside))])
        )
        if not inside[key] or not isinstance(inside[key], dict | list) or data.draw(st.booleans()):
            break
        inside = inside[key]
    if isinstance(inside, dict) and data.draw(st.booleans()):
        inside[data.draw(hostile_texts)] = inside.pop(key)
    else:
        inside[key] = data.draw(VALUES)
    with refusals():
        read(changed)


def _members(**changed: bytes) -> bytes:
    """The golden wheel with members of other names or contents."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(_wheel())) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        for name, content in changed.items():
            new.writestr(name, content)
    return made.getvalue()


@fuzzed
@given(st.data())
def test_wheels(tmp_path: Path, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["cut", "changed", "more", "noise"]))
    wheel = bytearray(_wheel())
    if kind == "cut":
        del wheel[data.draw(st.integers(0, len(wheel))) :]
    elif kind == "changed":
        for at in data.draw(
            st.lists(st.integers(len(wheel) - 3_000, len(wheel) - 1), min_size=1, max_size=4)
        ):
            wheel[at] ^= data.draw(st.integers(1, 255))
    elif kind == "noise":
        wheel = bytearray(data.draw(st.binary(max_size=200)))
    path = tmp_path / "some.whl"
    path.write_bytes(bytes(wheel))
    for read in (lambda: manifest_of(bytes(wheel), path), lambda: lock_of(path), lambda: bill_of(path)):
        with refusals():
            read()
