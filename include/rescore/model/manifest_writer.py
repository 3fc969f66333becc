"""Writing what a package says of itself: its manifest, a function of what was trained.

It is read as a :class:`rescore.manifest.Manifest`.

It holds no time, no path of the machine that built it and no word of git. Which commit the code stands in
can be told from the ids that git gives to these very contents, wherever there is a clone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from math import isfinite
from typing import Any

from rescore.folder import ModelFolder
from rescore.json_values import json_bytes
from rescore.manifest import Manifest
from rescore.model.training import Fitted
from rescore.sha256 import bytes_sha256

__all__ = ["code_digests", "strict_json", "what_was_trained"]


def what_was_trained(fitted: Fitted, folder: ModelFolder, version: str) -> dict[str, Any]:
    """The part of the manifest that training and model folder tell, without the package's files."""
    spec, final = folder.spec, fitted.final
    adopted = final.get("adopted")
    declared = {feature.name: feature for feature in spec.features}
    return {
        "format": Manifest.FORMAT,
        "name": spec.name,
        "version": version,
        "owner": spec.owner,
        "description": spec.description,
        "features": [
            {
                **described,
                "required": declared[described["name"]].required,
                "unit": declared[described["name"]].unit,
                "description": declared[described["name"]].description,
            }
            for described in final["features"]
        ],
        "target": final["target"],
        "output": spec.output.model_dump(mode="json"),
        "pipeline": final["pipeline"],
        "selection": final["selection"],
        "hyperparameters": {} if adopted else strict_json(spec.training.hyperparameters),
        "seed": spec.training.seed,  # of an adopted model: what drew its golden rows
        "training": adopted
        or {
            "rows": final["rows"],
            "intervals": final["intervals"],
            "holdout_intervals": spec.training.holdout_intervals,
            "folds": len(fitted.evaluation["folds"]),
        },
        "metrics": fitted.metrics,
        "evaluation": fitted.evaluation,
        "environment": final["environment"],
    }


def code_digests(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    """Digests of what the model folder declares; the runtime and the shell around it are not its."""
    shell = (f"{name}/_runtime/", f"{name}/__main__.py", f"{name}/__init__.py")
    own = {path: content for path, content in sorted(files.items()) if not path.startswith(shell)}
    digests = {path: bytes_sha256(content) for path, content in own.items()}
    return {
        "digest": bytes_sha256(json_bytes(digests)),
        "files": digests,
        "git_blobs": {path: _git_blob(content) for path, content in own.items()},
    }


def _git_blob(content: bytes) -> str:
    """The id that git gives a file of this content (``git hash-object``): sha1, as its clones have it."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def strict_json(value: Any) -> Any:
    """What YAML or a caller may give as strict JSON: what has no form there says its type.

    Mappings with other keys than text are ``{"!map": [[key, value], …]}``, dates ``{"!date": "2024-01-01"}``
    and so on, so that two parameters that differ never look alike.
    """
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value):
            return {key: strict_json(item) for key, item in value.items()}
        pairs = [[strict_json(key), strict_json(item)] for key, item in value.items()]
        return {"!map": sorted(pairs, key=json.dumps)}
    if isinstance(value, list | tuple | set | frozenset):
        items = [strict_json(item) for item in value]
        return items if isinstance(value, list | tuple) else {"!set": sorted(items, key=json.dumps)}
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and isfinite(value)):
        return value
    if isinstance(value, bytes):
        return {"!bytes": value.hex()}
    return {f"!{type(value).__name__}": value.isoformat() if hasattr(value, "isoformat") else str(value)}
