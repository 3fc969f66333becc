"""How published scores came true, and what follows from it."""
