"""The DAGs of every model folder, so that a new folder needs no change in ``dags/``.

A folder that is wrong loses its own DAGs only, whatever reading it or building its DAGs raises; what is wrong
says :func:`rescore_airflow.dags.check_model_folders`, in a DAG file of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from airflow.sdk import DAG, get_parsing_context

from rescore.folder import find_models
from rescore.lazy_names import MadeToStay
from rescore.settings import Settings

__all__ = ["Builder", "every_model"]

#: Builds one DAG of the model it is given.
Builder = Callable[[str], DAG]

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
    with MadeToStay():
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
