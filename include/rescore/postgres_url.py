"""Where a Postgres is, read as libpq reads it, and written in the form that each driver wants.

People give a connection as a URL (``postgresql://…``, also ``postgres://`` as Airflow writes it and
``postgresql+psycopg2://`` as SQLAlchemy does) or as ``host=… dbname=…``. It is parsed here, once. SQLAlchemy
escapes other characters than libpq does, so text that is right for one is wrong for the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg2
import psycopg2.extensions

from rescore.errors import SettingsError

if TYPE_CHECKING:
    import sqlalchemy

__all__ = ["QUOTED", "PostgresUrl", "is_parameter"]

#: A setting under which ADBC's driver knows no type of a column: it reads their names when it connects.
QUOTED = "quote_all_identifiers"

_SCHEME = re.compile(r"^postgres(?:ql)?(?:\+\w+)?://")
_DRIVER = "postgresql+psycopg2"


@dataclass(frozen=True, repr=False)
class PostgresUrl:
    """One Postgres database, and how to log in to it.

    Attributes
    ----------
    parameters : mapping of str to str
        libpq's connection parameters, unescaped: ``host``, ``port``, ``dbname``, ``user``, ``password``, …
        Several hosts and their ports are separated by commas.
    """

    parameters: Mapping[str, str]

    @classmethod
    def parse(cls, text: str, *, where: str) -> PostgresUrl:
        """Read a URL or a ``key=value`` string.

        Parameters
        ----------
        text : str
            What somebody configured.
        where : str
            Who configured it, for the error: ``environment variable RESCORE_DATABASE_URL``.

        Raises
        ------
        SettingsError
            It can't be read. Nothing of the text is shown, because any part of it may be a piece of a
            password.
        """
        text = text.strip()  # a line end, from the file that a secret came in
        scheme = _SCHEME.match(text)
        parameters: dict[str, str] = {}
        if scheme is None or not _is_ambiguous(text[scheme.end() :]):
            try:
                parameters = psycopg2.extensions.parse_dsn(_SCHEME.sub("postgresql://", text))
            except (psycopg2.ProgrammingError, UnicodeError, ValueError):
                parameters = {}  # its message shows the text
        # No host has these: libpq has taken what follows an empty ``host=``, a password perhaps, for one.
        torn = re.search(r"[='\"\s]", parameters.get("host", "").partition("/")[0])
        if not parameters or torn or not re.fullmatch(r"[\d,]*", parameters.get("port", "")):
            raise SettingsError(
                "the URL of a Postgres can't be read (it is not shown, since it may hold a password)",
                where=where,
                expected="postgresql://USER:PASSWORD@HOST:PORT/DATABASE with options after a ?, "
                "or host=… dbname=…",
                fix="correct the URL; write / @ : ? # and % in a password as %2F %40 %3A %3F %23 %25",
            )
        return cls(parameters)

    def __str__(self) -> str:
        """User, hosts, ports and database, for people; never the password nor an option."""
        get = self.parameters.get
        hosts = (get("host") or get("hostaddr") or "local socket").split(",")
        ports = self._ports(len(hosts))
        places = ",".join(f"{host}:{port or 5432}" for host, port in zip(hosts, ports, strict=True))
        return f"{get('user', '')}@{places}/{get('dbname', '')}"

    @property
    def server(self) -> str:
        """The first host and its port as lineage names servers: ``postgres://db.example.org:5432``."""
        host = (self.parameters.get("host") or self.parameters.get("hostaddr") or "localhost").split(",")[0]
        shown = "localhost" if host.startswith("/") or not host else f"[{host}]" if ":" in host else host
        return f"postgres://{shown}:{self._ports(1)[0] or 5432}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def with_defaults(self, **parameters: str) -> PostgresUrl:
        """Add parameters that the URL does not name."""
        return PostgresUrl({**parameters, **self.parameters})

    def with_setting(self, name: str, value: str) -> PostgresUrl:
        """Also a setting that holds from the session's first moment; not every pooler lets one through."""
        options = f"{self.parameters.get('options', '')} -c {name}={value}".strip()
        return PostgresUrl({**self.parameters, "options": options})

    def with_database(self, name: str) -> PostgresUrl:
        """Another database on the same server."""
        return PostgresUrl({**self.parameters, "dbname": name})

    @property
    def dsn(self) -> str:
        """The ``key='value'`` string that psycopg2 and ADBC hand to libpq. It holds the password."""
        return str(psycopg2.extensions.make_dsn(**self.parameters))

    def sqlalchemy(self) -> sqlalchemy.URL:
        """The same as SQLAlchemy's URL for psycopg2; rendered as text it hides the password."""
        from sqlalchemy import URL  # half a second that only the store's users pay

        rest = dict(self.parameters)
        user, password, database = (rest.pop(name, None) for name in ("user", "password", "dbname"))
        host, port = rest.get("host", ""), rest.get("port", "")
        if "," in host or "," in port or host.startswith("/"):
            if port:
                rest["port"] = ",".join(self._ports(host.count(",") + 1))
            return URL.create(_DRIVER, user, password, None, None, database, rest)
        rest.pop("host", None)
        rest.pop("port", None)
        return URL.create(_DRIVER, user, password, host or None, int(port) if port else None, database, rest)

    def _ports(self, hosts: int) -> list[str]:
        """One port (or an empty text) a host; libpq takes a single one for all of them."""
        ports = self.parameters.get("port", "").split(",")
        return ports * hosts if len(ports) == 1 else (ports + [""] * hosts)[:hosts]


def is_parameter(name: str) -> bool:
    """Whether libpq has a connection parameter of that name."""
    try:
        return list(psycopg2.extensions.parse_dsn(f"{name}=x")) == [name]
    except psycopg2.ProgrammingError:
        return False


def _is_ambiguous(text: str) -> bool:
    """Whether an unescaped ``@`` or ``/`` lets libpq cut what follows the scheme at the wrong place.

    It takes the first ``@`` for the end of the password and the first ``/`` for the start of the
    database's name, and so reads the rest of a password as a host, a database or an option.
    """
    authority, _, rest = text.partition("/")
    path, _, query = rest.partition("?")
    return authority.count("@") > 1 or "@" in path + query or "/" in path
