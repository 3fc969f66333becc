"""What the made-up runs of a fleet record: manifests, validations, drift and performance, as real ones do."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from rescore.drift import DriftReport
from rescore.interval import Interval
from rescore.performance import PerformanceReport
from rescore.sha256 import bytes_sha256

_GOLDEN = Path(__file__).parents[1] / "golden" / "v1" / "parcel_delay-1.0.0-py3-none-any.whl"


__all__ = [
    "ALARM",
    "FEATURES",
    "comparison_report",
    "drift_report",
    "manifest_sha",
    "package_manifests",
    "performance_report",
    "validation_report",
]

#: Evidence that stands after a window.
ALARM = {
    "raised": True,
    "new": False,
    "evidence": 812.0,
    "limit": 365.0,
    "since": "2026-01-05T03:00:00+00:00",
    "windows": 60,
    "fastest": 4,
    "features": ["wind", "visibility"],
}

FEATURES = (
    *("distance", "stops", "weight", "volume", "carrier", "weekday", "hour", "wind", "temperature", "rain"),
    *("visibility", "humidity", "pressure", "depot_load", "depot_staff", "driver_years", "vehicle_age"),
    *("late_7d", "late_28d", "parcels_same_day", "holiday", "zone", "price", "discount", "promised_days"),
    *("customer_years", "returns"),
)


def manifest_sha(name: str, version: str) -> str:
    """The made-up digest of a made-up package."""
    return bytes_sha256(f"{name} {version}".encode())


def package_manifests(name: str) -> dict[str, dict[str, Any]]:
    with zipfile.ZipFile(_GOLDEN) as wheel:
        golden: dict[str, Any] = json.loads(wheel.read("parcel_delay/_data/manifest.json"))
    importance = np.sort(np.random.default_rng(3).dirichlet(np.full(len(FEATURES), 0.6)))[::-1]
    features = [{**golden["features"][0], "name": feature} for feature in FEATURES]
    first = golden | {
        "name": name,
        "version": "1.0.0",
        "features": features,
        "metrics": {"auc": 0.801, "base_rate": 0.183, "brier": 0.121, "log_loss": 0.392},
        "lineage": {
            "snapshot_digest": bytes_sha256(b"first"),
            "window": "2026-01-01T00:00:00Z/2026-07-01T00:00:00Z",
            "as_of": datetime.now(UTC).isoformat(),
        },
        "hyperparameters": {"learning_rate": 0.1, "max_depth": 6, "max_iter": 200},
        "evaluation": golden["evaluation"]
        | {"importance": dict(zip(FEATURES, importance.round(4).tolist(), strict=True))},
    }
    second = first | {
        "version": "1.0.1",
        "features": [*features[:-1]],
        "metrics": {"auc": 0.813, "base_rate": 0.181, "brier": 0.118, "log_loss": 0.384},
        "hyperparameters": {"learning_rate": 0.05, "max_depth": 6, "max_iter": 400},
        "lineage": {**first["lineage"], "snapshot_digest": bytes_sha256(b"second")},
    }
    return {"1.0.0": first, "1.0.1": second}


def validation_report(
    run_id: str, rows: int, quarantined: int, rejected: int, *, failed: bool
) -> dict[str, Any]:
    def result(column: str, message: str, **more: Any) -> dict[str, Any]:
        return {
            "type": "expect_column_values_to_be_between",
            "column": column,
            "severity": "warning",
            "success": True,
            "message": message,
            **more,
        }

    results = [
        result(feature, f"{feature} lies between 0 and 1,000", observed=None) for feature in FEATURES[:14]
    ]
    results[3] |= {
        "success": False,
        "unexpected_count": quarantined,
        "unexpected_fraction": quarantined / rows,
        "message": f"volume is not between 0 and 1,000 in {quarantined:,} rows",
    }
    report = {
        "format": 1,
        "rows": rows,
        "scored": rows - quarantined - rejected,
        "quarantined": quarantined,
        "rejected": rejected,
        "success": not failed,
        "summary": f"{rows:,} rows: {rows - quarantined - rejected:,} to score, {quarantined} quarantined, "
        f"{rejected} rejected; 13 of 14 expectations met (failed: 1 warning)",
        "results": results,
        "reasons": {
            "quarantined": {"volume is not between 0 and 1,000": quarantined},
            "rejected": {"carrier has no value": rejected},
        },
    }
    return {"run_id": run_id, "success": not failed, "report": report}


def drift_report(verdict: str, rows: int, index: int, rng: np.random.Generator) -> DriftReport:
    weights = np.sort(np.random.default_rng(3).dirichlet(np.full(len(FEATURES), 0.6)))[::-1]
    season = 0.5 + 0.5 * np.sin(2 * np.pi * index / 365)
    features, flagged_ones = [], []
    for number, feature in enumerate((*FEATURES, "score")):
        effect = float(rng.gamma(1.2, 0.012))
        if feature in {"temperature", "humidity"}:
            effect += 0.35 * season
        broken = verdict == "outage" and feature in {"wind", "visibility"}
        flagged = verdict in {"drifted", "consequential"} and feature in {"wind", "weight"}
        if flagged:
            effect += 0.3
            flagged_ones.append(feature)
        features.append(
            {
                "name": feature,
                "kind": "score" if feature == "score" else "numeric",
                "psi": effect + 0.01,
                "distance": 1.0,
                "unit": "km",
                "missing": 1.0 if broken else float(rng.uniform(0, 0.02)),
                "missing_reference_max": 0.05,
                "p_value": 0.004 if flagged else float(rng.uniform(0.05, 1)),
                "importance": 0.0 if feature == "score" else float(weights[number]),
                "effect": effect,
                "flagged": flagged,
                "outage": broken,
                "share_of_statistic": effect,
                "note": "missing in 100 % of rows; in training at most 5 %" if broken else "",
                "shift": float(np.sqrt(effect)),
            }
        )
    edges = [f"{low} – {low + 5}" for low in range(0, 50, 5)]
    shape = rng.integers(300, 1500, 10)
    sentence = {
        "ok": "this window is like training's: the most unusual feature is visibility (p = .21)",
        "drifted": "weight and wind moved beyond what training's windows show; the model hardly uses them",
        "consequential": "wind moved beyond what training's windows show; it has 18 % of the importance",
        "outage": "wind, visibility are missing in 100 % of rows; in training at most 5 %",
    }[verdict]
    quantiles = np.sort(rng.normal([0.05, 0.1, 0.17, 0.28, 0.55], 0.01))
    return DriftReport.from_dict(
        {
            "format": 2,
            "verdict": verdict,
            "sentence": sentence,
            "p_value": 0.3 if verdict == "ok" else 0.004,
            "method": "conformal",
            "rate": 0.05,
            "effect_floor": 0.02,
            "rows": rows,
            "reference_windows": 60,
            "reference_rows": [9_000, 11_000],
            "stratum": "all",
            "with_scores": True,
            "features": features,
            "estimated": {"auc": {"value": 0.8, "low": 0.775, "high": 0.825}},
            "notes": [],
            "timezone": "Europe/Berlin",
            "scores": {
                "rows": rows,
                "mean": 0.2,
                **dict(zip(("p05", "p25", "p50", "p75", "p95"), quantiles.tolist(), strict=True)),
            },
            "histograms": {
                name: {
                    "names": edges,
                    "reference": (shape * 60).tolist(),
                    "live": (shape * rng.uniform(0.6, 1.5, 10)).astype(int).tolist(),
                }
                for name in (*FEATURES, "score")
            },
        }
    )


def performance_report(rows: int, end: datetime, fate: str, rng: np.random.Generator) -> PerformanceReport:
    value = 0.8 + float(rng.normal(0, 0.008)) - (0.06 if fate == "worse" else 0)
    measure = {"value": value, "low": value - 0.02, "high": value + 0.02}
    metrics = {"auc": measure, "brier": {"value": 0.12, "low": 0.11, "high": 0.13}}
    estimated = {"auc": {"value": 0.8, "low": 0.775, "high": 0.825}}
    report = {
        "format": 2,
        "rows": rows,
        "labelled": int(rows * 0.98),
        "coverage": 0.98,
        "metrics": metrics,
        "estimated": estimated,
        "agreement": {
            "auc": {
                "realised": value,
                "estimated": 0.8,
                "low": 0.775,
                "high": 0.825,
                "within": 0.775 < value < 0.825,
            }
        },
    }
    local = end.date()
    monday = local - timedelta(days=local.weekday())
    interval = Interval(end - timedelta(days=1), end)
    return PerformanceReport.from_dict(
        report
        | {
            "week": {
                "week": monday.isoformat(),
                "runs": local.weekday() + 1,
                "metrics": report,
                "interval_start": (interval.end - timedelta(days=local.weekday() + 1)).isoformat(),
                "interval_end": interval.end.isoformat(),
            },
            "latest": {
                **measure,
                "metric": "auc",
                "rows": rows * 7,
                "until": end.isoformat(),
                "verdict": "worse" if fate == "worse" else "ok",
                "bound": 0.76,
                **({"alarm": {**ALARM, "features": ["auc"]}} if fate == "performance" else {}),
                "sentence": f"the auc of the last 7 days with labels is {value:.3f} "
                f"({value - 0.02:.3f} to {value + 0.02:.3f}), "
                + (
                    "beyond what the package's hold-out lets expect (.760)"
                    if fate == "worse"
                    else "within what the package's hold-out lets expect"
                ),
            },
        }
    )


def comparison_report(name: str, rng: np.random.Generator) -> dict[str, Any]:
    """A challenger that gains a little, as a comparison of eighty thousand rows of a month records it."""
    packages = {
        version: {
            "version": version,
            "sha256": manifest_sha(name, version),
            "snapshot_digest": bytes_sha256(version.encode()),
            "window": "2026-01-01T00:00:00Z/2026-07-01T00:00:00Z",
            "rows": 1_800_000,
            "code_revision": "5b1f0f7c9a4e",
            "fit": fit,
            "reproduced": {"metrics": {"auc": 0.801}, "rows": 81_204, "ulps": 0.0, "libraries": []},
        }
        for version, fit in (("1.0.0", "final"), ("1.0.1", "evaluation"))
    }
    rise = np.linspace(0.03, 0.55, 10)
    counts = rng.multinomial(190_000, _moved(20).ravel()).reshape(20, 20)
    return {
        "format": 1,
        "model": name,
        "kind": "binary",
        "target": {"kind": "binary", "labels": ["false", "true"], "name": "late"},
        "output": {"name": "probability", "unit": "probability", "meaning": "that the parcel is late"},
        "timezone": "Europe/Berlin",
        "promotion": {"smallest_gain": 0.0, "largest_segment_loss": 0.05},
        "champion": packages["1.0.0"],
        "challenger": packages["1.0.1"],
        "holdout": {
            "snapshot_digest": bytes_sha256(b"holdout"),
            "as_of": "2026-08-03T00:00:00+00:00",
            "start": "2026-07-01T02:00:00+00:00",
            "end": "2026-07-31T02:00:00+00:00",
            "origin": "the challenger's hold-out",
            "rows": 81_204,
        },
        "metric": "auc",
        "better": "higher",
        "metrics": {
            "auc": _gain(0.801, 0.012, 0.006),
            "brier": _gain(0.121, 0.002, 0.003, "lower"),
            "log_loss": _gain(0.392, 0.005, 0.006, "lower"),
        },
        "blocks": [
            {
                "block": f"2026-07-{day:02}",
                "rows": 2700,
                "champion": 0.8,
                "challenger": 0.8 + gain,
                "gain": gain,
            }
            for day, gain in enumerate(rng.normal(0.01, 0.015, 30).round(4).tolist(), 1)
        ],
        "calibration": {
            side: {
                "bins": [
                    {
                        "rows": 8120,
                        "predicted": p,
                        "observed": p + off,
                        "low": p + off - 0.01,
                        "high": p + off + 0.01,
                    }
                    for p, off in zip(rise.tolist(), rng.normal(0, spread, 10).tolist(), strict=True)
                ],
                "error": spread,
            }
            for side, spread in (("champion", 0.02), ("challenger", 0.01))
        },
        "segments": {
            "carrier": [
                _gain(0.8, float(rng.normal(0.012, 0.008)), 0.009)
                | {"value": value, "rows": rows, "judged": rows > 1000}
                for value, rows in (("north", 40_120), ("post", 31_022), ("bike", 9_200), ("others", 862))
            ]
        },
        "bootstrap": {"resamples": 4000, "seed": 1, "confidence": 0.95, "blocks": 30, "block": "day"},
        "movement": {
            "rows": int(counts.sum()),
            "runs": 19,
            **{"p05": -0.03, "p25": -0.01, "p50": 0.0, "p75": 0.01, "p95": 0.04, "mean": 0.001},
            **{"mean_absolute": 0.013, "largest": 0.31, "rank_correlation": 0.97},
            **{"label_changed": 0.004, "top_tenth_kept": 0.91},
            "edges": np.linspace(0, 1, 21).round(2).tolist(),
            "cells": [[int(x), int(y), int(counts[x, y])] for x, y in np.argwhere(counts)],
            "left_out": [],
        },
        "rule": {"passes": True, "reasons": ["auc gains +0.0120 (+0.0060 to +0.0180), and no segment loses"]},
    }


def _gain(champion: float, gain: float, half: float, better: str = "higher") -> dict[str, Any]:
    """A gain above 0 is an improvement, whichever way the metric points."""
    challenger = champion + (gain if better == "higher" else -gain)
    both = {"champion": champion, "challenger": challenger, "gain": gain, "better": better}
    return both | {"low": gain - half, "high": gain + half}


def _moved(size: int) -> np.ndarray:
    """How likely a live row has these two scores: near the diagonal, more of them low."""
    x, y = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    weight = np.exp(-((y - x - 0.3) ** 2) / 1.6 - x / 4)
    return np.asarray(weight / weight.sum())
