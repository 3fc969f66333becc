"""monitor_<model> for every model folder: measure the scores against their labels, act on their verdicts."""

from rescore_airflow.factory import monitor_dag
from rescore_airflow.model_dags import every_model

globals().update(every_model(monitor_dag))
