"""Score one interval: extract, validate, score, compare with training, publish."""
