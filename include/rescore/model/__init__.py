"""Deterministic fits, packages that prove themselves, and predictions of the same bits everywhere.

A package is a wheel that needs neither Rescore nor Airflow. Whatever fits or predicts runs in a
fresh interpreter of one thread (``child`` runs only there); names load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rescore.lazy_names import lazy_names

if TYPE_CHECKING:
    from rescore.model.adoption import (
        SavedModel,
        adopt,
        find_saved,
    )
    from rescore.model.artifact import (
        differing,
    )
    from rescore.model.build import (
        PackageFile,
        build_package,
        next_version,
    )
    from rescore.model.environment import (
        differences,
        numeric_environment,
        start_environment,
    )
    from rescore.model.manifest_changes import (
        changes,
    )
    from rescore.model.package import (
        Package,
        open_package,
    )
    from rescore.model.package_file import (
        bill_of,
        environment_of,
        held_bill,
        lock_of,
    )
    from rescore.model.process import (
        Child,
        prepare_children,
    )
    from rescore.model.runtime.environment import (
        THREAD_VARIABLES,
        one_thread,
    )
    from rescore.model.runtime.errors import (
        PackageError,
    )
    from rescore.model.runtime.frames import (
        Features,
    )
    from rescore.model.runtime.package import (
        ulps,
    )
    from rescore.model.runtime.scoring import (
        Predictions,
    )
    from rescore.model.signing import (
        sign_file,
        verify_file,
    )
    from rescore.model.target import (
        truth_for,
    )
    from rescore.model.training import (
        Fitted,
        train,
        train_verified,
    )
    from rescore.model.yaml_numbers import (
        numbers_as_text,
    )

__all__ = [
    "THREAD_VARIABLES",
    "Child",
    "Features",
    "Fitted",
    "Package",
    "PackageError",
    "PackageFile",
    "Predictions",
    "SavedModel",
    "adopt",
    "bill_of",
    "build_package",
    "changes",
    "differences",
    "differing",
    "environment_of",
    "find_saved",
    "held_bill",
    "lock_of",
    "next_version",
    "numbers_as_text",
    "numeric_environment",
    "one_thread",
    "open_package",
    "prepare_children",
    "sign_file",
    "start_environment",
    "train",
    "train_verified",
    "truth_for",
    "ulps",
    "verify_file",
]

if not TYPE_CHECKING:  # or each name that is misspelt would be one for it
    __getattr__ = lazy_names(__name__, __file__)
