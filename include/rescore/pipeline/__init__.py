"""The use cases, one file each: what a DAG task, a command and a notebook call.

Names load on first use, so that a readiness check does not import what a training needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rescore.pipeline.adopt import adopt_model
    from rescore.pipeline.check import CheckResult, check_model
    from rescore.pipeline.compare import compare_packages
    from rescore.pipeline.compare_rule import Comparison
    from rescore.pipeline.context import Context, code_revision
    from rescore.pipeline.environments import build_environments
    from rescore.pipeline.frozen_inputs import history, rewritten
    from rescore.pipeline.monitor import monitor_model
    from rescore.pipeline.performance import (
        latest_performance,
        measure_due,
        measure_run,
        performance_by_run,
        performance_by_week,
    )
    from rescore.pipeline.pinning import pin_evidence, status_rows
    from rescore.pipeline.publish import publish_run, release_run
    from rescore.pipeline.ready import is_ready
    from rescore.pipeline.reproduce import Difference, Reproduction, reproduce_run, sample_runs
    from rescore.pipeline.reproduce_scores import (
        PackageReproduction,
        ScoreReproduction,
        reproduce_package,
        reproduce_score,
    )
    from rescore.pipeline.reproduce_training import TrainingReproduction, retrain_package
    from rescore.pipeline.retrain import ask_for_retraining, when_due
    from rescore.pipeline.scaffold import Draft, new_model
    from rescore.pipeline.score import (
        begin_extract,
        drift_run,
        score_interval,
        score_run,
        validate_run,
    )
    from rescore.pipeline.signing import sign_package, verify_package
    from rescore.pipeline.train import (
        package_rows,
        pin,
        train_model,
        train_package,
        train_snapshot,
        training_window,
    )

_WHERE = {
    "adopt": ["adopt_model"],
    "compare": ["compare_packages"],
    "compare_rule": ["Comparison"],
    "check": ["CheckResult", "check_model"],
    "context": ["Context", "code_revision"],
    "environments": ["build_environments"],
    "monitor": ["monitor_model"],
    "frozen_inputs": ["history", "rewritten"],
    "performance": [
        "latest_performance",
        "measure_due",
        "measure_run",
        "performance_by_run",
        "performance_by_week",
    ],
    "pinning": ["pin_evidence", "status_rows"],
    "publish": ["publish_run", "release_run"],
    "ready": ["is_ready"],
    "reproduce": ["Difference", "Reproduction", "reproduce_run", "sample_runs"],
    "reproduce_scores": ["PackageReproduction", "ScoreReproduction", "reproduce_package", "reproduce_score"],
    "reproduce_training": ["TrainingReproduction", "retrain_package"],
    "retrain": ["ask_for_retraining", "when_due"],
    "score": ["begin_extract", "drift_run", "score_interval", "score_run", "validate_run"],
    "scaffold": ["Draft", "new_model"],
    "signing": ["sign_package", "verify_package"],
    "train": ["package_rows", "pin", "train_model", "train_package", "train_snapshot", "training_window"],
}
_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names}

__all__ = [
    "CheckResult",
    "Comparison",
    "Context",
    "Difference",
    "Draft",
    "PackageReproduction",
    "Reproduction",
    "ScoreReproduction",
    "TrainingReproduction",
    "adopt_model",
    "ask_for_retraining",
    "begin_extract",
    "build_environments",
    "check_model",
    "code_revision",
    "compare_packages",
    "drift_run",
    "history",
    "is_ready",
    "latest_performance",
    "measure_due",
    "measure_run",
    "monitor_model",
    "new_model",
    "package_rows",
    "performance_by_run",
    "performance_by_week",
    "pin",
    "pin_evidence",
    "publish_run",
    "release_run",
    "reproduce_package",
    "reproduce_run",
    "reproduce_score",
    "retrain_package",
    "rewritten",
    "sample_runs",
    "score_interval",
    "score_run",
    "sign_package",
    "status_rows",
    "train_model",
    "train_package",
    "train_snapshot",
    "training_window",
    "validate_run",
    "verify_package",
    "when_due",
]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
