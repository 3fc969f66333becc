"""The services of ``docker-compose.distributed.yaml`` as processes of this machine, by their own commands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rescore.local import Process, free_port
from rescore.local.processes import end_all
from tests.shared.object_store import wait_for_port

__all__ = ["Cluster", "cluster"]

#: What tests alone set: a worker that is gone is noticed in seconds, where minutes are the default.
_IMPATIENT = {
    "AIRFLOW__CELERY__WORKER_CONCURRENCY": "1",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
}


@dataclass
class Cluster:
    """Services that were started, by name.

    Attributes
    ----------
    services : mapping
        What Compose resolved.
    folder : Path
        Stands for the containers' volumes; logs of the processes lie beside them.
    metadata_url : str
        Airflow's database here.
    object_store : str
        Host and port of the S3 server here.
    ours : mapping of str to str
        Variables that say where store and models are here.
    """

    services: Mapping[str, Any]
    folder: Path
    metadata_url: str
    object_store: str
    ours: Mapping[str, str]
    redis: int = field(default_factory=free_port)
    api: int = field(default_factory=free_port)
    started: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """Airflow's home."""
        return self.folder / "opt"

    def here(self, text: str) -> str:
        """Rewrite what names a container, a folder or a database to what stands for it here."""
        metadata = self.metadata_url.partition("://")[2]
        text = re.sub(r"//airflow:\w+@postgres:5432/airflow$", f"//{metadata}", text)
        text = text.replace("redis:6379", f"127.0.0.1:{self.redis}")
        text = re.sub(r"(api-server|localhost):8080", f"127.0.0.1:{self.api}", text)
        text = text.replace("object-store:8333", self.object_store).replace("0.0.0.0", "127.0.0.1")
        text = str(self.api) if text == "8080" else text
        # The port that Redis would take in its container.
        text = text.replace('save ""', f'port {self.redis}\\nbind 127.0.0.1\\nsave ""')
        return text.replace("/opt/airflow", str(self.home)).replace("$$", "$")

    def environment(self, service: str) -> dict[str, str]:
        """The service's environment, with this machine's places."""
        return {
            **{key: self.here(value) for key, value in self.services[service]["environment"].items()},
            **self.ours,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "AIRFLOW_HOME": str(self.home),
            "RESCORE_HOME": str(self.home / "rescore"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.home / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.home / "plugins"),
            **_IMPATIENT,
        }

    def start(self, name: str, service: str, *more: str) -> None:
        """Start a service's command, in a session of its own."""
        command = [self.here(part) for part in self.services[service]["command"]]
        with (self.folder / f"{name}.log").open("wb") as log:
            self.started[name] = subprocess.Popen(
                [*command, *more],
                env=self.environment(service),
                stdout=log,
                stderr=log,
                cwd=self.home,
                start_new_session=True,
            )

    def up(self) -> None:
        """Start Redis, make Airflow's database, then start its components and two workers, in this order."""
        self.start("redis", "redis")
        wait_for_port(self.redis, self.started["redis"])
        migrate = [sys.executable, "-m", "airflow", "db", "migrate"]
        environment = self.environment("scheduler")
        done = subprocess.run(migrate, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        for name in ("api-server", "scheduler", "dag-processor"):
            self.start(name, name)
        wait_for_port(self.api, self.started["api-server"], 300)
        for name in ("one", "two"):
            self.start(name, "worker", "--celery-hostname", f"{name}@%h")

    def log(self, name: str) -> str:
        """The end of what a process wrote."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-3000:]

    def refuse_dead(self) -> None:
        """Fail if a process has ended by itself."""
        for name, child in self.started.items():
            assert child.poll() is None, f"{name}: {self.log(name)}"

    def down(self) -> None:
        """End all processes."""
        end_all(Process.in_sessions(child.pid for child in self.started.values()), seconds=10)
        for child in self.started.values():
            child.wait()


@contextmanager
def cluster(
    services: Mapping[str, Any], folder: Path, metadata_url: str, object_store: str, ours: Mapping[str, str]
) -> Iterator[Cluster]:
    """All services, started; ended whatever happens."""
    made = Cluster(services, folder, metadata_url, object_store, ours)
    try:
        made.up()
        yield made
    finally:
        made.down()
