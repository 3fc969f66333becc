"""Read-only views of the store for the page, the command line and notebooks.

What changes anything lives in ``pipeline``. Importing this package imports no drawing library.
"""
