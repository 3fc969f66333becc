"""What the page shows of one model, as text that a template needs no further thought for."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from rescore.errors import RescoreError
from rescore.report import RunLine, age, latest_performance_of, run_lines, span

if TYPE_CHECKING:
    from rescore.performance import LatestPerformance
    from rescore.pipeline import Context
    from rescore.spec import ModelSpec

__all__ = ["ComparisonLine", "ModelOverview", "Picture", "model_overview", "model_pictures"]


@dataclass(frozen=True)
class PinLine:
    """The pin that scores now."""

    version: str
    sha256: str
    who: str
    why: str
    since: str


@dataclass(frozen=True)
class ComparisonLine:
    """One comparison of a challenger with a champion."""

    comparison_id: int
    champion: str
    challenger: str
    at: str


@dataclass(frozen=True)
class Picture:
    """One chart: its name, and an SVG file as a ``data:`` address."""

    name: str
    address: str


@dataclass(frozen=True)
class ModelOverview:
    """One model.

    Attributes
    ----------
    name, dag_id, description, output, timezone : str
        What it is; ``timezone`` is that of every moment shown.
    pin : PinLine or None
        None while no package is pinned.
    scores_until, published : str or None
        End of the latest published interval, and how long ago that was published.
    history : str or None
        What has to be said of a source that can't show its past.
    performance : LatestPerformance or None
        How the last days with labels came true, with its verdict.
    missing : str or None
        The latest interval that was due, if it is not published.
    runs : list of RunLine
        The last runs, newest first.
    comparisons : list of ComparisonLine
        The last comparisons, newest first.
    problem : str
        Why the model can't be read, else empty.
    """

    name: str
    dag_id: str
    description: str = ""
    output: str = ""
    timezone: str = "UTC"
    pin: PinLine | None = None
    scores_until: str | None = None
    published: str | None = None
    history: str | None = None
    performance: LatestPerformance | None = None
    missing: str | None = None
    runs: tuple[RunLine, ...] = ()
    comparisons: tuple[ComparisonLine, ...] = ()
    problem: str = ""


def model_overview(ctx: Context, model: str, limit: int, *, now: datetime) -> ModelOverview:
    """Read one model's pin, freshness and its last ``limit`` runs.

    A model whose folder is wrong is shown with what is wrong; a store that does not answer raises.

    Raises
    ------
    StoreError
        The store is down or not migrated.
    """
    from rescore.pipeline import history

    dag_id = f"score_{model}"
    try:
        spec = ctx.model(model).spec
    except RescoreError as error:
        return ModelOverview(model, dag_id, problem=str(error))
    timezone = spec.schedule.timezone
    latest = next(iter(ctx.store.runs.published(model, last=1)), None)
    pin = ctx.store.pins.current(model)
    measured = latest_performance_of(ctx.store, model)
    return ModelOverview(
        name=model,
        dag_id=dag_id,
        description=spec.description,
        output=f"{spec.output.meaning} ({spec.output.unit})",
        timezone=timezone,
        pin=None
        if pin is None
        else PinLine(pin.version, pin.sha256, pin.who, pin.why, age(now - pin.pinned_at)),
        performance=None if measured is None else measured.latest,
        scores_until=None if latest is None else span(latest.interval, timezone).partition(" to ")[2],
        published=None
        if latest is None or latest.publication is None
        else age(now - latest.publication.published_at),
        history=history(ctx, model, last=0),  # a page that is only looked at leaves the source alone
        missing=_missing(ctx, spec, now),
        runs=tuple(run_lines(ctx.store, model, limit, timezone=timezone, now=now)),
        comparisons=tuple(
            ComparisonLine(
                row.comparison_id,
                str(row.report["champion"]["version"]),
                str(row.report["challenger"]["version"]),
                age(now - row.recorded_at),
            )
            for row in ctx.store.comparisons.of_model(model)[:limit]
        ),
    )


def model_pictures(ctx: Context, model: str) -> list[Picture]:
    """The model's charts, drawn from the store alone; images of their own, so that no two share ids."""
    from rescore.report import model_pictures as draw
    from rescore.report import svg

    return [
        Picture(name, f"data:image/svg+xml;base64,{b64encode(svg(chart).encode()).decode()}")
        for name, chart in draw(ctx.store, model).items()
    ]


def _missing(ctx: Context, spec: ModelSpec, now: datetime) -> str | None:
    """The latest interval that is due, if it is not published."""
    schedule = spec.schedule.schedule()
    for due in schedule.last_intervals(min(now, schedule.end or now), 1):
        if not ctx.store.runs.published(spec.name, due):
            return span(due, spec.schedule.timezone)
    return None
