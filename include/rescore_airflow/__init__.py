"""Rescore in Airflow: the DAG factory, its tasks, and the page in the UI.

``factory`` builds DAGs, ``plugin`` registers the timetable and the page. Importing any of it loads
no pandas, scikit-learn or Great Expectations: those are imported inside the task that needs them.
"""
