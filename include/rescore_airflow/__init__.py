"""Rescore in Airflow: the DAG factory, its tasks and the UI page."""
