"""The DAGs of every model folder, so that a new folder needs no change in ``dags/``.

A folder that is wrong loses its own DAGs only, whatever reading it or building its DAGs raises. Airflow
drops *every* DAG of a file that raises, and refuses to trigger DAGs whose file has an import error; so the
good ones are built in one file, and :func:`check_model_folders` raises in another, where the UI shows it
under Import Errors. Airflow reads both again and again, each in a process that knows nothing of the last
one: the first reads every folder once for all its DAGs, the second reads none while nothing has changed since
all were found right.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, get_parsing_context

from rescore.errors import RescoreError, SettingsError, SpecError
from rescore.folder import find_models
from rescore.settings import Settings
from rescore_airflow.dags.defaults import dag_defaults
from rescore_airflow.dags.monitor import monitor_dag
from rescore_airflow.dags.publish import publish_dag
from rescore_airflow.dags.score import score_dag
from rescore_airflow.dags.train import train_dag
from rescore_airflow.declarations import declared
from rescore_airflow.notify import listeners
from rescore_airflow.timetable import ModelTimetable
from rescore_airflow.unchanged_folders import remember_right, state_of, were_right

__all__ = ["check_model_folders", "every_model"]

#: Builds one DAG of the model it is given.
Builder = Callable[[str], DAG]

BUILDERS: tuple[Builder, ...] = (score_dag, train_dag, monitor_dag, publish_dag)

log = logging.getLogger(__name__)


def every_model(*builders: Builder) -> dict[str, DAG]:
    """Build DAGs for every model folder that is in order.

    Parameters
    ----------
    *builders : callable
        Of :mod:`rescore_airflow.dags`: ``score_dag``, ``train_dag`` and so on.

    Returns
    -------
    dict
        DAG id to DAG; a DAG file adds it to its globals. While a worker parses the file to run a task, the
        DAGs of that task's model.
    """
    built: dict[str, DAG] = {}
    for model_name in _models_to_build():
        for builder in builders:
            try:
                dag = builder(model_name)
            except Exception as error:  # check_model_folders shows it in the UI
                log.warning("%s: no DAG by %s: %s", model_name, builder.__name__, error)
                continue
            built[dag.dag_id] = dag
    return built


def _models_to_build() -> list[str]:
    models = find_models(Settings.from_environment().models)
    running = get_parsing_context().dag_id
    if running is None:
        return models
    return [model_name for model_name in models if running.endswith(f"_{model_name}")]


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
        problems = [str(error) for one in BUILDERS if (error := _problem(models[0], one)) is not None]
    if problems:
        raise SpecError(
            f"{len(problems)} of {len(models)} model folders are wrong and have no DAGs:\n\n"
            + "\n\n".join(problems)
        )
    remember_right(state)


def _probe(model_name: str) -> DAG:
    """A DAG of one task with everything of the declaration that Airflow could refuse."""
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
