"""Deterministic fits, packages that prove themselves, and predictions of the same bits everywhere.

A package is a wheel that needs neither Rescore nor Airflow. Whatever fits or predicts runs in a
fresh interpreter of one thread; nothing heavy is imported here.
"""

from rescore.model.adopt import SavedModel, adopt, find_saved
from rescore.model.build import FORMAT, PackageFile, build_package, next_version
from rescore.model.compare_manifests import changes
from rescore.model.environment import differences, numeric_environment
from rescore.model.package import Package, open_package
from rescore.model.signing import sign_file, verify_file
from rescore.model.train import Fitted, train, train_verified

__all__ = [
    "FORMAT",
    "Fitted",
    "Package",
    "PackageFile",
    "SavedModel",
    "adopt",
    "build_package",
    "changes",
    "differences",
    "find_saved",
    "next_version",
    "numeric_environment",
    "open_package",
    "sign_file",
    "train",
    "train_verified",
    "verify_file",
]
