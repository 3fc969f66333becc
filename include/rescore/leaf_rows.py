"""How many rows a leaf of a digest has; a module of its own, so that nobody pays an import for a number."""

__all__ = ["LEAF_ROWS"]

#: Part of the digest: another number is another digest of every table. ``pipeline/audit/bundle_verifier.py``,
#: which imports nothing of ours, has it again.
LEAF_ROWS = 65_536
