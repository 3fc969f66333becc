"""A model card from what the store knows, under the headings of the EU AI Act's Annex IV.

What the store does not know is said to be unknown, so that a person fills it in and nobody takes silence
for an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rescore.store import ChainedRow, Package, Pin

__all__ = ["model_card"]

_UNKNOWN = "The store does not know; to be written by the provider."


def model_card(package: Package, pins: Iterable[Pin], evidence: Iterable[ChainedRow]) -> str:
    """The card of a package, as Markdown.

    Parameters
    ----------
    package : Package
        With its manifest.
    pins : iterable of Pin
        Decisions that it scores, with who and why.
    evidence : iterable of ChainedRow
        Rows of the run: drift, validation, performance.
    """
    manifest = package.manifest
    output, target, said = manifest.output, manifest.target, manifest.to_dict()
    rows = {row.table: row.row for row in evidence}
    parts = [
        f"# {package.model} {package.version}",
        f"File `{package.sha256}`. By the headings of Annex IV of the EU AI Act, from what the store knows."
        " See bundle.json for its digests.",
        "## 1. General description",
        manifest.description or _UNKNOWN,
        _table(
            {
                "owner": manifest.owner or None,
                "output": f"{output.name} ({output.unit}): {output.meaning}",
                "target": f"{target.name}, {target.kind}",
            }
        ),
        "Intended purpose, persons affected, prior versions in use: " + _UNKNOWN,
        "## 2. Elements and development",
        "### Features, in order",
        *(
            f"- {one.name}: {one.kind}{', ' + one.unit if one.unit else ''}"
            f"{'. ' + one.description if one.description else ''}"
            for one in manifest.features
        ),
        "### Data, code, environment",
        _table(
            {
                "training": said.get("training"),
                "lineage": said.get("lineage"),
                "code": manifest.code.digest or None,
                "built": said.get("built"),
                "seed": manifest.seed,
                "hyperparameters": manifest.hyperparameters,
                "python": manifest.environment.python or None,
            }
        ),
        "How data were collected and labelled, and their gaps: " + _UNKNOWN,
        "### Performance on the hold-out",
        _table(manifest.metrics),
        "## 3. Monitoring, functioning and control",
        f"Drift of this run: {_told(rows.get('drift'), 'verdict', 'sentence')}",
        f"Validation of this run: {_told(rows.get('validation'), 'success')}",
        f"Realised performance: {_told(rows.get('performance'), 'as_of', 'label_coverage')}",
        "### Human oversight: who approved it",
        *(f"- {pin.pinned_at:%Y-%m-%d}: {pin.who}: {pin.why}" for pin in pins),
        "## 4. Appropriateness of the metrics",
        _UNKNOWN,
        "## 5. Risk management",
        _UNKNOWN,
        "## 6. Changes through the lifecycle",
        "Every package, pin, run and publication is an entry of the chain in chain.jsonl.",
        "## 7. Standards applied, 8. Declaration of conformity, 9. Post-market plan",
        _UNKNOWN,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(facts: Mapping[str, Any]) -> str:
    rows = [f"| {name} | {_text(value)} |" for name, value in facts.items() if value is not None]
    return "\n".join(["| | |", "|---|---|", *rows]) if rows else ""


def _told(row: Mapping[str, Any] | None, *columns: str) -> str:
    return "none recorded" if row is None else ", ".join(_text(row.get(column)) for column in columns)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {_text(item)}" for name, item in value.items())
    return str(value).replace("|", r"\|").replace("\n", " ")
