"""What is wrong with the model folders, said as an import error in the Airflow UI.

Airflow drops *every* DAG of a file that raises, and refuses to trigger DAGs whose file has an import error;
so the good ones are built in one file (:func:`rescore_airflow.dags.every_model`), and this raises in another.
Airflow reads both again and again, each in a process that knows nothing of the last one: the first reads
every folder once for all its DAGs; the second reads none, and imports little, while nothing has changed since
all were found right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rescore.errors import RescoreError, SettingsError, SpecError
from rescore.folder import find_models
from rescore.settings import Settings
from rescore_airflow.notify import listeners
from rescore_airflow.unchanged_folders import remember_right, state_of, were_right

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from rescore_airflow.dags.model_dags import Builder

__all__ = ["check_model_folders"]


def check_model_folders() -> None:
    """Raise what is wrong with the model folders; return if nothing is.

    Raises
    ------
    SettingsError
        There is no folder of model folders, or the file that ``RESCORE_NOTIFY`` names is wrong.
    SpecError
        One or more model folders are wrong; each one's file and key are named.
    """
    folder = Settings.from_environment().models
    if not folder.is_dir():
        raise SettingsError(
            f"there is no folder {folder}",
            where="environment variable RESCORE_MODELS",
            expected="the folder that holds the model folders",
            fix="set it for every Airflow component",
        )
    listeners("")  # those of the whole platform
    state = state_of(folder)
    if were_right(state):
        return
    models = find_models(folder)
    problems = [str(error) for model_name in models if (error := _problem(model_name, _probe)) is not None]
    if models and not problems:  # what this Airflow takes of no model shows in any of them
        problems = [str(error) for one in _builders() if (error := _problem(models[0], one)) is not None]
    if problems:
        raise SpecError(
            f"{len(problems)} of {len(models)} model folders are wrong and have no DAGs:\n\n"
            + "\n\n".join(problems)
        )
    remember_right(state)


def _builders() -> tuple[Builder, ...]:
    from rescore_airflow.dags import monitor_dag, publish_dag, score_dag, train_dag

    return score_dag, train_dag, monitor_dag, publish_dag


def _probe(model_name: str) -> DAG:
    """A DAG of one task with everything of the declaration that Airflow could refuse."""
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG

    from rescore_airflow.dags.defaults import dag_defaults
    from rescore_airflow.declarations import declared
    from rescore_airflow.timetable import ModelTimetable

    spec = declared(model_name)
    timetable = ModelTimetable.of(spec.schedule.schedule())
    with DAG(
        f"score_{model_name}",
        schedule=timetable,
        max_active_runs=spec.airflow.max_active_runs,
        **dag_defaults(spec, "score"),
    ) as dag:
        EmptyOperator(task_id="probe")
    return dag


def _problem(model_name: str, build: Builder) -> RescoreError | None:
    """What keeps a model from having its DAGs."""
    try:
        build(model_name)
    except RescoreError as error:
        return error
    except Exception as error:
        return SpecError(
            f"the DAGs of {model_name} can't be built: {type(error).__name__}: {error}",
            where=str(Settings.from_environment().models / model_name / "model.yaml"),
            expected="values that Airflow takes, above all under schedule and airflow",
            fix="correct the value that the message names",
        )
    return None
