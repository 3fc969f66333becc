"""monitor_<model> for every model folder: measure the scores against their labels, act on their verdicts."""

from rescore_airflow.dags import every_model, monitor_dag

globals().update(every_model(monitor_dag))
