"""erase_subject: erase a person, after a dry run and an approval."""

from rescore_airflow.dags import erase_subject_dag

erase_subject = erase_subject_dag()
