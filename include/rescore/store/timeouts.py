"""What bounds a wait in the store's sessions, on whatever connection."""

from __future__ import annotations

__all__ = ["BOUND_WAITS", "KEEPALIVES"]

#: What bounds a wait, where neither the role, the database nor the URL does: nobody waits for ever for
#: an attempt that stalled inside of its transaction, nor for a client that is gone. ``0`` is Postgres'
#: own default: no bound.
_BOUNDS = {
    "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": "300s",
    # Since Postgres 14 a busy server can check that its client is still there; not on Windows.
    "client_connection_check_interval": "30s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
#: The same on the client's end (seconds, probes), as libpq calls it.
KEEPALIVES = {"keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}

_ROWS = ", ".join(f"('{name}', '{bound}')" for name, bound in _BOUNDS.items())
#: A query that sets the bounds in its session.
BOUND_WAITS = (
    f"SELECT set_config(name, bound, false) FROM (VALUES {_ROWS}) b(name, bound)"  # noqa: S608 - constants
    " JOIN pg_settings s USING (name) WHERE s.source = 'default' AND NOT"
    " (name = 'client_connection_check_interval' AND version() ~* 'windows|mingw|visual c')"
)
