"""What is true of a build but not of its bytes: the code's revision in git, the image, the moment."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from rescore.folder import ModelFolder
from rescore.pipeline.context import utc_now

__all__ = ["built_here", "code_revision"]


def built_here(folder: ModelFolder, trained_by: str | None) -> dict[str, str | None]:
    """What is true of a build but not of its bytes: revision, image, ``at`` (ISO, UTC), ``trained_by``.

    The image is ``RESCORE_IMAGE``: the digest of the container image, where there is one.
    """
    return {
        "code_revision": code_revision(folder),
        "image": os.environ.get("RESCORE_IMAGE") or None,
        "at": utc_now().isoformat(timespec="seconds"),
        "trained_by": trained_by,
    }


def code_revision(folder: ModelFolder) -> str:
    """The revision of the code that runs: ``RESCORE_CODE_REVISION``, else git's, else ``unknown``.

    A tree with uncommitted changes to the model gets ``+dirty``; so does one whose ``rescore.model`` has
    some, for its runtime goes into every package, and one of which git can't say that it has none.
    """
    declared = os.environ.get("RESCORE_CODE_REVISION")
    if declared:
        return declared

    def git(*arguments: str, at: Path = folder.path) -> str | None:
        try:
            done = subprocess.run(
                # Only looks: without the option, status writes the index and takes its lock.
                ["git", "--no-optional-locks", "-C", str(at), *arguments],
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    revision = git("rev-parse", "HEAD")
    if not revision:
        return "unknown"
    status = ("status", "--porcelain", "--")
    packaging = Path(__file__).parents[1] / "model"
    changes = [git(*status, str(folder.path), str(folder.shared_path))]
    if git("rev-parse", "--git-dir", at=packaging):  # an installed library is in no tree
        changes.append(git(*status, ".", at=packaging))
    return f"{revision}+dirty" if any(one != "" for one in changes) else revision
