"""Attempts to score an interval: claims, states, staged scores, evidence, publications."""
