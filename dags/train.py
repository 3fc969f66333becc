"""train_<model> for every model folder: snapshot, package, approval, pin."""

from rescore_airflow.dags import every_model, train_dag

globals().update(every_model(train_dag))
