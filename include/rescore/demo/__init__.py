"""Real data to try the platform on, and the guided demo."""
