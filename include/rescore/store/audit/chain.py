r"""The hash chain: reading it, and walking it from its first entry to its last.

An entry is the text that the database wrote; its digest is::

    sha256("rescore chain 1" \n number \n digest of the entry before \n sha256 of the entry)

in UTF-8, each digest with its ``sha256:``, the entry before the first being 64 zeros. So the way from one
entry to a later head can be shown without the texts in between, which are about others.

The entry is JSON as Postgres writes ``jsonb``: table, key, action (``insert``, ``update``, ``delete``;
``found`` when the chain began), the row, when and by which login. Objects and arrays in a row (reports,
manifests) are entered as the sha256 of their text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select, text

from rescore.progress import Progress, counted, silent
from rescore.sha256 import Sha256, bytes_sha256
from rescore.store.audit.findings import Finding, Verification
from rescore.store.audit.head import ChainHead
from rescore.store.audit.rows import ChainedRow, chained_rows
from rescore.store.audit.stored_scores import compare_scores
from rescore.store.audit.table_comparison import compare_tables
from rescore.store.database import Database, where_of
from rescore.store.schema.tables import chain as chain_table

__all__ = ["BEFORE_THE_FIRST", "Chain", "ChainEntry", "entry_digest", "walk"]

BEFORE_THE_FIRST = Sha256("0" * 64)


@dataclass(frozen=True)
class ChainEntry:
    """One entry: its number, the table and key it is about, its text, and both digests."""

    number: int
    about: str
    key: str
    entry: str
    previous: str
    digest: str

    @property
    def content(self) -> Mapping[str, Any]:
        """The entry's JSON: table, key, action, row, at, by."""
        content: dict[str, Any] = json.loads(self.entry)
        return content


class Chain:
    """What happened, in an order that nobody can change unseen."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def head(self) -> ChainHead | None:
        """The last entry; None before anything happened."""
        with self._database.transaction() as connection:
            return _head(connection)

    def about(self, table: str, *keys: Sequence[Any]) -> list[ChainEntry]:
        """The entries about a table's rows of these keys (none: all rows), in order."""
        query = select(chain_table).where(chain_table.c.about == table)
        if keys:
            # As Postgres writes a jsonb array of texts and numbers.
            query = query.where(
                chain_table.c.key.in_([json.dumps([*key], ensure_ascii=False) for key in keys])
            )
        with self._database.transaction() as connection:
            rows = connection.execute(query.order_by(chain_table.c.number)).all()
        return [ChainEntry(*row) for row in rows]

    def entries(self, first: int = 1, last: int | None = None) -> list[ChainEntry]:
        """The entries from number ``first`` to ``last``, in order."""
        query = select(chain_table).where(chain_table.c.number >= first)
        if last is not None:
            query = query.where(chain_table.c.number <= last)
        with self._database.transaction() as connection:
            return [ChainEntry(*row) for row in connection.execute(query.order_by(chain_table.c.number))]

    def links(self, first: int) -> Iterator[tuple[int, str, str, str]]:
        """From an entry to the head: number, digest of the entry before, digest, sha256 of the text."""
        columns = (chain_table.c.number, chain_table.c.previous, chain_table.c.digest)
        made = func.encode(func.sha256(func.convert_to(chain_table.c.entry, "UTF8")), "hex")
        query = select(*columns, ("sha256:" + made).label("entry_sha256")).where(
            chain_table.c.number >= first
        )
        with self._database.transaction() as connection:
            ordered = query.order_by(chain_table.c.number)
            for row in connection.execution_options(yield_per=5000).execute(ordered):
                yield (row.number, row.previous, row.digest, row.entry_sha256)

    def rows(self, table: str, **conditions: Any) -> list[ChainedRow]:
        """The rows of a chained table whose columns have these values, as they enter the chain."""
        with self._database.transaction() as connection:
            return chained_rows(connection, table, **conditions)

    def verify(
        self, heads: Iterable[ChainHead] = (), *, scores: bool = False, progress: Progress = silent
    ) -> Verification:
        """Walk the chain and compare the tables with it, all in one snapshot of the database.

        Parameters
        ----------
        heads : iterable of ChainHead
            Heads that were kept outside: the chain must still hold each.
        scores : bool
            Whether stored scores are read, too, and compared with their digests.
        progress : callable, optional
            Receives a line now and then: how far it is, and how long the rest may take.

        Returns
        -------
        Verification
            What was looked at, and what is not as it was recorded.
        """
        with self._snapshot() as connection:
            head = _head(connection)
            total = 0 if head is None else head.number
            number, walked = walk(
                counted(_read(connection), "entries of the history", progress, total=total), heads
            )
            rows, changed = compare_tables(connection, progress)
            found = Verification(head, {"entries": number, "rows": rows}, (*walked, *changed))
            if scores:
                runs, wrong = compare_scores(connection, progress)
                found += Verification(found.head, {"runs with scores": runs}, tuple(wrong))
        return found

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        self.head()  # refuses a store of another version, which needs a statement of its own
        with self._database.transaction(checked=False) as connection:
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            # It idles while scores are read over other connections, for hours where there are many.
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            yield connection


def entry_digest(number: int, previous: str, entry: str) -> Sha256:
    """The digest of an entry; ``v0006_chain`` says it in SQL."""
    parts = ("rescore chain 1", str(number), previous, bytes_sha256(entry.encode()))
    return bytes_sha256("\n".join(parts).encode())


def walk(entries: Iterable[ChainEntry], heads: Iterable[ChainHead] = ()) -> tuple[int, list[Finding]]:
    """Compare every entry with the one before it, with its own digest, and with the heads.

    Returns
    -------
    tuple
        The number of entries, and what is wrong.
    """
    kept: dict[int, set[str]] = {}
    for head in heads:
        kept.setdefault(head.number, set()).add(head.digest)
    found: list[Finding] = []
    count, previous = 0, str(BEFORE_THE_FIRST)
    for entry in entries:
        count += 1
        found += _check(entry, count, previous)
        for digest in kept.pop(entry.number, set()) - {entry.digest}:
            found.append(
                Finding(
                    "the history up to this entry is not the one that this head was taken of",
                    f"chain entry {entry.number}",
                    digest,
                    entry.digest,
                )
            )
        previous = entry.digest
    for number, digests in sorted(kept.items()):
        found.append(
            Finding(
                "the entry of a kept head is gone",
                f"chain entry {number}",
                ", ".join(sorted(digests)),
                f"the chain ends at entry {count}",
            )
        )
    return count, found


def _check(entry: ChainEntry, number: int, previous: str) -> Iterator[Finding]:
    where = f"chain entry {entry.number}"
    if entry.number != number:
        yield Finding("entries are missing before it", where, f"entry {number}", f"entry {entry.number}")
    if entry.previous != previous:
        yield Finding("it does not follow the entry before it", where, previous, entry.previous)
    digest = entry_digest(entry.number, entry.previous, entry.entry)
    if entry.digest != digest:
        yield Finding("its text was changed", where, entry.digest, digest)
    try:
        content = entry.content
        named = (content["table"], content["key"])
    except (ValueError, KeyError, TypeError):
        yield Finding("its text is none that the store writes", where, "JSON", entry.entry[:80])
        return
    if named != (entry.about, json.loads(entry.key)):
        yield Finding(
            "it is filed under another row", where, f"{named[0]} {named[1]}", f"{entry.about} {entry.key}"
        )


def _read(connection: Connection) -> Iterator[ChainEntry]:
    query = select(chain_table).order_by(chain_table.c.number)
    for row in connection.execution_options(yield_per=5000).execute(query):
        yield ChainEntry(*row)


def _head(connection: Connection) -> ChainHead | None:
    query = select(chain_table.c.number, chain_table.c.digest, func.clock_timestamp().label("at"))
    row = connection.execute(query.order_by(chain_table.c.number.desc()).limit(1)).one_or_none()
    if row is None:
        return None
    return ChainHead(
        number=row.number, digest=Sha256(row.digest), at=row.at, store=where_of(connection, "chain")
    )
