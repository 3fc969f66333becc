"""Which Airflow is installed, and whether it is one that the DAGs run on. Airflow itself is not imported."""

from __future__ import annotations

from importlib import metadata

from packaging.version import Version

from rescore.errors import SettingsError

__all__ = ["LOWEST", "check_airflow_version", "installed_airflow"]

#: The lowest version that the DAGs run on. Below it, a task can't ask for an asset's latest events.
LOWEST = Version("3.2.0")


def installed_airflow() -> Version | None:
    """The version of Airflow in this environment; None if there is none."""
    try:
        return Version(metadata.version("apache-airflow-core"))
    except metadata.PackageNotFoundError:
        pass
    try:
        return Version(metadata.version("apache-airflow"))  # Airflow 2 is one distribution
    except metadata.PackageNotFoundError:
        return None


def check_airflow_version() -> Version | None:
    """The version of Airflow in this environment, if it is high enough; None if there is none.

    Raises
    ------
    SettingsError
        It is lower than :data:`LOWEST`.
    """
    found = installed_airflow()
    if found is not None and found < LOWEST:
        raise SettingsError(
            f"Airflow {found} is installed",
            where="this Python environment",
            expected=f"Airflow {LOWEST} or later",
            fix=f"upgrade Airflow: pip install 'apache-airflow>={LOWEST}'; "
            "without Airflow, the command `rescore` scores and trains all the same",
            data={"installed": str(found), "lowest": str(LOWEST)},
        )
    return found
