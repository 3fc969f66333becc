"""The store as one object: all its parts over one database."""

from __future__ import annotations

from rescore.store.packages.comparisons import Comparisons
from rescore.store.packages.registry import Registry
from rescore.store.packages.retrainings import Retrainings
from rescore.store.packages.signatures import Signatures
from rescore.store.runs.history import Series
from rescore.store.runs.publishing import Publishing
from rescore.store.schema.migrate import Migrating
from rescore.store.schema.roles import Roles

__all__ = ["Store"]


class Store(Migrating, Registry, Signatures, Comparisons, Publishing, Series, Retrainings, Roles):
    """What is scored, with what, from what, and what consumers see, in one Postgres.

    Each part is a class of its own file over the same :class:`~rescore.store.database.Database`:
    ``migrating`` (schema), ``registry`` (snapshots, packages, pins), ``signatures``, ``comparisons``,
    ``models`` (typed tables, views), ``reading``, ``claiming`` and ``runs`` (attempts), ``scores`` (staging,
    reading back), ``evidence`` (reports), ``publishing``, ``series`` (a model over time), ``retrainings`` and
    ``roles``.

    Parameters
    ----------
    url : str
        A Postgres URL of any spelling. Nothing connects before the first use.
    store_schema, consumer_schema : str
        Where our tables and where the consumers' views are.

    Examples
    --------
    >>> store = Store("postgresql://localhost/rescore")  # doctest: +SKIP
    >>> store.migrate()  # doctest: +SKIP
    '0004'
    """
