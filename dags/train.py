"""train_<model> for every model folder: snapshot, package, approval, pin."""

from rescore_airflow.factory import train_dag
from rescore_airflow.model_dags import every_model

globals().update(every_model(train_dag))
