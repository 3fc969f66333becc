"""score_, train_, monitor_ and publish_<model> for every model folder.

One file, so that Airflow reads each folder once for all of them.
"""

from rescore_airflow.dags import every_model, monitor_dag, publish_dag, score_dag, train_dag

globals().update(every_model(score_dag, train_dag, monitor_dag, publish_dag))
