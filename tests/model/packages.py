"""Packages that tests build: of one trained model, with what a caller of the builder gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rescore.manifest import Lineage
from rescore.model import Fitted, PackageFile, build_package
from tests.model.parcels import Trained

LINEAGE = Lineage(snapshot="sha256:" + "0" * 64, as_of="2013-04-01T08:00:00Z")
PROFILE = b'{"reference": "of drift"}'


def build(trained: Trained, destination: Path, fitted: Fitted | None = None, **changes: Any) -> PackageFile:
    options: dict[str, Any] = {
        "version": "1.0.0",
        "reference_profile": PROFILE,
        "lineage": LINEAGE,
        **changes,
    }
    return build_package(fitted or trained.fitted, trained.folder, destination=destination, **options)
