"""Alarms that stand, over all models; those of one time that share a source table are one incident."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import Literal

from rescore import source
from rescore.drift import alarm_of
from rescore.errors import RescoreError
from rescore.evidence import Alarm
from rescore.performance import PerformanceReport
from rescore.pipeline.context import Context

__all__ = ["Incident", "StandingAlarm", "incidents_of", "standing_alarms"]

#: What an alarm names that is no column of a table.
_NO_COLUMNS = frozenset({"score", "number of rows"})


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
    ended : datetime or None
        When that window ended, aware; None: now.
    """

    model: str
    window: str
    alarm: Alarm
    tables: frozenset[str] = frozenset()
    of: Literal["drift", "performance"] = "drift"
    ended: datetime | None = None

    def shares(self, other: StandingAlarm) -> frozenset[str]:
        """Tables that both read, and columns that are unusual in both; empty if not of the same time.

        A name like ``age`` is a column of many tables: it tells something with a table alone.
        """
        tables = self.tables & other.tables
        if not tables or self._is_before(other) or other._is_before(self):
            return frozenset()
        return tables | {f"column {name}" for name in self._columns & other._columns}

    @property
    def _columns(self) -> frozenset[str]:
        return frozenset(self.alarm.features) - _NO_COLUMNS if self.of == "drift" else frozenset()

    def _is_before(self, other: StandingAlarm) -> bool:
        """Whether its last window ended before what the other one is about began."""
        if self.ended is None or other.alarm.since is None:
            return False
        return self.ended <= datetime.fromisoformat(other.alarm.since)


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
                window, ended = str(last.interval), last.interval.end
                found.append(StandingAlarm(name, window, alarm, _tables(ctx, name), ended=ended))
        for measured in ctx.store.history.performance_by_run(name, 1):
            latest = PerformanceReport.from_dict(measured.report).latest
            if latest is not None and latest.alarm is not None and latest.alarm.raised:
                window, ended = str(measured.interval), measured.interval.end
                tables = _tables(ctx, name)
                found.append(StandingAlarm(name, window, latest.alarm, tables, "performance", ended))
    return incidents_of(found)


def incidents_of(alarms: Iterable[StandingAlarm]) -> list[Incident]:
    """Group alarms of one time that share a table, directly or through others."""
    groups: list[list[StandingAlarm]] = []
    for alarm in alarms:
        joined = [group for group in groups if any(alarm.shares(other) for other in group)]
        groups = [group for group in groups if group not in joined]
        groups.append([*(one for group in joined for one in group), alarm])
    incidents = [Incident(tuple(sorted(group, key=_strength)), _shared(group)) for group in groups]
    return sorted(incidents, key=lambda one: _strength(one.alarms[0]))


def _strength(one: StandingAlarm) -> tuple[float, str]:
    return -(one.alarm.evidence or 0.0) / one.alarm.limit, one.model


def _shared(group: list[StandingAlarm]) -> tuple[str, ...]:
    return tuple(sorted({name for one, other in combinations(group, 2) for name in one.shares(other)}))


def _tables(ctx: Context, model: str) -> frozenset[str]:
    """Tables that ``extract.sql`` reads; none where the model has outlived its folder."""
    try:
        folder = ctx.model(model)
        names = source.tables_of(folder.extract_sql, where=str(folder.path / "extract.sql"))
    except RescoreError:
        return frozenset()
    return frozenset(f"{folder.spec.source.connection}.{name}" for name in names)
