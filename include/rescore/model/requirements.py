"""What a package needs installed: found from its code and its artifact, pinned to what trained it."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rescore.errors import SpecError
from rescore.model.environment import CORE_PACKAGES

__all__ = ["direct", "lock_lines", "locked", "without_hashes"]

_KNOWN = {name: name for name in CORE_PACKAGES if name != "scikit-learn"} | {"sklearn": "scikit-learn"}
_NEVER = ("airflow", "rescore", "rescore_airflow")


def direct(model: str, code: Mapping[str, bytes], types: Iterable[str]) -> dict[str, str]:
    """The distributions that a package imports, with their installed versions.

    Parameters
    ----------
    model : str
        The package's own name.
    code : mapping
        Path to content of its modules.
    types : iterable of str
        Types in its artifact.

    Returns
    -------
    dict
        Distribution to version, sorted; always those that every prediction imports.

    Raises
    ------
    SpecError
        The code imports Rescore or Airflow, which a package must work without.
    """
    roots: dict[str, str] = {name.partition(".")[0]: "the fitted pipeline" for name in types}
    for path, content in code.items():
        if path.startswith(f"{model}/_runtime/") or not path.endswith(".py"):
            continue
        for root in _imports(content):
            roots.setdefault(root, path)
    for never in _NEVER:
        if never in roots:
            raise SpecError(
                f"the model's code imports {never}",
                where=roots[never],
                expected="code that runs where only the package is installed",
                fix="move what it needs into the model folder or include/features",
            )
    foreign = roots.keys() - _KNOWN.keys() - sys.stdlib_module_names - {model, "builtins"}
    names = set(CORE_PACKAGES)
    if foreign:
        providers = packages_distributions()
        names |= {provider for root in foreign for provider in providers.get(root, [])}
    return {name: version(name) for name in sorted(names, key=canonicalize_name)}


def locked(names: Iterable[str]) -> dict[str, str]:
    """Distributions and all that they require here (no extras), with their versions, sorted."""
    found: dict[str, str] = {}
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # required under another marker's environment only
        for line in requires(name) or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return dict(sorted(found.items()))


def lock_lines(pinned: Mapping[str, str], lock: Path | None) -> str:
    """``requirements.txt`` of a package: exact versions, with the hashes that ``lock`` has for them.

    Parameters
    ----------
    pinned : mapping
        Distribution to version.
    lock : Path, optional
        A requirements file with hashes, as ``uv pip compile`` writes it.
    """
    hashes = dict(_hashes(lock.read_text(encoding="utf-8"))) if lock else {}
    lines = []
    for name, wanted in pinned.items():
        known = hashes.get((name, wanted), [])
        lines.append(" \\\n".join([f"{name}=={wanted}", *(f"    --hash={one}" for one in known)]))
    return "\n".join(lines) + "\n"


def without_hashes(lock: str) -> list[str]:
    """The requirements of a lock that have no hash, so that nothing proves what would be installed."""
    blocks = re.split(r"(?m)^(?=[A-Za-z0-9])", lock)
    return [block.split()[0] for block in blocks if "==" in block and "--hash=" not in block]


def _hashes(text: str) -> Iterator[tuple[tuple[str, str], list[str]]]:
    for block in re.split(r"(?m)^(?=[A-Za-z0-9])", text):
        pinned = re.match(r"([A-Za-z0-9._-]+)==([^\s;\\]+)", block)
        if pinned:
            yield (canonicalize_name(pinned[1]), pinned[2]), sorted(re.findall(r"--hash=(\S+)", block))


def _imports(content: bytes) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found
