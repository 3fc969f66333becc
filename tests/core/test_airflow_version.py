"""Which Airflow is installed is read from its distribution, and one that is too low is refused by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rescore.airflow_version import LOWEST, check_airflow_version
from rescore.errors import SettingsError


def installed(folder: Path, name: str, version: str) -> None:
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n"
    )


def test_an_airflow_below_the_lowest_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, "apache_airflow_core", "3.1.8")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SettingsError, match=r"Airflow 3\.1\.8 is installed") as caught:
        check_airflow_version()
    assert str(LOWEST) in str(caught.value) and caught.value.data["installed"] == "3.1.8"


@pytest.mark.parametrize("version", [str(LOWEST), "3.9.0"])
def test_the_lowest_and_later_ones_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    installed(tmp_path, "apache_airflow_core", version)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert str(check_airflow_version()) == version


def test_a_dag_file_on_an_older_airflow_says_so_before_a_name_is_missed(tmp_path: Path) -> None:
    installed(tmp_path, "apache_airflow_core", "3.1.0")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import rescore_airflow.dags"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "SettingsError: Airflow 3.1.0 is installed" in done.stderr
