"""Snapshots, packages, pins, signatures, comparisons and asked-for trainings."""
