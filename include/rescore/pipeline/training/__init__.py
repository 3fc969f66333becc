"""Train or adopt a package, and say when training is due."""
