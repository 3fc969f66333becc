"""publish_<model> for every model folder: a person publishes what is held or was stopped."""

from rescore_airflow.dags import every_model, publish_dag

globals().update(every_model(publish_dag))
