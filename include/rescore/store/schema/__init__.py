"""The tables, the typed score table of each model, views, roles and migrations."""
