"""maintain: delete what is past its retention, and keep the history's head outside."""

from rescore_airflow.dags import maintain_dag

maintain = maintain_dag()
