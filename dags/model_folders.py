"""No DAG, but an import error in the Airflow UI for every model folder that is wrong.

A file of its own: Airflow drops all DAGs of a file that raises, and the good ones shall stay.
"""

from rescore_airflow.dags import check_model_folders

check_model_folders()
