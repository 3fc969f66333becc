"""score_<model> for every model folder: one run scores one interval of the model's schedule."""

from rescore_airflow.dags import every_model, score_dag

globals().update(every_model(score_dag))
