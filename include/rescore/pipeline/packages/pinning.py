"""Pin a package: what the decision stands on, and the pin itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rescore.comparison import ComparisonReport
from rescore.pipeline.context import Context
from rescore.pipeline.due_times import declare_timetable
from rescore.pipeline.packages.opening import open_package
from rescore.pipeline.packages.signing import refuse_unsigned
from rescore.store import Package

__all__ = ["pin", "pin_evidence", "refuse_own_approval"]

_UNREAD = "what was found can't be read by this release"


def pin(
    ctx: Context,
    model_name: str,
    version: str,
    *,
    who: str,
    why: str,
    evidence: Mapping[str, Any] | None = None,
) -> int:
    """Make a package the one that scores, after it has proved itself here.

    Parameters
    ----------
    ctx : Context
        Store and archive.
    model_name, version : str
        The package; its version or its sha256.
    who, why : str
        Stored for ever.
    evidence : mapping, optional
        What the decision stands on; default is the package's own metrics and lineage.

    Returns
    -------
    int
        The pin's id.

    Raises
    ------
    FourEyesError
        The model declares four eyes, and ``who`` trained the package.
    IntegrityError
        The file was changed, needs other versions, does not give its golden scores, or has no
        signature that holds where the model requires one.
    """
    package = ctx.store.packages.find(model_name, version)
    refuse_own_approval(ctx, model_name, package.sha256, who)
    refuse_unsigned(ctx, model_name, package.sha256)
    open_package(ctx, model_name, package.sha256).verify()
    pin_id = ctx.store.pins.add(
        model_name,
        package.version,
        package.sha256,
        who=who,
        why=why,
        evidence=evidence or _of_manifest(package),
    )
    if model_name in ctx.models():  # a model may outlive its folder
        declare_timetable(ctx, ctx.model(model_name))
    return pin_id


def refuse_own_approval(ctx: Context, model_name: str, sha256: str, who: str) -> None:
    """Refuse who trained a package as the one who approves it, where the model declares four eyes.

    Parameters
    ----------
    ctx : Context
        Store.
    model_name, sha256 : str
        The package.
    who : str
        Who would approve it.

    Raises
    ------
    FourEyesError
        They trained it, nobody knows who did, or no person approves; names all of them.
    """
    if model_name in ctx.models():
        ctx.store.pins.declare(ctx.model(model_name).spec)
    ctx.store.pins.refuse_own(model_name, sha256, who)


def pin_evidence(ctx: Context, model_name: str, reference: str) -> dict[str, Any]:
    """The evidence to keep with a pin of a package.

    Parameters
    ----------
    ctx : Context
        Store.
    model_name : str
        The model.
    reference : str
        A version or sha256.

    Returns
    -------
    dict
        ``metrics``, ``lineage`` and ``built`` of the package; ``replaces`` (version, sha256, pin id of
        what is pinned now, or None); ``rolls_back_to`` (id of this package's last pin, if it had one);
        ``comparison`` (id, verdict of the rule and its reasons; the last one of the two, if there is
        one).
    """
    package = ctx.store.packages.find(model_name, reference)
    pins = ctx.store.pins.of_model(model_name)
    current = pins[0] if pins else None
    earlier = [one.pin_id for one in pins[1:] if one.sha256 == package.sha256]
    return {
        **_of_manifest(package),
        "replaces": None
        if current is None
        else {"version": current.version, "sha256": current.sha256, "pin_id": current.pin_id},
        "rolls_back_to": earlier[0] if earlier else None,
        "comparison": None if current is None else _last(ctx, model_name, current.sha256, package.sha256),
    }


def _of_manifest(package: Package) -> dict[str, Any]:
    said = package.manifest.to_dict()
    return {key: said.get(key) for key in ("metrics", "lineage", "built")}


def _last(ctx: Context, model_name: str, champion: str, challenger: str) -> dict[str, Any] | None:
    for one in ctx.store.comparisons.of_model(model_name, challenger_sha256=challenger):
        if one.champion_sha256 == champion:
            named = f"{model_name}: what comparison {one.comparison_id} found"
            report = ctx.read_stored(ComparisonReport, one.report, named)
            return {
                "comparison_id": one.comparison_id,
                "by_rule": report is not None and report.rule.passes,
                "reasons": [_UNREAD] if report is None else list(report.rule.reasons),
            }
    return None
