"""What a page of the console costs: ten models with a year of daily runs each, and forty models.

Prints seconds of CPU (user and system) of the process that answers: the least of five, and the first.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests' fleet fills the store

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-home-"))
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

from rescore.local import LocalPostgres
from rescore.store import Store
from rescore_airflow.page import create_page
from tests.airflow.console import KINDS, Console, prepare_airflow
from tests.shared.fleet import Fleet

#: Models, and runs of each.
SIZES = ((10, 365), (40, 45))


def measure(console: Console) -> None:
    """Ask for every kind of page."""
    name = console.names[0]
    run_id = console.store.runs.published(name, last=1)[0].run_id
    compared = console.store.comparisons.of_model(name)[0].comparison_id
    client = console.client()
    for path in (
        *("/", "/?sort=name", f"/score_{name}", f"/score_{name}?all=1", f"/score_{name}/runs/{run_id}"),
        *(f"/score_{name}/features/wind", f"/score_{name}/packages/1.0.1"),
        f"/score_{name}/comparisons/{compared}",
    ):
        spent = []
        for _ in range(6):
            began = time.process_time()
            answer = client.get(path)
            spent.append(time.process_time() - began)
            assert answer.status_code == 200, answer.text
        shown = path.replace(run_id, "RUN")
        size = f"{len(answer.text) / 1e3:.0f} kB"
        print(f"  {shown:<40} {min(spent[1:]):.3f} s, first {spent[0]:.3f} s, {size}")


def main() -> None:
    """Fill a store of each size and measure the pages over it."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        server = LocalPostgres(home / "postgres", tied=True, settings={"fsync": "off"})
        server.start()
        os.environ["RESCORE_HOME"] = folder
        try:
            for count, days in SIZES:
                models = home / f"models_{count}"
                url = server.create_database(f"fleet_{count}")
                os.environ |= {"RESCORE_DATABASE_URL": url, "RESCORE_MODELS": str(models)}
                with Store(url) as store:
                    store.schema.migrate()
                    fleet = Fleet(store, models)
                    names = fleet.fill(count, days)
                    prepare_airflow([f"{kind}_{name}" for name in names for kind in KINDS])
                    print(f"{count} models with {days} daily runs each")
                    measure(Console(create_page(), store, fleet, models, names))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
