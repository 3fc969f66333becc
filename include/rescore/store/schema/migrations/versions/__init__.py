"""The steps, oldest first. A released step is never changed; a change is a new step."""
