"""Hostile names and values at every place that takes one from outside."""
