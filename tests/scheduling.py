"""Which tests a worker takes together, which come first, and which are whole jobs.

A file is run by one worker, so that what its module prepares is made once; files that share what takes
long to make go together. What takes long comes first, so that no worker ends with it while others wait.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling

#: Files that are run by one worker: those with one Airflow, those that read the year of flights, ….
TOGETHER = {
    "tests/airflow/test_page.py": "the stack with their Airflow",
    "tests/airflow/test_runs.py": "the stack with their Airflow",
    "tests/airflow/test_actions.py": "the stack with their Airflow",
    "tests/airflow/test_install.py": "the stack with their Airflow",
    "tests/demo/": "the year of flights",
}
#: What comes first, by the beginnings of paths; all else follows in the order of its path.
FIRST = (
    "tests/airflow/test_actions.py",
    "tests/airflow/test_runs.py",
    "tests/airflow/test_page.py",
    "tests/airflow/test_install.py",
    "tests/pipeline/reproduce/",
    "tests/local/test_airflow_stack.py",
    "tests/deploy/",
    "tests/pipeline/",
    "tests/demo/",
    "tests/model/",
    "tests/cli/",
    "tests/notebook/",
    "tests/authoring/",
)
#: Every test of these gets the marker ``job``: they train, score, prove, each stage in a fresh interpreter.
JOBS = (
    "tests/authoring/test_new_model.py",
    "tests/cli/test_comparison_commands.py",
    "tests/notebook/",
    "tests/pipeline/audit/",
    "tests/pipeline/compare/",
    "tests/pipeline/monitoring/",
    "tests/pipeline/packages/",
    "tests/pipeline/reproduce/",
    "tests/pipeline/scoring/test_release.py",
    "tests/pipeline/scoring/test_training_rows.py",
    "tests/pipeline/test_other_models.py",
    "tests/pipeline/training/",
)


def scope(nodeid: str) -> str:
    """What is run by one worker: the name of a group, or the test's file."""
    path = nodeid.split("::", 1)[0]
    for beginning, name in TOGETHER.items():
        if path.startswith(beginning):
            return name
    return path


def mark_jobs(items: list[pytest.Item]) -> None:
    """Mark whole jobs, so that ``make test-quick`` can leave them out."""
    for item in items:
        if item.nodeid.startswith(JOBS):
            item.add_marker("job")


def first_long(items: list[pytest.Item]) -> None:
    """Order the tests: files that take long first, each file as it is written."""

    def rank(item: pytest.Item) -> int:
        for number, beginning in enumerate(FIRST):
            if item.nodeid.startswith(beginning):
                return number
        return len(FIRST)

    items.sort(key=rank)


class ByScope(LoadScopeScheduling):
    """Distributes what :func:`scope` keeps together, in the order of the collection."""

    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid)
