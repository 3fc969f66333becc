"""Write a model folder from a table, and check one: from its SQL to what its features know of the future."""

from rescore.authoring.check import check_model
from rescore.authoring.checks.declaration import check_declaration, run_folder_tests
from rescore.authoring.checks.event_times import check_event_times
from rescore.authoring.checks.leakage import check_extract, check_labels, check_values
from rescore.authoring.checks.result import CheckResult
from rescore.authoring.draft import Draft
from rescore.authoring.new_model import new_model

__all__ = [
    "CheckResult",
    "Draft",
    "check_declaration",
    "check_event_times",
    "check_extract",
    "check_labels",
    "check_model",
    "check_values",
    "new_model",
    "run_folder_tests",
]
