"""What Rescore adds to Airflow: the timetable of its DAGs, a page in the UI, and libraries loaded once.

Installed with pip, the package registers itself through the entry point ``airflow.plugins``. Where
it is only on the path, a file in the plugins folder takes :func:`unless_installed`.

Every component and every task loads its plugins, so the page, which needs FastAPI and Airflow's own
API, is imported only where an API server asks for it.
"""

from __future__ import annotations

from functools import cached_property
from importlib.metadata import entry_points
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from rescore_airflow import preload
from rescore_airflow.icon import icon_address
from rescore_airflow.timetable import ModelTimetable

__all__ = ["RescorePlugin", "unless_installed"]

_ICONS = {"icon": icon_address(), "icon_dark_mode": icon_address(dark=True)}


class RescorePlugin(AirflowPlugin):
    """The timetable, the page, and its places in the navigation and on the pages of DAGs and their runs."""

    name = "rescore"
    timetables = [ModelTimetable]  # noqa: RUF012 (as Airflow declares it)
    listeners = [preload]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        # In the navigation without a route of Airflow's: that would put the page into a frame that lets no
        # link out. Addresses are relative: the UI has a <base>, so they hold below any [api] base_url.
        {"name": "Rescore", "href": "rescore/", "destination": "nav", "nav_top_level": True, **_ICONS},
        {
            "name": "Rescore",
            "href": "rescore/dags/{DAG_ID}",
            "url_route": "rescore",
            "destination": "dag",
            **_ICONS,
        },
        {
            "name": "Rescore",
            "href": "rescore/dags/{DAG_ID}/runs/{RUN_ID}",
            "url_route": "rescore-run",
            "destination": "dag_run",
            **_ICONS,
        },
    ]

    @cached_property
    def fastapi_apps(self) -> list[Any]:  # type: ignore[override]
        """The page, mounted at ``/rescore``."""
        from rescore_airflow.page import create_page

        return [{"name": "Rescore", "app": create_page(), "url_prefix": "/rescore"}]


def unless_installed() -> type[RescorePlugin] | None:
    """The plugin for a file in the plugins folder; None where pip has registered it already.

    Airflow warns about a plugin of the same name, and lists it under its import errors.
    """
    mine = f"{RescorePlugin.__module__}:{RescorePlugin.__qualname__}"
    if any(entry.value == mine for entry in entry_points(group="airflow.plugins")):
        return None
    return RescorePlugin
