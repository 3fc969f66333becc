"""Rescore in Airflow: the DAGs and the task groups, their operators, and the page in the UI.

``dags`` builds DAGs, ``plugin`` registers the timetable and the page. Importing any of it loads
no pandas, scikit-learn or Great Expectations: those are imported inside the task that needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rescore.airflow_version import check_airflow_version
from rescore.lazy_names import lazy_names

if TYPE_CHECKING:
    from rescore_airflow.dags import ScoreTaskGroup, TrainTaskGroup

__all__ = ["ScoreTaskGroup", "TrainTaskGroup"]

# Else the first name that an older Airflow lacks would end in an ImportError that says nothing of it.
check_airflow_version()

if not TYPE_CHECKING:  # or each name that is misspelt would be one for it
    __getattr__ = lazy_names(__name__, __file__)
