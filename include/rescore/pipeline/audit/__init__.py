"""What an auditor asks: is the history the one that happened, and what proves a score."""
