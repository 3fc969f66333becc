"""The page in the Airflow UI."""

from rescore_airflow.page.app import create_page

__all__ = ["create_page"]
