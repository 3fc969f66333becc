"""The local Postgres and the local Airflow: what a machine without either needs for development and tests.

Nothing here imports Airflow; its components are started as processes. On a server the same parts
come from ``docker-compose.yaml`` or from an Airflow and a Postgres that exist already.
"""
