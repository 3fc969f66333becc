"""One DAG per model folder, so that a new folder needs no change in ``dags/``.

A folder that is wrong loses its own DAGs only. Airflow drops *every* DAG of a file that raises, and
refuses to trigger DAGs whose file has an import error; so the good ones are built in one file, and
:func:`check_model_folders` raises in another, where the UI shows it under Import Errors.
"""

from __future__ import annotations

from collections.abc import Callable

from airflow.sdk import DAG, get_parsing_context

from rescore.errors import RescoreError, SettingsError, SpecError
from rescore.folder import find_models
from rescore.settings import Settings
from rescore_airflow.dags.monitor import monitor_dag
from rescore_airflow.dags.publish import publish_dag
from rescore_airflow.dags.score import score_dag
from rescore_airflow.dags.train import train_dag
from rescore_airflow.notify import listeners

__all__ = ["check_model_folders", "every_model"]


def every_model(factory: Callable[[str], DAG]) -> dict[str, DAG]:
    """Build a DAG for every model folder that is in order.

    Parameters
    ----------
    factory : callable
        One of :mod:`rescore_airflow.dags`: ``score_dag``, ``train_dag`` and so on.

    Returns
    -------
    dict
        DAG id to DAG; a DAG file adds it to its globals.
    """
    built: dict[str, DAG] = {}
    for model in _wanted():
        try:
            dag = factory(model)
        except RescoreError:
            continue  # check_model_folders says it
        built[dag.dag_id] = dag
    return built


def _wanted() -> list[str]:
    """The models; only one while a worker parses the file to run a task of that one's DAG."""
    models = find_models(Settings.from_environment().models)
    running = get_parsing_context().dag_id
    if running is None:
        return models
    return [model for model in models if running.endswith(f"_{model}")]


def check_model_folders() -> None:
    """Raise what is wrong with the model folders; say nothing if all is well.

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
    listeners("")  # the platform's own
    wrong: list[str] = []
    for model in find_models(folder):
        for factory in (score_dag, train_dag, monitor_dag, publish_dag):
            try:
                factory(model)
            except RescoreError as error:
                wrong.append(str(error))
                break
    if wrong:
        raise SpecError(
            f"{len(wrong)} of {len(find_models(folder))} model folders are wrong and have no DAGs:\n\n"
            + "\n\n".join(wrong)
        )
