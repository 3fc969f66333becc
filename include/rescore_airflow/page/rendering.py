"""Templates to HTML: names, moments and links as every page writes them. Nothing is read here."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from rescore.performance import METRICS
from rescore.report import age, days_said, span
from rescore.runbooks import runbook
from rescore_airflow.icon import ICON

__all__ = ["Links", "Rendering", "with_moments"]

_HEADERS = {
    # One style element and images within the page: no script, nothing from elsewhere.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_STATE_NAMES = {
    "broken": "can't be read",
    "approval": "approval waits",
    "unpinned": "no package",
    "worse": "performs worse",
    "performance": "performance alarm",
    "unjudged": "unknown labels",
    "labels": "no new labels",
    "alarm": "drift alarm",
}
#: A moment as sentences of reports and of the store have it.
_MOMENT = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)[ T](?P<time>\d\d:\d\d)(:\d\d(\.\d+)?)?( ?UTC|Z|\+00:00|\+00\b)", re.ASCII
)
_DAY_NAMES = {"gap": "a run was due, none is there", "none": "no run was due", "running": "under way"}


@dataclass(frozen=True)
class Links:
    """Addresses relative to the page that is asked for, so that they hold below any prefix.

    Attributes
    ----------
    home : str
        Of the list of models.
    framed : bool
        Whether the page is shown inside Airflow's own. Airflow's frame lets no link lead out of it, so there
        is none then.
    """

    home: str
    framed: bool

    @classmethod
    def of(cls, request: Request) -> Links:
        """Those of a request."""
        path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        return cls("../" * (path.count("/") - 1) or "./", request.headers.get("sec-fetch-dest") == "iframe")

    def model(self, name: str, anchor: str = "") -> str:
        """The page of a model."""
        return f"{self.home}score_{name}{anchor}"

    def run(self, name: str, run_id: str) -> str:
        """The page of a run."""
        return f"{self.model(name)}/runs/{run_id}"

    def feature(self, name: str, feature: str, run_id: str | None = None) -> str:
        """The page of a feature, in one run's window or the latest."""
        return f"{self.model(name)}/features/{quote(feature, safe='')}" + (f"?run={run_id}" if run_id else "")

    def package(self, name: str, version: str) -> str:
        """The page of a package."""
        return f"{self.model(name)}/packages/{version}"

    def comparison(self, name: str, comparison_id: int) -> str:
        """The page of a comparison."""
        return f"{self.model(name)}/comparisons/{comparison_id}"

    def dag(self, dag_id: str, dag_run: str | None = None, task: str | None = None) -> str:
        """Airflow's own page of a DAG, of one of its runs, or of a task's log."""
        run = "" if dag_run is None else f"/runs/{quote(dag_run, safe='')}"
        return f"{self.home}../dags/{dag_id}{run}" + (f"/tasks/{task}" if task else "")


class Rendering:
    """The templates."""

    def __init__(self) -> None:
        self._templates = Environment(
            # The colours, and what a comparison's page in a file shows too, are the library's.
            loader=ChoiceLoader([PackageLoader("rescore_airflow.page"), PackageLoader("rescore.report")]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {
            "iso": _iso,
            "utc": _utc,
            "on_clock": _on_clock,
            "moments": with_moments,
            "day_of": lambda moment, timezone: f"{moment.astimezone(ZoneInfo(timezone)):%-d %b %Y}",
            "ago": age,
            "length_of_time": lambda length: age(length).removesuffix(" ago"),
            "days_said": days_said,
            "runbook": lambda state: f"What to do: {runbook(state)}",
            "span": span,
            "metric_label": lambda name: METRICS[name].label if name in METRICS else name.replace("_", " "),
        }
        self._templates.globals |= {
            "icon": f"data:image/svg+xml;base64,{b64encode(ICON.encode()).decode()}",
            "state_names": _STATE_NAMES,
            "day_names": _DAY_NAMES
            | {name: name for name in ("ok", "drifted", "consequential", "outage")}
            | {"failed": "failed", "held": "held for a person"},
        }

    def html(self, template: str, *, status_code: int = 200, **values: Any) -> HTMLResponse:
        """A page."""
        text = self._templates.get_template(template).render(**values)
        return HTMLResponse(text, status_code=status_code, headers=_HEADERS)


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def with_moments(text: str, timezone: str) -> Markup:
    """A text whose moments are on the model's clock, as all others of the page, and in UTC on hover."""

    def on_clock(found: re.Match[str]) -> str:
        try:
            moment = datetime.fromisoformat(f"{found['day']} {found['time']}").replace(tzinfo=UTC)
            local = _on_clock(moment, timezone, with_year=True)
        except (ValueError, OverflowError):  # as errors quote: 30 February, or a year that no clock has
            return found[0]
        return f'<time datetime="{_iso(moment)}" title="{_utc(moment)}">{local}</time>'

    return Markup(_MOMENT.sub(on_clock, str(escape(text))))  # noqa: S704 - escaped, and what is put in is ours


def _on_clock(moment: datetime, timezone: str, with_year: bool = False) -> str:
    local = moment.astimezone(ZoneInfo(timezone))
    year = f" {local.year}" if with_year or abs(datetime.now(UTC) - moment) > timedelta(days=300) else ""
    return f"{local.day} {local:%b}{year} {local:%H:%M}"
