"""How every model stands, one value a model: what the page's first screen and ``rescore models`` show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args
from zoneinfo import ZoneInfo

from rescore.errors import RescoreError
from rescore.evidence import Alarm
from rescore.performance import LatestPerformance
from rescore.report.days import Day, DayState, day_state, days_of
from rescore.spec import ModelSpec

if TYPE_CHECKING:
    from rescore.store import LastPublished, Pin, SilentLabels, Store

__all__ = ["STRIP_DAYS", "Concern", "ModelState", "concerns_said", "read_model_states"]

#: Days of verdicts beside each model.
STRIP_DAYS = 30

#: What may need a person, the most urgent first.
Concern = Literal[
    "broken",
    "outage",
    "failed",
    "held",
    "late",
    "approval",
    "unpinned",
    "performance",
    "worse",
    "unjudged",
    "labels",
    "alarm",
    "consequential",
    "drifted",
]
_URGENT_FIRST: tuple[Concern, ...] = get_args(Concern)

#: How a count of models is said: of one, of several.
_SAID: dict[Concern, tuple[str, str]] = {
    "broken": ("can't be read", "can't be read"),
    "outage": ("outage", "outages"),
    "failed": ("failed", "failed"),
    "held": ("held", "held"),
    "late": ("late", "late"),
    "approval": ("approval waits", "approvals wait"),
    "unpinned": ("without a package", "without a package"),
    "performance": ("performance alarm", "performance alarms"),
    "worse": ("performs worse", "perform worse"),
    "unjudged": ("with unknown labels", "with unknown labels"),
    "labels": ("without new labels", "without new labels"),
    "alarm": ("drift alarm", "drift alarms"),
    "consequential": ("consequential drift", "consequential drifts"),
    "drifted": ("drifted", "drifted"),
}


@dataclass(frozen=True)
class ModelState:
    """One model as it stands now.

    Attributes
    ----------
    name, owner, description, timezone : str
        As declared; ``timezone`` is the model's clock.
    latest : str or None
        What became of the latest interval.
    last_published : LastPublished or None
        Its latest published interval.
    due_at : datetime or None
        By when the next scores that are missing are due; None if none are, or where the store does not know
        the timetable yet.
    late : bool
        Whether that has passed.
    usable : bool
        Whether consumers may use the scores, as ``scores.status`` tells them.
    why : str
        Why, or why not.
    pin : Pin or None
        The package that scores.
    held : int
        Runs that wait for a person.
    approvals : int
        What waits for an answer in Airflow.
    verdict, sentence : str
        Of the latest interval that was looked at.
    performance : LatestPerformance or None
        How the last days with labels came true, and the evidence of all measured windows.
    alarm : Alarm or None
        The evidence of all windows that the features differ from training's.
    silence : SilentLabels or None
        The runs without labels, if labels have stopped.
    days : tuple of Day
        The last days, oldest first.
    problem : str
        Why the model can't be read, else empty.
    retired : bool
        Whether it scores no more; nothing concerns it then.
    """

    name: str
    owner: str = ""
    description: str = ""
    timezone: str = "UTC"
    latest: DayState | None = None
    last_published: LastPublished | None = None
    due_at: datetime | None = None
    late: bool = False
    usable: bool = False
    why: str = ""
    pin: Pin | None = None
    held: int = 0
    approvals: int = 0
    verdict: str = ""
    sentence: str = ""
    performance: LatestPerformance | None = None
    alarm: Alarm | None = None
    silence: SilentLabels | None = None
    days: tuple[Day, ...] = ()
    problem: str = ""
    retired: bool = False

    @cached_property
    def concerns(self) -> tuple[Concern, ...]:
        """What may need a person, the most urgent first; empty if all is well."""
        if self.problem or self.retired:
            return ("broken",) if self.problem else ()
        said: dict[Concern, bool] = {
            "outage": self.latest == "outage",
            "failed": self.latest == "failed",
            "held": self.held > 0,
            "late": self.late,
            "approval": self.approvals > 0,
            "unpinned": self.pin is None,
            "worse": self.performance is not None and self.performance.verdict == "worse",
            "unjudged": self.performance is not None and self.performance.verdict == "unknown_labels",
            "consequential": self.verdict == "consequential",
            "drifted": self.verdict == "drifted",
        }
        return tuple(concern for concern in _URGENT_FIRST if said.get(concern) or concern in self.alarms)

    @property
    def state(self) -> str:
        """The most urgent concern, else ``ok``; ``new`` before the first publication, ``retired`` last."""
        if self.retired:
            return "retired"
        return self.concerns[0] if self.concerns else "ok" if self.last_published is not None else "new"

    @cached_property
    def alarms(self) -> dict[Concern, str]:
        """What stands over many windows, in words: of performance, of labels that stopped, of drift."""
        if self.retired:
            return {}
        of_performance = None if self.performance is None else self.performance.alarm
        said: dict[Concern, str] = {}
        if of_performance is not None and of_performance.raised:
            said["performance"] = f"Performance: {of_performance}"
        if self.silence is not None:
            said["labels"] = f"Labels: {self.silence}"
        if self.alarm is not None and self.alarm.raised:
            said["alarm"] = f"Drift: {self.alarm}"
        return said

    @property
    def urgency(self) -> tuple[int, str]:
        """The worst first, then by name."""
        place = _URGENT_FIRST.index(self.concerns[0]) if self.concerns else len(_URGENT_FIRST)
        return place, self.name


def read_model_states(
    store: Store,
    declared: Mapping[str, ModelSpec | RescoreError],
    *,
    now: datetime,
    approvals: Mapping[str, int] | None = None,
) -> list[ModelState]:
    """How each of some models stands, the worst first. As many queries for forty models as for one.

    Parameters
    ----------
    store : Store
        The store.
    declared : mapping of str to ModelSpec or RescoreError
        Of each model what its folder declares, or why it can't be read.
    now : datetime
        Aware.
    approvals : mapping of str to int, optional
        Model to what waits for an answer elsewhere.

    Raises
    ------
    StoreError
        The store is down or not migrated.
    """
    specs = {name: spec for name, spec in declared.items() if isinstance(spec, ModelSpec)}
    names, overview = list(specs), store.overview
    latest_of, pins, held = overview.last_published(names), overview.pins(names), overview.held(names)
    performances, drift_alarms = overview.performances(names), overview.drift_alarms(names)
    silences = overview.silent_labels({name: spec.target.delay for name, spec in specs.items()}, now)
    status = {row.model: row for row in store.history.status()}  # what consumers are told
    # What is looked at ends now, or where the schedule or its scores end.
    ends = {name: _last_moment(spec, latest_of.get(name), now) for name, spec in specs.items()}
    outcomes = overview.outcomes({name: end - timedelta(days=STRIP_DAYS + 1) for name, end in ends.items()})
    found = [
        ModelState(name, problem=str(error))
        for name, error in declared.items()
        if isinstance(error, RescoreError)
    ]
    for name, spec in specs.items():
        schedule, last_published = spec.schedule.schedule(), latest_of.get(name)
        row = status.get(name)
        latest = outcomes[name][-1] if outcomes[name] else None
        performance, alarm = performances.get(name), drift_alarms.get(name)
        judged = latest if latest is not None and latest.verdict is not None else last_published
        found.append(
            ModelState(
                name,
                owner=spec.owner,
                description=spec.description,
                timezone=spec.schedule.timezone,
                latest=None if latest is None else day_state(latest),
                last_published=last_published,
                due_at=None if row is None else row.due_at,
                late=row is not None and row.late is True,
                usable=row is not None and row.usable,
                why="" if row is None else row.why,
                pin=pins.get(name),
                held=held.get(name, 0),
                approvals=(approvals or {}).get(name, 0),
                verdict=(judged.verdict if judged else None) or "",
                sentence=(judged.sentence if judged else None) or "",
                performance=None if performance is None else LatestPerformance.from_dict(performance),
                alarm=None if alarm is None else Alarm.from_dict(alarm),
                silence=silences.get(name),
                days=tuple(
                    days_of(
                        schedule,
                        outcomes[name],
                        last=ends[name].astimezone(ZoneInfo(spec.schedule.timezone)).date(),
                        count=STRIP_DAYS,
                        now=now,
                        within=spec.publish_within,
                    )
                ),
                retired=row is not None and row.retired_at is not None,
            )
        )
    return sorted(found, key=lambda one: one.urgency)


def concerns_said(found: Sequence[ModelState]) -> list[tuple[Concern, int, str]]:
    """Of each concern that any model has: its name, how many have it, and that in words."""
    counted = Counter(concern for one in found for concern in one.concerns)
    return [
        (concern, counted[concern], _SAID[concern][counted[concern] != 1])
        for concern in _URGENT_FIRST
        if counted[concern]
    ]


def _last_moment(spec: ModelSpec, published: LastPublished | None, now: datetime) -> datetime:
    end = spec.schedule.schedule().end
    if end is None or end > now:
        return now
    latest = end - timedelta(seconds=1)
    return latest if published is None else max(latest, published.interval.end)
