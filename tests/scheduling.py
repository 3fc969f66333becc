"""Which tests a worker takes together, which come first, and which are whole jobs.

A file is run by one worker, so that what its module prepares is made once; files that share what takes
long to make go together. What takes long comes first, so that no worker ends with it while others wait.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

_ROOT = Path(__file__).parents[1]

#: Files that are run by one worker: those with one Airflow, those that read the year of flights, ….
TOGETHER = {
    "tests/airflow/test_page.py": "the stack with their Airflow",
    "tests/airflow/test_runs.py": "the stack with their Airflow",
    "tests/airflow/test_actions.py": "the stack with their Airflow",
    "tests/airflow/test_install.py": "the stack with their Airflow",
    "tests/demo/": "the year of flights",
    "tests/pipeline/erasure/": "the bank that names its customers",
    "tests/pipeline/retention/": "the bank with days that are past their time",
    "tests/cli/test_monitoring_commands.py": "the bank whose days are drawn",
    "tests/report/test_from_store.py": "the bank whose days are drawn",
    "tests/report/test_model_states.py": "the bank whose days are drawn",
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
#: Files of ``make test-slow``, by the beginnings of paths: what a whole suite on one subject adds beyond
#: its principal cases, which ``make test`` has elsewhere. Of other files, single tests are marked.
SLOW = (
    "tests/airflow/test_answers.py",
    "tests/airflow/test_console.py",
    "tests/airflow/test_preload.py",
    "tests/authoring/test_check_answers.py",
    "tests/cli/test_hostile_arguments.py",
    "tests/demo/test_flight_delay_leakage.py",
    "tests/demo/test_flights.py",
    "tests/drift/test_calibration.py",
    "tests/drift/test_compare_window.py",
    "tests/drift/test_expected_loss.py",
    "tests/drift/test_small_windows.py",
    "tests/evidence/test_detector.py",
    "tests/local/test_postgres.py",
    "tests/model/child/test_kept_rows.py",
    "tests/model/test_adopt.py",
    "tests/model/test_adopt_boosters.py",
    "tests/model/test_boosters.py",
    "tests/model/test_forking.py",
    "tests/notebook/",
    "tests/performance/test_watched.py",
    "tests/pipeline/audit/test_bundle.py",
    "tests/pipeline/audit/test_erased.py",
    "tests/pipeline/compare/test_compare_packages.py",
    "tests/pipeline/erasure/",
    "tests/pipeline/monitoring/test_performance.py",
    "tests/pipeline/monitoring/test_status_check.py",
    "tests/pipeline/packages/test_signing.py",
    "tests/pipeline/retention/",
    "tests/pipeline/scoring/test_calendar_ends.py",
    "tests/pipeline/scoring/test_corruption.py",
    "tests/pipeline/scoring/test_full_disk.py",
    "tests/pipeline/test_another_model.py",
    "tests/pipeline/training/test_retraining.py",
    "tests/pipeline/training/test_training_rows.py",
    "tests/source/test_moments_from_text.py",
    "tests/source/test_order_of_rows.py",
    "tests/source/test_plpgsql_bodies.py",
    "tests/source/test_volatility.py",
    "tests/store/audit/test_chain.py",
    "tests/store/test_attempts.py",
    "tests/store/test_consumer_views.py",
    "tests/store/test_deletions.py",
    "tests/store/test_forgeries.py",
    "tests/store/test_four_eyes.py",
    "tests/store/test_migration.py",
    "tests/store/test_reads.py",
    "tests/store/test_retirement.py",
    "tests/store/test_shards.py",
)
#: What ``make test-quick`` leaves out, by the beginnings of paths; their tests get the marker ``job``.
#: They train, score and prove, each stage in a fresh interpreter, or take long for another reason: files
#: above some 10 s.
JOBS = (
    "tests/airflow/",
    "tests/authoring/",
    "tests/cli/test_comparison_commands.py",
    "tests/cli/test_monitoring_commands.py",
    "tests/cli/test_overview_commands.py",
    "tests/cli/test_selection.py",
    "tests/comparison/test_chance.py",
    "tests/demo/",
    "tests/deploy/test_kubernetes.py",
    "tests/docs/test_docs.py",
    "tests/docs/test_runbooks.py",
    "tests/drift/test_joint_classifier.py",
    "tests/drift/test_odd_shapes.py",
    "tests/drift/test_volume.py",
    "tests/fuzz/test_params.py",
    "tests/model/child/",
    "tests/model/runtime/test_labels.py",
    "tests/model/runtime/test_scoring.py",
    "tests/model/test_environment_contents.py",
    "tests/model/test_forking.py",
    "tests/model/test_package.py",
    "tests/model/test_train.py",
    "tests/notebook/",
    "tests/pipeline/",
    "tests/report/test_charts.py",
    "tests/source/test_extract.py",
    "tests/source/test_refusals.py",
    "tests/source/test_snapshot.py",
    "tests/store/audit/",
    "tests/store/test_copying.py",
    "tests/store/test_models.py",
    "tests/store/test_protocol.py",
    "tests/store/test_publishing.py",
    "tests/store/test_roles.py",
    "tests/store/test_runs.py",
    "tests/store/test_schema.py",
    "tests/validation/test_from_file.py",
    "tests/validation/test_nulls.py",
    "tests/validation/test_suite_apart.py",
)


def scope(nodeid: str) -> str:
    """What is run by one worker: the name of a group, or the test's file."""
    path = nodeid.split("::", 1)[0]
    for beginning, name in TOGETHER.items():
        if path.startswith(beginning):
            return name
    return path


def mark_long(items: list[pytest.Item]) -> None:
    """Mark what takes long, so that ``make test`` and ``make test-quick`` can leave it out."""
    for item in items:
        if item.nodeid.startswith(SLOW):
            item.add_marker("slow")
        if item.nodeid.startswith(JOBS):
            item.add_marker("job")


def is_left_out(path: Path, markers: str) -> bool:
    """Whether ``-m`` leaves out all of a file, which is then not even imported: many import Airflow."""
    name = path.relative_to(_ROOT).as_posix()
    if "not job" in markers and name.startswith(JOBS):
        return True
    return "not slow" in markers and path.match("test_*.py") and (name.startswith(SLOW) or _is_slow(path))


def _is_slow(path: Path) -> bool:
    """Whether a file's ``pytestmark`` has ``pytest.mark.slow``."""
    text = path.read_text(encoding="utf-8")
    if "pytestmark" not in text:
        return False
    marks = (
        node.value
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
    )
    return any("pytest.mark.slow" in ast.unparse(mark) for mark in marks)


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
