"""Reports of comparisons, as long as a test needs them to be."""

from __future__ import annotations

from typing import Any

from rescore.comparison import ComparisonReport

PACKAGE = {
    "sha256": "a" * 64,
    "snapshot_digest": "b" * 64,
    "window": "2024-01-01T00:00:00Z/2024-01-21T00:00:00Z",
    "rows": 1000,
    "reproduced": {
        "metrics": dict.fromkeys(("auc", "log_loss", "brier", "base_rate"), 0.5),
        "rows": 576,
        "ulps": 0.0,
        "libraries": [],
    },
}
#: As the first release stored it.
STORED: dict[str, Any] = {
    "format": 1,
    "model": "surge",
    "kind": "binary",
    "target": {"kind": "binary", "labels": ["false", "true"], "name": "high"},
    "output": {"name": "score", "unit": "probability", "meaning": "that the water stands above the mark"},
    "timezone": "UTC",
    "promotion": {
        "metric": None,
        "smallest_gain": 0.0,
        "largest_segment_loss": 0.05,
        "approval": "required",
        "signature": "optional",
    },
    "champion": {**PACKAGE, "version": "1.0.0", "code_revision": "unknown", "fit": "final"},
    "challenger": {**PACKAGE, "version": "1.0.1", "code_revision": "0" * 40, "fit": "evaluation"},
    "holdout": {
        "snapshot_digest": "b" * 64,
        "as_of": "2024-02-08T00:00:00+00:00",
        "start": "2024-01-31T00:00:00+00:00",
        "end": "2024-02-08T00:00:00+00:00",
        "origin": "the challenger's hold-out",
        "rows": 576,
    },
    "metric": "auc",
    "better": "higher",
    "metrics": {
        name: {"champion": 0.7, "challenger": 0.8, "gain": 0.1, "low": 0.05, "high": 0.2, "better": better}
        for name, better in (("auc", "higher"), ("log_loss", "lower"), ("brier", "lower"))
    },
    "blocks": [{"block": "2024-01-31", "rows": 72, "champion": 0.7, "challenger": None, "gain": None}],
    "calibration": {
        side: {
            "bins": [{"rows": 58, "predicted": 0.1, "observed": 0.2, "low": 0.0, "high": 0.3}],
            "error": 0.1,
        }
        for side in ("champion", "challenger")
    },
    "segments": {
        "gauge": [
            {
                "value": "pier",
                "rows": 192,
                "champion": 0.7,
                "challenger": 0.8,
                "gain": 0.1,
                "low": 0.05,
                "high": 0.2,
                "judged": True,
            }
        ]
    },
    "bootstrap": {"resamples": 4000, "seed": 20130401, "confidence": 0.95, "blocks": 8, "block": "day"},
    "movement": {
        "rows": 144,
        "p05": -0.1,
        "p25": 0.0,
        "p50": 0.0,
        "p75": 0.0,
        "p95": 0.1,
        "mean": 0.0,
        "mean_absolute": 0.01,
        "largest": 0.2,
        "rank_correlation": None,
        "label_changed": 0.1,
        "top_tenth_kept": 1.0,
        "edges": [0.0, 0.5, 1.0],
        "cells": [[0, 1, 144]],
        "runs": 2,
        "left_out": [],
    },
    "rule": {"passes": False, "reasons": ["its code revision is unknown"]},
}


def report_of(
    *, metric: str = "auc", main: dict[str, Any] | None = None, blocks: int = 8, **changed: Any
) -> ComparisonReport:
    """A report of committed code that gains and loses in no segment, unless the test says otherwise."""
    gain = {"better": "higher", **(main or STORED["metrics"]["auc"])}
    report = {
        **STORED,
        "metric": metric,
        "metrics": {metric: gain},
        "bootstrap": {**STORED["bootstrap"], "blocks": blocks},
    }
    return ComparisonReport.from_dict({**report, **changed})
