"""What ``rescore check`` looks at, a file for each question."""
