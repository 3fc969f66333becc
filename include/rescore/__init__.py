"""Rescore: batch scoring in which every score stands up to being scored again."""
