"""People who were erased: tombstones for their rows, and the deletion of those in our tables."""
