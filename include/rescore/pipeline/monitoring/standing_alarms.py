"""Alarms that stand, over all models; those that share a source table or a column are one incident."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from rescore.drift import alarm_of
from rescore.errors import RescoreError
from rescore.evidence import Alarm
from rescore.performance import PerformanceReport
from rescore.pipeline.context import Context

__all__ = ["Incident", "StandingAlarm", "incidents_of", "standing_alarms"]

_TABLE = re.compile(r"\b(?:from|join)\s+(?:only\s+)?([a-z_][\w$]*(?:\.[a-z_][\w$]*)?)", re.IGNORECASE)


@dataclass(frozen=True)
class StandingAlarm:
    """A model's alarm after its last window.

    Attributes
    ----------
    model : str
    window : str
        The interval of that window, as people write it.
    alarm : Alarm
    of : str
        What is unusual: the model's features (``drift``), or how well it does (``performance``).
    tables : frozenset of str
        What its extract reads, with the connection: ``shop.public.orders``.
    """

    model: str
    window: str
    alarm: Alarm
    tables: frozenset[str] = frozenset()
    of: Literal["drift", "performance"] = "drift"

    @property
    def touches(self) -> frozenset[str]:
        """Tables, and the columns that are unusual."""
        columns = self.alarm.features if self.of == "drift" else ()
        return self.tables | frozenset(f"column {name}" for name in columns)


@dataclass(frozen=True)
class Incident:
    """Alarms that probably have one cause; ``shared`` is what at least two of them have in common."""

    alarms: tuple[StandingAlarm, ...]
    shared: tuple[str, ...]


def standing_alarms(ctx: Context) -> list[Incident]:
    """The alarms that stand after each model's last window, grouped; the strongest evidence first."""
    found = []
    for name in sorted(set(ctx.store.models.names()) - ctx.store.retirements.current().keys()):
        for last in ctx.store.history.drift(name, 1):
            alarm = alarm_of(last.report)
            if alarm is not None and alarm.raised:
                found.append(StandingAlarm(name, str(last.interval), alarm, _tables(ctx, name)))
        for measured in ctx.store.history.performance_by_run(name, 1):
            latest = PerformanceReport.from_dict(measured.report).latest
            if latest is not None and latest.alarm is not None and latest.alarm.raised:
                window, tables = str(measured.interval), _tables(ctx, name)
                found.append(StandingAlarm(name, window, latest.alarm, tables, "performance"))
    return incidents_of(found)


def incidents_of(alarms: Iterable[StandingAlarm]) -> list[Incident]:
    """Group alarms that share anything, directly or through others."""
    groups: list[list[StandingAlarm]] = []
    for alarm in alarms:
        joined = [group for group in groups if any(alarm.touches & other.touches for other in group)]
        groups = [group for group in groups if group not in joined]
        groups.append([*(one for group in joined for one in group), alarm])
    incidents = [Incident(tuple(sorted(group, key=_strength)), _shared(group)) for group in groups]
    return sorted(incidents, key=lambda one: _strength(one.alarms[0]))


def _strength(one: StandingAlarm) -> tuple[float, str]:
    return -(one.alarm.evidence or 0.0) / one.alarm.limit, one.model


def _shared(group: list[StandingAlarm]) -> tuple[str, ...]:
    every = [name for one in group for name in one.touches]
    return tuple(sorted({name for name in every if every.count(name) > 1}))


def _tables(ctx: Context, model: str) -> frozenset[str]:
    """Tables that ``extract.sql`` names; none where the model has outlived its folder."""
    try:
        folder = ctx.model(model)
        text = folder.source_files()["extract.sql"].decode()
    except (RescoreError, KeyError, UnicodeDecodeError):
        return frozenset()
    return frozenset(f"{folder.spec.source.connection}.{name.lower()}" for name in _TABLE.findall(text))
