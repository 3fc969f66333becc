"""What is said of a query that depends on the clock, the session or chance, and what to write instead."""

from __future__ import annotations

from rescore.errors import SpecError

__all__ = ["refusal"]


def refusal(what: str, place: str, *, owned: str | None = None, cast: bool = False) -> SpecError:
    """The error about what was found at a place; ``owned``: the signature of a function not Postgres' own."""
    says = f"{what} depends on the clock, the session or chance: it gives another result in every run"
    fix = "write :as_of or :interval_end for the time (age(:as_of, birth)); write other settings as constants"
    if owned:
        says = (
            f"{what} may depend on the clock, the session or chance: it is declared VOLATILE, as every "
            "function is whose CREATE FUNCTION says nothing else"
        )
        fix = (
            "if it depends on its arguments and on tables alone, let its owner say so: "
            f"ALTER FUNCTION {owned} STABLE (IMMUTABLE, if it reads no table); else leave it out"
        )
    elif "inside the policy" in place:
        fix = (
            "a policy may ask who reads, no more: let this connection's role bypass row security "
            "(BYPASSRLS), or have the condition changed and write what is meant into the query"
        )
    elif what.startswith("the system column"):
        fix = "leave it out; for the order or identity of rows take columns of the table"
    elif what.startswith("text that is put together"):
        fix = (
            "read it by its format, to_timestamp(text, 'YYYY-MM-DD HH24:MI'); or cast text of columns in the "
            "query itself, where each value is looked at as it runs; write a constant as one literal"
        )
    elif what.endswith("that can't be read"):
        fix = "give values to variables, not to fields of a record; or write the function LANGUAGE sql"
    elif cast:
        fix = "if it is text, write ::text after it; for a moment write :as_of"
    elif what.startswith("TABLESAMPLE") or "random" in what:
        fix = "leave chance to the training seed"
    return SpecError(
        says,
        where=place,
        expected="a result that depends on :interval_start, :interval_end, :as_of and the data alone",
        fix=fix,
    )
