"""What the steps of a notebook give: values that show themselves, as text and as HTML."""

from __future__ import annotations

import html
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescore.interval import Interval
from rescore.manifest import Manifest
from rescore.report import plain
from rescore.shown_text import number_of

if TYPE_CHECKING:
    import pandas as pd

    from rescore.comparison import ComparisonReport, FirstReport

__all__ = ["Compared", "Evaluation", "Fit", "ModelPackage", "PublishedRun", "Shown", "Snapshot"]


class Shown(ABC):
    """A result with a title and facts; some have a table of numbers beneath.

    A notebook shows ``_repr_html_``, a terminal ``repr``.
    """

    @abstractmethod
    def title(self) -> str:
        """What it is, in a few words."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Name to value, in the order they are shown; None is left out."""

    def table(self) -> tuple[str, Mapping[str, float]] | None:
        """A caption, and numbers by name to be drawn as bars; None if there is none."""
        return None

    def __repr__(self) -> str:
        lines = [self.title(), *_aligned({name: plain(value) for name, value in _given(self.facts())})]
        if (table := self.table()) is not None:
            lines += ["", table[0], *_aligned({name: f"{value:+.4f}" for name, value in table[1].items()})]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr>{_cell(html.escape(name), opacity=0.7)}{_cell(html.escape(plain(value)))}</tr>"
            for name, value in _given(self.facts())
        )
        shown = f"<p style='margin:.4em 0'><b>{html.escape(self.title())}</b></p><table>{rows}</table>"
        if (table := self.table()) is not None:
            shown += _bars(*table)
        return f"<div>{shown}</div>"


@dataclass(frozen=True, repr=False)
class Snapshot(Shown):
    """Frozen training rows.

    Attributes
    ----------
    digest : str
        Names the content: the same window and moment give the same digest, here and in the DAG.
    model : str
        Whose rows.
    window : Interval
        From the first interval's start to the last one's end.
    as_of : datetime
        Labels known by then are in it.
    rows : int
        Labelled rows kept.
    details : mapping
        Counts: intervals, rows extracted, labelled, set aside.
    path : Path
        The Parquet file.
    """

    digest: str
    model: str
    window: Interval
    as_of: datetime
    rows: int
    details: Mapping[str, Any]
    path: Path = field(repr=False)

    def frame(self) -> pd.DataFrame:
        """The rows, verified against the digest: interval, inputs, target."""
        from rescore import source

        frame: pd.DataFrame = source.read_frozen(self.path, self.digest).to_pandas()
        return frame

    def title(self) -> str:
        """What it is."""
        return f"training snapshot of {self.model}"

    def facts(self) -> dict[str, Any]:
        """Digest, window, counts."""
        return {
            "digest": self.digest,
            "window": f"{self.window} ({self.details.get('intervals', '?')} intervals)",
            "labels known by": self.as_of,
            "rows extracted": self.details.get("extracted"),
            "rows labelled": self.details.get("labelled"),
            "rows set aside": self.details.get("set_aside"),
            "rows kept": self.rows,
        }


@dataclass(frozen=True, repr=False)
class Fit(Shown):
    """One fit on a snapshot, not yet a package."""

    model: str
    snapshot_digest: str
    rows: int
    seed: int
    hyperparameters: Mapping[str, Any]
    metrics: Mapping[str, float | None]
    seconds: float

    def title(self) -> str:
        """What it is."""
        return f"{self.model}, fitted"

    def facts(self) -> dict[str, Any]:
        """Snapshot, parameters, hold-out metrics."""
        return {
            "snapshot": self.snapshot_digest,
            "rows": self.rows,
            "seed": self.seed,
            "hyperparameters": ", ".join(f"{name}={value}" for name, value in self.hyperparameters.items()),
            "took": f"{self.seconds:.1f} s",
            **{f"{name} (hold-out)": value for name, value in self.metrics.items()},
        }


@dataclass(frozen=True, repr=False)
class Evaluation(Shown):
    """How good a fit is on the hold-out: the last intervals, scored by a fit on the earlier ones.

    Attributes
    ----------
    metrics : mapping
        See :func:`rescore.model.evaluate.metrics`.
    importance : mapping
        Permutation importance of each feature on the hold-out, in the loss's unit.
    folds : sequence of mapping
        The metrics of each fold of intervals.
    """

    model: str
    metrics: Mapping[str, float | None]
    importance: Mapping[str, float]
    folds: Sequence[Mapping[str, Any]]

    def title(self) -> str:
        """What it is."""
        return f"{self.model} on its hold-out"

    def facts(self) -> dict[str, Any]:
        """Each metric, with the range over the folds."""
        return {name: self._with_range(name, value) for name, value in self.metrics.items()}

    def table(self) -> tuple[str, Mapping[str, float]]:
        """The importances, greatest first."""
        ranked = sorted(self.importance.items(), key=lambda item: -item[1])
        return "permutation importance: what the metric loses when a feature is shuffled", dict(ranked)

    def frame(self) -> pd.DataFrame:
        """The importances as a table, greatest first."""
        import pandas as pd

        ranked = self.table()[1]
        return pd.DataFrame({"feature": [*ranked], "importance": [*ranked.values()]})

    def _with_range(self, name: str, value: float | None) -> str:
        values = [fold.get("metrics", {}).get(name) for fold in self.folds]
        known = [number for number in values if number is not None]
        spread = (
            f"  ({plain(min(known))} to {plain(max(known))} over {number_of(len(known), 'fold')})"
            if known
            else ""
        )
        return plain(value) + spread


@dataclass(frozen=True, repr=False)
class ModelPackage(Shown):
    """A package as registered: the wheel that ``train_<model>`` would have made.

    Attributes
    ----------
    version, sha256 : str
        Which it is; the digest is of the file's bytes.
    path : Path
        The wheel; ``pip install`` takes it.
    manifest : Manifest
        What it says about itself.
    """

    model: str
    version: str
    sha256: str
    path: Path
    manifest: Manifest

    def title(self) -> str:
        """What it is."""
        return f"{self.model} {self.version}"

    def facts(self) -> dict[str, Any]:
        """Digests, rows, metrics."""
        lineage, training = self.manifest.lineage, self.manifest.training
        return {
            "sha256": self.sha256,
            "snapshot": lineage.snapshot_digest,
            "window": lineage.window,
            "rows": training.rows,
            "features": len(self.manifest.features),
            **{f"{name} (hold-out)": value for name, value in self.manifest.metrics.items()},
            "wheel": self.path.name,
        }


@dataclass(frozen=True, repr=False)
class PublishedRun(Shown):
    """A past run: what it was given, and what consumers read of it.

    Attributes
    ----------
    inputs : DataFrame
        The frozen rows that were scored, without those set aside, in the order of ``scores``.
    scores : DataFrame
        Key, event time, score (and label), as they stand in the score table.
    """

    model: str
    run_id: str
    interval: Interval
    package_version: str | None
    score_digest: str | None
    inputs: pd.DataFrame
    scores: pd.DataFrame

    def title(self) -> str:
        """What it is."""
        return f"{self.model}, run of {self.interval}"

    def facts(self) -> dict[str, Any]:
        """Which run, how many rows."""
        return {
            "run": self.run_id,
            "package": self.package_version,
            "rows scored": len(self.scores),
            "score digest": self.score_digest,
        }


@dataclass(frozen=True)
class Compared:
    """A challenger beside its champion on the same frozen rows; the comparison is stored.

    Attributes
    ----------
    comparison_id : int or str
        Its id in the store.
    report : ComparisonReport or FirstReport
        All of it: metrics with intervals, calibration, segments, movement.
    markdown : str
        For people; a notebook shows it.
    """

    comparison_id: Any
    report: ComparisonReport | FirstReport
    markdown: str = field(repr=False)

    def _repr_markdown_(self) -> str:
        return self.markdown

    def save(self, path: Path) -> Path:
        """Write the comparison as a page with pictures that needs nothing else."""
        from rescore.report import comparison_html

        path.write_text(comparison_html(self.report), encoding="utf-8")
        return path


def _given(facts: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in facts.items() if value is not None and value != ""]


def _aligned(rows: Mapping[str, str]) -> list[str]:
    width = max(map(len, rows), default=0)
    return [f"  {name:<{width}}  {value}" for name, value in rows.items()]


def _bars(caption: str, numbers: Mapping[str, float]) -> str:
    """A table of numbers with bars; needs no script, so that a saved notebook still shows it."""
    longest = max((abs(value) for value in numbers.values()), default=0.0) or 1.0
    rows = "".join(
        f"<tr>{_cell(html.escape(name))}{_cell(f'{value:+.4f}', 'right')}"
        + _cell(
            f"<div style='height:.7em;width:{round(180 * abs(value) / longest)}px;"
            f"background:{'#4c78a8' if value >= 0 else '#bbbbbb'}'></div>"
        )
        + "</tr>"
        for name, value in numbers.items()
    )
    return f"<p style='margin:.8em 0 .2em;opacity:.7'>{html.escape(caption)}</p><table>{rows}</table>"


def _cell(content: str, align: str = "left", opacity: float = 1) -> str:
    style = f"padding:2px 12px 2px 0;text-align:{align};vertical-align:top;opacity:{opacity}"
    return f"<td style='{style}'>{content}</td>"
