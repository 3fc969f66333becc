"""What retention deletes, and what keeps it from deleting."""
