"""score_<model> for every model folder: one run scores one interval of the model's schedule."""

from rescore_airflow.factory import score_dag
from rescore_airflow.model_dags import every_model

globals().update(every_model(score_dag))
