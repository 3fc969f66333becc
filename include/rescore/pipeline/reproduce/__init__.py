"""Past runs, single scores and trainings derived again, and the first difference named."""
