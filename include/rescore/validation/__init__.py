"""The gate between what was extracted and what is scored.

A model's own Great Expectations suite and the platform's built-in expectations run on the frozen
rows. Critical failures block the run, rows that fail a row-level expectation of severity
``warning`` are quarantined with a reason, rows the model can't score are rejected with a reason.
Training judges the same way, interval by interval.

Nothing here reads a database, writes a file or talks to a network. Importing this package does
not import Great Expectations (9 s of CPU): the functions that need it do.
"""

from rescore.validation.declared_suite import Suites
from rescore.validation.gate import gate, gate_each
from rescore.validation.report import ExpectationResult, Validation, ValidationReport
from rescore.validation.run import validate, validate_each
from rescore.validation.suite import load_suite
from rescore.validation.suite_apart import Apart

__all__ = [
    "Apart",
    "ExpectationResult",
    "Suites",
    "Validation",
    "ValidationReport",
    "gate",
    "gate_each",
    "load_suite",
    "validate",
    "validate_each",
]
