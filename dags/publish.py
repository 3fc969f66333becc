"""publish_<model> for every model folder: a person publishes what is held or was stopped."""

from rescore_airflow.factory import publish_dag
from rescore_airflow.model_dags import every_model

globals().update(every_model(publish_dag))
