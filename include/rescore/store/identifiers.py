"""Names that go into SQL: checked, then quoted; values are always bound."""

from __future__ import annotations

import re

from sqlalchemy.dialects import postgresql

from rescore.errors import SettingsError
from rescore.settings import is_schema_name

__all__ = ["CONSUMER_SCHEMA", "SCHEMA", "checked_name", "quoted_name", "sql_template"]

#: Where our tables are, unless configured otherwise.
SCHEMA = "rescore"
#: Where the views of consumers are, unless configured otherwise.
CONSUMER_SCHEMA = "scores"

# No URL, no server: only the quoting rules of the dialect.
_PREPARER = postgresql.dialect().identifier_preparer  # type: ignore[no-untyped-call]


def checked_name(name: str, what: str) -> str:
    """Return ``name`` if it is a plain lower-case identifier of at most 63 bytes.

    Raises
    ------
    SettingsError
        It is not.
    """
    if not is_schema_name(name):
        raise SettingsError(
            f"{name!r} is not a {what} name",
            expected="lower-case letters, digits and _, at most 63, not starting with a digit",
            fix="choose such a name",
        )
    return name


def quoted_name(name: str) -> str:
    """Quote any name, one of somebody else's schema, without asking a server."""
    return str(_PREPARER.quote_identifier(name))


def sql_template(template: str, **names: str) -> str:
    """Put quoted identifiers in place of ``{name}``; for DDL that also has to be printed offline.

    Every value is checked to be a plain identifier before it is quoted, so it is also safe between
    the quotes of a literal, written ``{name_text}`` in the template.
    """
    quoted = {key: _PREPARER.quote_identifier(checked_name(value, key)) for key, value in names.items()}
    plain = {f"{key}_text": value for key, value in names.items()}
    # Not str.format: braces are common in SQL literals and function bodies.
    return re.sub(r"\{([a-z_]+)\}", lambda match: (quoted | plain)[match[1]], template)
