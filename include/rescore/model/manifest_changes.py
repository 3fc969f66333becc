"""What changed between two packages, in a data scientist's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rescore.manifest import Manifest

__all__ = ["changes"]

_ABSENT = "absent"


def changes(one: Manifest, other: Manifest) -> list[dict[str, str]]:
    """Compare two manifests.

    Parameters
    ----------
    one, other : Manifest
        Of two packages; with or without ``built``.

    Returns
    -------
    list of dict
        ``about`` (data, features, parameters, code, environment, metrics, in this order), ``what``
        changed, and its value ``before`` and ``after`` as text. Metrics carry the difference.
    """
    before_all, after_all = one.to_dict(), other.to_dict()
    return [
        {"about": about, "what": what, "before": before, "after": after}
        for about, compare in _SUBJECTS.items()
        for what, before, after in compare(before_all, after_all)
    ]


_Change = tuple[str, str, str]


def _data(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[_Change]:
    yield from _unequal(_part(one, "lineage"), _part(other, "lineage"))
    yield from _unequal(_part(one, "training"), _part(other, "training"), "training ")
    yield from _unequal(_part(one, "target"), _part(other, "target"), "target ")


def _features(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[_Change]:
    left, right = ({item["name"]: item for item in side.get("features", ())} for side in (one, other))
    for name in [*left, *(name for name in right if name not in left)]:
        if name not in right:
            yield name, "a feature", "gone"
        elif name not in left:
            yield name, _ABSENT, f"a new {right[name].get('kind')} feature"
        else:
            yield from _levels(name, left[name], right[name])
            before, after = ({**side[name], "levels": None} for side in (left, right))
            yield from _unequal(before, after, f"{name}: ")
    common = [name for name in left if name in right]
    if common != [name for name in right if name in left]:
        yield "order of the features", ", ".join(left), ", ".join(right)
    yield from _unequal(_part(one, "selection"), _part(other, "selection"), "selection: ")


def _levels(name: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[_Change]:
    left, right = one.get("levels") or [], other.get("levels") or []
    gone = [str(level) for level in left if level not in right]
    new = [str(level) for level in right if level not in left]
    if gone or new:
        yield f"{name}: levels", f"{len(left)}, gone: {_few(gone)}", f"{len(right)}, new: {_few(new)}"


def _parameters(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[_Change]:
    left, right = (
        {"seed": side.get("seed"), "hyperparameters": side.get("hyperparameters")} for side in (one, other)
    )
    yield from _unequal(left, right)
    yield from _unequal(_part(one, "pipeline"), _part(other, "pipeline"), "pipeline ")


def _code(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[_Change]:
    left, right = (_part(side, "code").get("files", {}) for side in (one, other))
    for path in sorted(left.keys() | right.keys()):
        if left.get(path) != right.get(path):
            if path not in right:
                yield path, "a file", "gone"
            elif path not in left:
                yield path, _ABSENT, "a new file"
            else:
                yield path, left[path][:19], right[path][:19]
    revisions = [_part(side, "built").get("code_revision") for side in (one, other)]
    if revisions[0] != revisions[1]:
        yield "git revision of the build", _text(revisions[0]), _text(revisions[1])


def _environment(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[_Change]:
    left, right = (
        {**_part(side, "locked"), **{k: v for k, v in _part(side, "environment").items() if k != "packages"}}
        for side in (one, other)
    )
    yield from _unequal(left, right)
    images = [_part(side, "built").get("image") for side in (one, other)]
    if images[0] != images[1]:
        yield "image", _text(images[0]), _text(images[1])


def _metrics(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[_Change]:
    left, right = _part(one, "metrics"), _part(other, "metrics")
    for name in [*left, *(name for name in right if name not in left)]:
        before, after = left.get(name), right.get(name)
        if before == after:
            continue
        moved = ""
        if isinstance(before, int | float) and isinstance(after, int | float):
            moved = f" ({after - before:+.6g})"
        yield name, _text(before), _text(after) + moved


_SUBJECTS = {
    "data": _data,
    "features": _features,
    "parameters": _parameters,
    "code": _code,
    "environment": _environment,
    "metrics": _metrics,
}


def _part(manifest: Mapping[str, Any], key: str) -> dict[str, Any]:
    return dict(manifest.get(key) or {})


def _unequal(one: Any, other: Any, path: str = "") -> Iterator[_Change]:
    """Every leaf that differs, with the path to it."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in [*one, *(key for key in other if key not in one)]:
            left, right = one.get(key, _ABSENT), other.get(key, _ABSENT)
            if left != right:
                yield from _unequal(
                    left, right, f"{path}.{key}" if path and path[-1] not in " " else path + key
                )
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            if left != right:
                yield from _unequal(left, right, f"{path}[{index}]")
    else:
        yield path.strip(), _text(one), _text(other)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else _ABSENT if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _few(names: list[str]) -> str:
    return (
        ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") if names else "none"
    )
