"""One small job through the installed command: check, train, pin, score, reproduce on a Postgres of its own.

    python smoke_job.py TESTS    TESTS: the folder of tests, for its model `tides`

Run by ``release_check.py`` in an environment that holds the wheel and nothing of the checkout.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import psycopg2

import rescore
from rescore.local import LocalPostgres

FIRST, DAYS = "2024-01-01T00:00:00Z", 40
TRAINED_AS_OF, SCORED = "2024-01-31T00:00:00Z", "2024-02-01"


def command(*arguments: str, environment: dict[str, str]) -> str:
    """Run ``rescore`` as a user would, and return what it prints."""
    rescore_command = Path(sys.executable).with_name("rescore")
    print("rescore", *arguments, flush=True)
    done = subprocess.run(
        [rescore_command, *arguments], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def main(tests: Path) -> None:
    """Run the job; any step that fails ends it."""
    home = Path.cwd().resolve()
    installed = Path(rescore.__file__).resolve()
    assert installed.is_relative_to(Path(sys.prefix).resolve()), f"rescore is imported from {installed}"

    shutil.copytree(tests / "data" / "harbour_models", home / "models")
    server = LocalPostgres(home / "var", tied=True)
    server.start()
    try:
        url = server.create_database("smoke")
        connection = psycopg2.connect(url)
        with connection, connection.cursor() as cursor:
            cursor.execute((tests / "data" / "harbour.sql").read_text(), {"first": FIRST, "hours": DAYS * 24})
        connection.close()
        environment = {
            **os.environ,
            "RESCORE_HOME": str(home / "var"),
            "RESCORE_MODELS": str(home / "models"),
            "RESCORE_DATABASE_URL": url,
            "RESCORE_CONNECTION_HARBOUR": url,
        }
        said = command("--version", environment=environment)
        assert said.split() == ["rescore", version("rescore")], said
        command("store", "migrate", environment=environment)
        command("check", "tides", environment=environment)
        command("train", "tides", "--as-of", TRAINED_AS_OF, environment=environment)
        command("pin", "tides", "--to", "1.0.0", "--reason", "smoke job", environment=environment)
        command("score", "tides", "--day", SCORED, environment=environment)
        said = command("reproduce", "--model", "tides", environment=environment)
        assert "identical" in said, said
        assert "tides" in command("status", environment=environment)
    finally:
        server.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
