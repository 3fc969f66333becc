"""What was deleted, what must not be, and the rows that retention takes away."""
