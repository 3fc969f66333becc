"""Rescore's timetable and page, where the package is on the path but not installed with pip."""

from rescore_airflow.plugin import unless_installed

RescorePlugin = unless_installed()
