"""Pictures of a model from what the store holds: no package, no row, no source is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from rescore.errors import NotFoundError, ParameterError

if TYPE_CHECKING:
    from rescore.store import RunReference, Store

__all__ = [
    "agreement",
    "calibration_of",
    "drift_heatmap_of",
    "extracted_rows_of",
    "feature_distribution_of",
    "model_pictures",
    "performance_of",
    "performance_rows",
    "score_distribution_of",
]

#: The metric drawn if none is named: the first that the model's documents have.
METRICS = ("auc", "accuracy", "rmse")

#: Names of metrics as people write them.
_WRITTEN = {"auc": "AUC", "rmse": "RMSE", "mae": "MAE", "brier": "Brier score", "log_loss": "log loss"}


def drift_heatmap_of(store: Store, model: str, last: int = 60) -> Any:
    """Features by time of the latest ``last`` intervals: see :func:`rescore.report.drift_heatmap`."""
    from rescore.report.drift_charts import drift_heatmap

    rows = store.history.drift(model, last)
    return drift_heatmap(rows, title=f"{model}: drift", timezone=_timezone(rows))


def feature_distribution_of(store: Store, model: str, feature: str, run: RunReference | None = None) -> Any:
    """One feature in training and in one window: see :func:`rescore.report.feature_distribution`.

    Parameters
    ----------
    store : Store
        The store.
    model : str
        The model.
    feature : str
        Its name, or ``score``.
    run : str or Run, optional
        Whose window; default is the latest interval's.

    Raises
    ------
    NotFoundError
        The run has no drift report.
    ParameterError
        The report keeps no bars of this feature.
    """
    from rescore.report.drift_charts import feature_distribution

    if run is None:
        series = store.history.drift(model, 1)
        run = str(series[-1]["run_id"]) if series else None
    report = store.reports.drift_of(run) if run is not None else None
    if run is None or report is None:
        raise NotFoundError(
            f"there is no drift report of {model}" if run is None else f"run {run} has no drift report",
            expected="a run that was scored and compared with training",
            fix=f"score an interval: rescore score {model}",
        )
    bars = report.get("bars", {}).get(feature)
    if bars is None:
        raise ParameterError(
            f"the drift report keeps no distribution of {feature!r}",
            where=f"{model}, run {run}",
            expected=", ".join(report.get("bars", {})) or "a report with distributions",
            fix="name one of these",
        )
    before, now = sum(bars["reference"]), sum(bars["live"])
    cells = [
        {"cell": name, "reference": reference / max(before, 1), "live": live / max(now, 1)}
        for name, reference, live in zip(bars["names"], bars["reference"], bars["live"], strict=True)
    ]
    said = next(one for one in report["features"] if one["name"] == feature)
    unit = "" if said["unit"] == "share of rows" else said["unit"]
    interval = store.runs.get(run).interval
    return feature_distribution(
        cells,
        name=feature,
        unit=unit,
        reference_rows=before,
        live_rows=now,
        stratum=report.get("stratum", "all"),
        title=f"{model}: {feature}, {interval.start:%Y-%m-%d %H:%M} to {interval.end:%Y-%m-%d %H:%M} UTC",
    )


def score_distribution_of(store: Store, model: str, last: int = 60) -> Any:
    """Quantiles of scores over time: see :func:`rescore.report.score_distribution`."""
    from rescore.report.run_charts import score_distribution

    rows = store.history.drift(model, last)
    return score_distribution(
        [{**row, **row["report"]["scores"]} for row in rows if row["report"].get("scores")],
        name=_score_name(store, model),
        meaning=_output(store, model, "meaning"),
        title=f"{model}: scores",
        timezone=_timezone(rows),
    )


def performance_of(
    store: Store, model: str, last: int = 60, *, by: str = "run", metric: str | None = None
) -> Any:
    """Realised against estimated performance: see :func:`rescore.report.realised_performance`.

    Parameters
    ----------
    store : Store
        The store.
    model : str
        The model.
    last : int
        So many runs or weeks, the latest.
    by : {'run', 'week'}
        A point per run, also those whose labels are not known yet, or per week.
    metric : str, optional
        Default: ``auc``, ``accuracy`` or ``rmse``, by the model's kind.
    """
    from rescore.report.performance_charts import realised_performance

    metric, rows = performance_rows(store, model, last, by=by, metric=metric)
    unit = _output(store, model, "unit") if metric in {"rmse", "mae", "bias"} else ""
    return realised_performance(
        rows,
        metric=_WRITTEN.get(metric, metric.replace("_", " ")),
        unit=unit,
        expected=_holdout(store, model, metric),
        title=f"{model}: performance by {by}",
        timezone=_timezone(store.history.drift(model, 1)),
    )


def performance_rows(
    store: Store, model: str, last: int | None = None, *, by: str = "run", metric: str | None = None
) -> tuple[str, list[dict[str, Any]]]:
    """A metric over time, as it came true and as it was expected.

    Returns
    -------
    tuple of str and list of dict
        The metric, and per run or week the interval, ``rows``, ``labelled``, ``coverage``, ``value``,
        ``low``, ``high``, ``estimated``, ``estimated_low``, ``estimated_high`` (of all scored rows) and
        ``within``: whether the realised value is where the labelled rows' scores let it be expected.
        Unknown ones are None.

    Raises
    ------
    ParameterError
        Neither ``run`` nor ``week``, or no document has the metric.
    """
    if by not in {"run", "week"}:
        raise ParameterError(f"by {by!r}", expected="run or week", fix="name one of the two")
    measured = (
        store.history.performance_by_run(model, last)
        if by == "run"
        else store.history.performance_by_week(model, last)
    )
    documents = [row["metrics"] for row in measured]
    known = {name for one in documents for name, value in one.items() if isinstance(value, float)}
    if metric is None:
        metric = next((name for name in METRICS if name in known), METRICS[0])
    elif known and metric not in known:
        raise ParameterError(
            f"{model} has no realised {metric}", expected=", ".join(sorted(known)), fix="name one of these"
        )
    rows = {_bounds(row): _performance_row(row, row["metrics"], metric) for row in measured}
    if by == "run":
        # Runs without labels yet: what their scores alone promise.
        for run in store.history.drift(model, last):
            promised = {"estimated": run["report"].get("estimated") or {}}
            if run["published"]:
                rows.setdefault(_bounds(run), _performance_row(run, promised, metric))
    return metric, [rows[key] for key in sorted(rows)][-last if last else 0 :]


def agreement(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """How often the estimate came true, of the rows of :func:`performance_rows`.

    Returns
    -------
    dict or None
        ``measured`` runs (or weeks) that have both, ``within`` of them where the realised value is in the
        estimate's 95 % band, and ``typical``, the median absolute difference. None if there is none.
    """
    both = [row for row in rows if row["within"] is not None and row["estimated"] is not None]
    if not both:
        return None
    gaps = [abs(row["value"] - row["estimated"]) for row in both]
    return {
        "measured": len(both),
        "within": sum(row["within"] for row in both),
        "typical": median(gaps),
    }


def _bounds(row: Mapping[str, Any]) -> tuple[str, str]:
    return str(row["interval_start"]), str(row["interval_end"])


def _performance_row(row: Mapping[str, Any], found: Mapping[str, Any], metric: str) -> dict[str, Any]:
    estimated = found.get("estimated") or {}
    return {
        **{name: row[name] for name in ("week", "runs", "run_id", "as_of") if name in row},
        "interval_start": row["interval_start"],
        "interval_end": row["interval_end"],
        **{name: found.get(name) for name in ("rows", "labelled", "coverage")},
        "value": found.get(metric),
        "low": found.get(f"{metric}_low"),
        "high": found.get(f"{metric}_high"),
        "estimated": estimated.get(metric),
        "estimated_low": estimated.get(f"{metric}_low"),
        "estimated_high": estimated.get(f"{metric}_high"),
        "within": (found.get("agreement") or {}).get(metric, {}).get("within"),
    }


def calibration_of(store: Store, model: str) -> Any:
    """Whether live probabilities come true, in the latest measured week (else run) with labels.

    See :func:`rescore.report.calibration`.
    """
    from rescore.report.performance_charts import calibration

    for rows, what in (
        (store.history.performance_by_week(model), "week"),
        (store.history.performance_by_run(model), "run"),
    ):
        for row in reversed(rows):
            found = row["metrics"]
            if found.get("calibration"):
                start = str(row["interval_start"])[:10]
                error, low, high = (found[f"calibration_error{end}"] for end in ("", "_low", "_high"))
                return calibration(
                    found["calibration"],
                    meaning=_output(store, model, "name") or "score",
                    title=f"{model}: calibration, {what} from {start}",
                    subtitle=f"expected calibration error {error:.3f} ({low:.3f} to {high:.3f})",
                )
    return calibration([], title=f"{model}: calibration")


def extracted_rows_of(store: Store, model: str, last: int = 60) -> Any:
    """What became of each interval's rows: see :func:`rescore.report.extracted_rows`."""
    from rescore.report.run_charts import extracted_rows

    rows = []
    for run in store.history.runs(model, last):
        if run["rows_extracted"] is None:
            continue
        aside = run["rows_quarantined"] + run["rows_rejected"]
        rows.append(
            {
                **run,
                "scored": run["rows_extracted"] - aside if run["rows_scored"] is None else run["rows_scored"],
                "quarantined": run["rows_quarantined"],
                "rejected": run["rows_rejected"],
            }
        )
    timezone = _timezone(store.history.drift(model, 1))
    return extracted_rows(rows, title=f"{model}: extracted rows", timezone=timezone)


def model_pictures(store: Store, model: str, last: int = 60) -> dict[str, Any]:
    """All pictures of a model, by name, in the order a page shows them.

    Returns
    -------
    dict
        ``drift``, ``scores``, ``performance`` (by run), ``performance_by_week``, ``calibration``
        (classifiers), ``rows``; and ``feature:NAME`` for four features of the latest window: what is
        broken or flagged, else the score and the most important ones. Altair charts:
        :func:`rescore.report.svg` makes text of them.
    """
    pictures = {
        "drift": drift_heatmap_of(store, model, last),
        "scores": score_distribution_of(store, model, last),
        "performance": performance_of(store, model, last),
        "performance_by_week": performance_of(store, model, last, by="week"),
        "rows": extracted_rows_of(store, model, last),
    }
    if any("calibration" in row["metrics"] for row in store.history.performance_by_run(model, last)):
        pictures["calibration"] = calibration_of(store, model)
    for series in store.history.drift(model, 1):
        run, report = str(series["run_id"]), series["report"]
        for name in _worth_a_look(report)[:4]:
            pictures[f"feature:{name}"] = feature_distribution_of(store, model, name, run)
    return pictures


def _worth_a_look(report: Mapping[str, Any]) -> list[str]:
    """Features with bars: broken ones first, flagged ones, the score, and then the most important."""
    rows = [one for one in report["features"] if one["name"] in report.get("bars", {})]
    rows.sort(
        key=lambda one: (
            not one["outage"],
            not one["flagged"],
            one["kind"] != "score",
            -(one["importance"] or 0),
        )
    )
    return [one["name"] for one in rows]


def _timezone(rows: Sequence[Mapping[str, Any]]) -> str:
    return str(rows[-1]["report"].get("timezone", "UTC")) if rows else "UTC"


def _manifest(store: Store, model: str) -> Mapping[str, Any]:
    pinned = store.pins.current(model)
    return {} if pinned is None else store.packages.find(model, pinned.sha256).manifest


def _output(store: Store, model: str, key: str) -> str:
    return str(_manifest(store, model).get("output", {}).get(key, ""))


def _score_name(store: Store, model: str) -> str:
    """The output's name, with its unit unless that is a probability's."""
    name, unit = _output(store, model, "name") or "score", _output(store, model, "unit")
    return f"{name} ({unit})" if unit not in {"", "probability", "share"} else name


def _holdout(store: Store, model: str, metric: str) -> float | None:
    value = _manifest(store, model).get("metrics", {}).get(metric)
    return None if value is None else float(value)
