"""The packages of a model: opened, versioned, signed, pinned."""
