"""Alembic's scripts: the store's schema, one step per release that changed it."""
