"""reproduce: derive published runs again, and fail if one differs."""

from rescore_airflow.dags import reproduce_dag

reproduce = reproduce_dag()
