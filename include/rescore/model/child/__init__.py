"""What only the child interpreter runs: fitting, adopting, unpickling. The parent never imports it."""
