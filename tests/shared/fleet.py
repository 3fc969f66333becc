"""A store with many models and many runs, written into its tables at once: for what shows them.

No row is scored: what a run records is made up, of the shape and the size that real runs record it in.
Tests, ``bench/page.py`` and ``scripts/console_pictures.py`` fill their store with it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import insert, text

from rescore.interval import Schedule
from rescore.sha256 import bytes_sha256
from rescore.store import Store
from rescore.store.schema import tables  # what fills the store's tables has to know them
from tests.shared.fleet_reports import (
    ALARM,
    FEATURES,
    comparison_report,
    drift_report,
    manifest_sha,
    package_manifests,
    performance_report,
    validation_report,
)

__all__ = ["FEATURES", "Fleet", "model_folder"]


_NAMES = (
    *("parcel_delay", "loan_default", "churn_retail", "churn_business", "house_price", "flight_delay"),
    *("fraud_card", "fraud_transfer", "claim_size", "claim_fraud", "energy_demand", "solar_output"),
    *("staff_demand", "stock_out", "price_elasticity", "basket_size", "coupon_use", "email_click"),
    *("lead_score", "call_volume", "ticket_topic", "machine_failure", "pump_wear", "route_time"),
    *("seat_load", "no_show", "late_payment", "credit_limit", "recovery_rate", "fuel_use", "tyre_wear"),
    *("water_demand", "heat_loss", "crop_yield", "bed_days", "readmission", "drug_demand", "visit_length"),
    *("donor_gift", "course_dropout"),
)


_SCHEDULE = Schedule("0 4 * * *", "Europe/Berlin")


_OWNERS = ("logistics", "risk", "marketing", "pricing", "operations")


_YAML = """\
name: {name}
version: "1.0"
owner: {owner}
description: {description}
source:
  connection: bank
  key: [parcel]
  event_time: asked_at
  known_by: {{column: recorded_at}}
features:
{features}
target: {{name: late, kind: binary, delay: 48h}}
output: {{name: probability, unit: probability, meaning: probability that the parcel is late}}
schedule: {{cron: "{cron}", timezone: {timezone}, start: 2020-01-01, publish_within: 1h}}
training: {{intervals: 30, seed: 1}}
drift: {{effect_floor: 0.02, on_drift: hold, acts_on: consequential}}
"""


def model_folder(
    models: Path, name: str, *, owner: str = "logistics", timezone: str = "Europe/Berlin"
) -> None:
    """Write a model folder of the declaration that every model of a fleet has."""
    folder = models / name
    folder.mkdir(parents=True)
    features = "\n".join(f"  - {{name: {feature}, kind: numeric}}" for feature in FEATURES)
    described = f"Whether {name.replace('_', ' ')} matters today"
    declared = _YAML.format(
        name=name, owner=owner, timezone=timezone, features=features, description=described, cron="0 4 * * *"
    )
    (folder / "model.yaml").write_text(declared)
    for query in ("extract.sql", "labels.sql"):
        (folder / query).write_text("SELECT 1 WHERE :interval_start < :interval_end AND :as_of IS NOT NULL\n")
    for module in ("pipeline.py", "expectations.py"):
        (folder / module).write_text('"""Never run."""\n')


@dataclass
class Fleet:
    """Models of one store, each with daily runs up to today.

    Parameters
    ----------
    store : Store
        Migrated; its user has to be a superuser, as the tables' triggers are passed over.
    models : Path
        Where the model folders are written.
    now : datetime
        The last run of a model ended at or before it.
    """

    store: Store
    models: Path
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    seed: int = 1

    def fill(self, count: int, days: int) -> list[str]:
        """``count`` models with ``days`` runs each; the first ones have something to worry about.

        Two are late, one has an outage, three are held, one failed, one has no package, two drifted, one
        performs worse, two have an alarm of drift, two of performance, one gets no labels; the rest are ok.
        """
        names = list(_NAMES[:count])
        for number, name in enumerate(names):
            model_folder(self.models, name, owner=_OWNERS[number % len(_OWNERS)])
            self.model(name, days, _FATES.get(number, "ok"), seed=self.seed + number)
        return names

    def model(self, name: str, days: int, fate: str = "ok", *, seed: int = 1) -> None:
        """One model's packages, pins and runs."""
        rng = np.random.default_rng(seed)
        manifests = package_manifests(name)
        ends = [one.end for one in _SCHEDULE.last_intervals(self.now, days)]
        last = ends[-1]
        due, coming = [*ends], [last + timedelta(days=day) for day in range(1, 40)]
        packages = [
            {
                "model": name,
                "version": version,
                "sha256": manifest_sha(name, version),
                "manifest": manifest,
                "uri": f"file:///archive/{name}-{version}.whl",
                "created_at": last - timedelta(days=days - 2 + 20 * -number),
            }
            for number, (version, manifest) in enumerate(manifests.items())
        ]
        pins = [
            {
                "model": name,
                "version": one["version"],
                "sha256": one["sha256"],
                "who": ("ada", "grace")[number % 2],
                "why": "first package" if number == 0 else "betters auc by .012 on the same hold-out rows",
                "evidence": {"metrics": one["manifest"]["metrics"]},
                "pinned_at": one["created_at"] + timedelta(hours=3),
            }
            for number, one in enumerate(packages)
        ]
        if fate == "unpinned":
            pins, ends = [], []
        if fate == "late":
            ends = ends[:-2]
        if len(ends) > 12:
            del ends[-11]  # a gap
        runs = [self._run(name, end, index, len(ends), fate, packages, rng) for index, end in enumerate(ends)]
        if len(runs) > 6 and fate != "labels":
            runs.append(self._run(name, ends[-5], 0, len(ends), "again", packages, rng, fence=2))
        self._insert(
            {
                tables.model: [
                    {
                        "name": name,
                        "key_columns": [["parcel", "bigint"]],
                        "event_time": "asked_at",
                        "labelled": True,
                        "probabilities": [],
                        "views_format": 2,
                    }
                ],
                tables.package: packages,
                tables.pin: pins,
                tables.comparison: [
                    {
                        "model": name,
                        "champion_sha256": packages[0]["sha256"],
                        "challenger_sha256": packages[1]["sha256"],
                        "snapshot_digest": bytes_sha256(b"holdout"),
                        "report": comparison_report(name, rng),
                        "at": packages[1]["created_at"] + timedelta(hours=1),
                    }
                ],
                tables.run: [one["run"] for one in runs],
                tables.timetable: [
                    {"model": name, "schedule": "daily", "known_until": coming[-1], "ends": False}
                ],
                tables.due: [
                    {
                        "model": name,
                        "interval_start": end - timedelta(days=1),
                        "interval_end": end,
                        "due_at": end + timedelta(hours=1),
                    }
                    for end in [*due, *coming]
                ],
                tables.claim: [
                    {name: value for name, value in one["run"].items() if name in _CLAIMED}
                    for one in _last_attempts(runs)
                ],
                tables.run_state: [state for one in runs for state in one["states"]],
                tables.validation: [one["validation"] for one in runs if one["validation"]],
                tables.drift: [one["drift"] for one in runs if one["drift"]],
                tables.publication: [one["publication"] for one in runs if one["publication"]],
                tables.performance: [one["performance"] for one in runs if one["performance"]],
            }
        )
        with self.store.database.transaction() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            for statement in _DERIVED:
                connection.execute(text(statement), {"model": name})

    def _run(
        self,
        name: str,
        end: datetime,
        index: int,
        of: int,
        fate: str,
        packages: Sequence[Mapping[str, Any]],
        rng: np.random.Generator,
        fence: int = 1,
    ) -> dict[str, Any]:
        newest = index == of - 1
        verdict = str(rng.choice(["ok", "drifted", "consequential"], p=[0.93, 0.05, 0.02]))
        verdict = (
            {"outage": "outage", "held": "consequential", "drifted": "drifted", "alarm": "drifted"}.get(
                fate, "ok"
            )
            if newest
            else verdict
        )
        ends_as = fate if newest and fate in {"outage", "held", "failed"} else "published"
        run_id, claimed = str(uuid.UUID(bytes=rng.bytes(16))), end + timedelta(minutes=1, days=fence - 1)
        rows = int(rng.integers(9_000, 11_000))
        quarantined, rejected = int(rng.integers(0, 40)), int(rng.integers(0, 12))
        package = packages[0] if index < of // 2 else packages[-1]
        state = {"outage": "stopped", "held": "checked", "failed": "failed"}.get(ends_as, "published")
        report = drift_report(verdict, rows, index, rng)
        passed = ["claimed", "extracted", "validated", "scored", "checked"]
        if ends_as == "failed":
            passed = passed[:2]
        error = {
            "outage": {"type": "OutageError", "message": "wind is missing in 100 % of rows", "data": {}},
            "held": {"type": "HeldError", "message": report.sentence, "data": {}},
            "failed": {
                "type": "ValidationError",
                "message": "612 rows of 10,012 would be set aside (6.1 %), at most 5 % are allowed",
                "data": {},
            },
        }.get(ends_as)
        states = [*passed, *([state] if state not in passed else [])]
        interval = {"interval_start": end - timedelta(days=1), "interval_end": end}
        return {
            "run": {
                "run_id": run_id,
                "model": name,
                **interval,
                "as_of": end,
                "fence": fence,
                "state": state,
                "claimed_at": claimed,
                "input_digest": bytes_sha256(run_id.encode()),
                "input_uri": f"file:///archive/inputs/{name}/{end:%Y-%m-%d}.parquet",
                "query_sha256": bytes_sha256(b"query"),
                "rows_extracted": rows,
                "rows_scored": None if ends_as == "failed" else rows - quarantined - rejected,
                "rows_quarantined": quarantined,
                "rows_rejected": rejected,
                "package_version": None if ends_as == "failed" else package["version"],
                "package_sha256": None if ends_as == "failed" else package["sha256"],
                "score_digest": None
                if ends_as == "failed"
                else {"root": bytes_sha256(b"s" + run_id.encode())},
                "code_revision": "5b1f0f7c9a4e",
                "environment": package["manifest"]["environment"],
                "airflow": {
                    "dag_id": f"score_{name}",
                    "run_id": f"scheduled__{end - timedelta(days=1):%Y-%m-%dT%H:%M:%S}+00:00",
                    "task_id": "extract",
                    "try_number": 1,
                },
                "error": error,
            },
            "states": [
                {
                    "run_id": run_id,
                    "position": position,
                    "state": entered,
                    "at": claimed + timedelta(seconds=40 * position),
                }
                for position, entered in enumerate(states)
            ],
            "validation": validation_report(run_id, rows, quarantined, rejected, failed=ends_as == "failed"),
            "drift": None
            if ends_as == "failed"
            else {
                "run_id": run_id,
                "verdict": verdict,
                "sentence": report.sentence,
                "report": report.to_dict() | ({"alarm": ALARM} if newest and fate == "alarm" else {}),
            },
            "publication": None
            if ends_as != "published"
            else {
                "run_id": run_id,
                "model": name,
                **interval,
                "fence": fence,
                "published_at": claimed + timedelta(minutes=4),
                "reason": None,
                "released_by": None,
            },
            "performance": None
            if ends_as != "published" or of - index < (9 if fate == "labels" else 3)
            else {
                "run_id": run_id,
                "as_of": end + timedelta(days=2),
                "label_coverage": 0.98,
                "metrics": performance_report(rows, end, fate, rng).to_dict(),
            },
        }

    def _insert(self, rows: Mapping[Any, Iterable[Mapping[str, Any]]]) -> None:
        with self.store.database.transaction() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            for table, values in rows.items():
                if listed := list(values):
                    connection.execute(insert(table), listed)


#: What triggers derive from publications and performance.
_DERIVED = (
    """
    INSERT INTO rescore.current_publication (run_id, sequence, model, interval_start, interval_end,
      published_at, package_version, verdict, reason, released_by, keys_known)
    SELECT p.run_id, p.sequence, p.model, p.interval_start, p.interval_end, p.published_at, r.package_version,
      d.verdict, p.reason, p.released_by, true
    FROM rescore.publication_current p JOIN rescore.run r ON r.run_id = p.run_id
    LEFT JOIN rescore.drift d ON d.run_id = p.run_id WHERE p.model = :model
    """,
    """
    UPDATE rescore.due u SET published = true WHERE model = :model AND EXISTS (
      SELECT FROM rescore.publication p WHERE p.model = u.model
        AND p.interval_start = u.interval_start AND p.interval_end = u.interval_end)
    """,
    """
    INSERT INTO rescore.measured_interval
    SELECT DISTINCT r.model, r.interval_start, r.interval_end
    FROM rescore.performance f JOIN rescore.run r ON r.run_id = f.run_id WHERE r.model = :model
    """,
)
_CLAIMED = ("model", "interval_start", "interval_end", "fence", "run_id")


def _last_attempts(runs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The last run of each interval, which has its claim."""
    return list({one["run"]["interval_end"]: one for one in runs}.values())


#: What becomes of the newest run, by the model's number.
_FATES = {
    **dict.fromkeys((3, 11), "late"),
    7: "outage",
    **dict.fromkeys((5, 14, 22), "held"),
    18: "failed",
    25: "unpinned",
    **dict.fromkeys((9, 30), "drifted"),
    16: "worse",
    **dict.fromkeys((1, 20), "alarm"),
    **dict.fromkeys((2, 12), "performance"),
    4: "labels",
}
