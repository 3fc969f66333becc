"""Parts of ``bench/whole_run.py``: the table, the ways to score it, and what is measured."""
