"""The tasks of our DAGs as groups for a DAG of one's own."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from airflow.sdk import TaskGroup

from rescore_airflow.dags.defaults import dag_defaults
from rescore_airflow.dags.score import score_tasks
from rescore_airflow.dags.train import train_tasks
from rescore_airflow.declarations import declared

__all__ = ["ScoreTaskGroup", "TrainTaskGroup"]


class ScoreTaskGroup(TaskGroup):
    """The tasks of ``score_<model>``, to stand behind the tasks that load its source.

    It scores the interval that the conf names (``interval_start``, ``interval_end``), else the run's own data
    interval; for a run that spans no time (a cron trigger, an asset event) the last interval of the model's
    schedule that had ended by then. Tasks behind the group run once scores are published; they are skipped
    where these are held. The asset ``scores/<model>`` is updated as by the DAG.

    Parameters
    ----------
    model_name : str
        The model. Its ``airflow`` section sets retries, pool and callbacks of the tasks.
    group_id : str, optional
        Default: ``score_<model>``.
    **kwargs
        Airflow's, as for any ``TaskGroup``; ``default_args`` come before the model's.

    Raises
    ------
    RescoreError
        The model folder is missing or wrong.
    """

    def __init__(self, model_name: str, *, group_id: str | None = None, **kwargs: Any) -> None:
        spec = declared(model_name)
        defaults = dag_defaults(spec, "score")["default_args"] | kwargs.pop("default_args", {})
        super().__init__(group_id=group_id or f"score_{model_name}", default_args=defaults, **kwargs)
        with self:
            score_tasks(model_name, spec)

    def get_leaves(self) -> Generator[Any, None, None]:
        """What the tasks behind the group wait for: ``publish``, since ``hold`` is skipped in most runs."""
        yield self.children[self.child_id("publish")]  # type: ignore[no-untyped-call]


class TrainTaskGroup(TaskGroup):
    """The tasks of ``train_<model>``: snapshot, package, comparison, approval, pin.

    Labels are those known at the last boundary of the model's schedule before the run, unless the conf names
    another moment (``as_of``).

    Parameters
    ----------
    model_name, group_id, **kwargs
        As for :class:`ScoreTaskGroup`; the default id is ``train_<model>``.

    Raises
    ------
    RescoreError
        The model folder is missing or wrong.
    """

    def __init__(self, model_name: str, *, group_id: str | None = None, **kwargs: Any) -> None:
        spec = declared(model_name)
        defaults = dag_defaults(spec, "train")["default_args"] | kwargs.pop("default_args", {})
        super().__init__(group_id=group_id or f"train_{model_name}", default_args=defaults, **kwargs)
        with self:
            train_tasks(model_name, spec)
