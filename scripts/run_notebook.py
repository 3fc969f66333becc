"""Execute docs/notebooks/flight_delay.ipynb against real flights in a Postgres of its own.

    python scripts/run_notebook.py            write the notebook with its outputs
    python scripts/run_notebook.py --check    execute it, write nothing, compare with what is written

First comes what the DAGs do: train_flight_delay's package is trained and pinned, and the flights of
1 April are scored and published. The notebook then has to come to the same bytes. All of it lives in a
folder that is deleted afterwards.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import nbformat
from nbclient import NotebookClient

from rescore import pipeline
from rescore.demo import flights
from rescore.local import LocalPostgres
from rescore.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "docs" / "notebooks" / "flight_delay.ipynb"
MODEL = "flight_delay"
TRAINED_AS_OF = datetime(2013, 4, 1, 4, tzinfo=ZoneInfo("America/New_York"))
SECONDS = 1_200


def prepared(home: Path, url: str) -> dict[str, str]:
    """Do what the DAGs do; the variables that the notebook needs."""
    environment = {
        "RESCORE_HOME": str(home),
        "RESCORE_MODELS": str(ROOT / "include" / "models"),
        "RESCORE_DATABASE_URL": url,
        "RESCORE_CONNECTION_FLIGHTS_SOURCE": url,
    }
    flights.load(url)
    ctx = pipeline.Context.from_environment(Settings.from_environment(environment))
    ctx.store.schema.migrate()
    made = pipeline.train_model(ctx, MODEL, as_of=TRAINED_AS_OF)
    pipeline.pin(ctx, MODEL, made.version, who="train_flight_delay", why="the first package")
    schedule = ctx.model(MODEL).spec.schedule.schedule()
    pipeline.score_interval(ctx, MODEL, schedule.interval_ending(TRAINED_AS_OF))
    ctx.store.close()
    return environment


def executed(home: Path) -> Any:
    """The notebook, executed in a kernel of this interpreter."""
    server = LocalPostgres(home, tied=True)
    server.start()
    try:
        os.environ.update(prepared(home, server.create_database("flights")))
        book = nbformat.read(NOTEBOOK, as_version=4)
        NotebookClient(
            book,
            timeout=SECONDS,
            kernel_name="python3",
            record_timing=False,
            resources={"metadata": {"path": str(home)}},
        ).execute()
    finally:
        server.stop()
    for cell in book.cells:
        for output in cell.get("outputs", []):
            if re.search(rf"{re.escape(str(home))}|{re.escape(str(ROOT))}|/home/|/root/", str(output)):
                raise SystemExit(f"an output names a folder of this machine: {output}")
    return book


def results(book: Any) -> list[tuple[str, list[str]]]:
    """Each cell's code and results, without what another release or another clock says otherwise.

    The digest of a package follows from the library's code and versions, too: that it is the DAG's is
    what the notebook itself asserts.
    """
    found = []
    for cell in book.cells:
        shown = [
            re.sub(r"took +[\d.]+ s", "took", output["data"]["text/plain"])
            for output in cell.get("outputs", [])
            if output["output_type"] == "execute_result"
        ]
        if "package" in cell.source:
            shown = [re.sub(r"[0-9a-f]{64}", "digest", one) for one in shown]
        found.append((cell.source, shown))
    return found


def main() -> int:
    """Execute; write or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if results differ")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        book = executed(Path(folder))
    if not check:
        nbformat.write(book, NOTEBOOK)
        return 0
    written = results(nbformat.read(NOTEBOOK, as_version=4))
    for (source, before), (_, now) in zip(written, results(book), strict=True):
        if before != now:
            sys.stderr.write(f"{source}\n--- written\n{before}\n--- now\n{now}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
