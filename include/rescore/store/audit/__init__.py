"""The history of the store: its hash chain, and how the tables are compared with it."""
