"""The protocol's functions: SQL files beside this, the same in every store of this version.

They are created anew whenever the schema is brought forward, so a file that changes needs a step in
``migrations/versions`` (an empty one, if no table changes). What is created here nobody may execute but
its owner; ``roles.py`` says who else.
"""

from __future__ import annotations

from pathlib import Path

from rescore.store.identifiers import sql_template

__all__ = ["FILES", "function_statements"]

#: In an order in which each is created after what its declarations name.
FILES = (
    *(
        "refusals",
        "retirement",
        "claims",
        "states",
        "evidence",
        "publishing",
        "retention",
        "erasure",
        "staging",
    ),
    *("sharding", "packages"),
)

_REVOKE = "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {store} FROM PUBLIC"


def function_statements(store_schema: str) -> list[str]:
    """SQL that creates all functions, or replaces them, and lets nobody but their owner execute them."""
    folder = Path(__file__).with_name("protocol")
    templates = [(folder / f"{name}.sql").read_text(encoding="utf-8") for name in FILES]
    return [sql_template(template, store=store_schema) for template in (*templates, _REVOKE)]
