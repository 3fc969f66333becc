"""A package's software bill of materials, as CycloneDX 1.6 JSON; the same package gives the same bytes."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from typing import Any

__all__ = ["MEMBER", "bill_of_materials"]

#: Where a wheel holds it, below its ``.dist-info`` (PEP 770).
MEMBER = "sboms/rescore.cdx.json"

_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def bill_of_materials(manifest: bytes, lock: str) -> bytes:
    """What predicting with a package installs, and the package itself.

    No time and no random number is in it: the serial number is derived from the manifest, which names the
    digest of every file of the package. The digest of the wheel is not in it, since it is in the wheel.

    Parameters
    ----------
    manifest : bytes
        What the package says of itself, as its file holds it.
    lock : str
        Its ``requirements.txt``.
    """
    said = json.loads(manifest)
    name, version = said["name"], said["version"]
    components = [_component(match[1], match[2], block) for match, block in _blocks(lock)]
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, hashlib.sha256(manifest).hexdigest())}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "machine-learning-model",
                "bom-ref": f"{name}@{version}",
                "name": name,
                "version": version,
                "description": said.get("description", ""),
            }
        },
        "components": sorted(components, key=lambda one: one["bom-ref"]),
        "dependencies": [
            {"ref": f"{name}@{version}", "dependsOn": sorted(one["bom-ref"] for one in components)}
        ],
    }
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _blocks(lock: str) -> list[tuple[re.Match[str], str]]:
    matches = list(_REQUIREMENT.finditer(lock))
    ends = [*(match.start() for match in matches[1:]), len(lock)]
    return [(match, lock[match.start() : end]) for match, end in zip(matches, ends, strict=True)]


def _component(name: str, version: str, block: str) -> dict[str, Any]:
    reference = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": reference,
        "name": name,
        "version": version,
        "purl": reference,
    }
    # A lock names the hash of every wheel of a release; one of them was installed.
    hashes = sorted(re.findall(r"--hash=sha256:([0-9a-f]{64})", block))
    if hashes:
        component["externalReferences"] = [
            {
                "type": "distribution",
                "url": reference,
                "hashes": [{"alg": "SHA-256", "content": digest}],
            }
            for digest in hashes
        ]
    return component
