"""Take the pictures of the console that its guide shows, with a headless Chromium.

The console is served on loopback, over a store that is made up for it, with a login for whoever asks. Run it
after a change of the pages and look at what it writes: the pictures of the guide into ``docs/images``, or all
pages in both themes and at two widths into a folder that is named::

    .venv/bin/python scripts/console_pictures.py [FOLDER]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
sys.path.insert(0, str(CHECKOUT))  # the tests' fleet fills the store
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-home-"))
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

import uvicorn  # noqa: E402
from fastapi import FastAPI, Request, Response  # noqa: E402

from rescore.local import LocalPostgres  # noqa: E402
from rescore.store import Store  # noqa: E402
from rescore_airflow.page import create_page  # noqa: E402
from tests.airflow.console import KINDS, Console, prepare_airflow  # noqa: E402
from tests.shared.fleet import Fleet  # noqa: E402

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
#: The pictures that the guide shows: page, width in pixels, theme.
GUIDE = {
    *(("home", 1400, "light"), ("home", 400, "dark"), ("model", 1400, "dark"), ("run", 400, "light")),
    ("comparison", 1400, "light"),
}
#: How long the server may take to answer for the first time (seconds).
PATIENCE = 60


def main() -> int:
    """Fill a store, serve the console over it, and take the pictures."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        print(f"no browser: install one of {', '.join(BROWSERS)}", file=sys.stderr)
        return 1
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else CHECKOUT / "docs" / "images"
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        postgres = LocalPostgres(home / "postgres", tied=True, settings={"fsync": "off"})
        postgres.start()
        try:
            url = postgres.create_database("fleet")
            os.environ |= {
                "RESCORE_HOME": folder,
                "RESCORE_DATABASE_URL": url,
                "RESCORE_MODELS": str(home / "models"),
            }
            with Store(url) as store:
                store.schema.migrate()
                fleet = Fleet(store, home / "models")
                names = fleet.fill(40, 60)
                prepare_airflow([f"{kind}_{name}" for name in names for kind in KINDS])
                console = Console(create_page(), store, fleet, home / "models", names)
                _take(browser, console, target, everything=len(sys.argv) > 1)
        finally:
            postgres.stop()
    return 0


def _take(browser: str, console: Console, target: Path, *, everything: bool) -> None:
    app = _logged_in(console)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + PATIENCE
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    outage = console.names[7]
    run_id = console.store.runs.latest(outage, 1)[0].run_id
    compared = console.store.comparisons.of_model(outage)[0].comparison_id
    pages = {
        "home": ("", 1280),
        "model": (f"score_{outage}", 2150),
        "run": (f"score_{outage}/runs/{run_id}", 1480),
        "feature": (f"score_{outage}/features/wind", 1000),
        "package": (f"score_{outage}/packages/1.0.1", 1760),
        "comparison": (f"score_{outage}/comparisons/{compared}", 1960),
    }
    try:
        for name, (path, height) in pages.items():
            for width in (1400, 400):
                for number, theme in enumerate(("dark", "light")):
                    if not everything and (name, width, theme) not in GUIDE:
                        continue
                    picture = target / f"console-{name}-{width}-{theme}.png"
                    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
                    command += [f"--blink-settings=preferredColorScheme={number}"]
                    command += [f"--window-size={width},{height}", f"--screenshot={picture}"]
                    address = f"http://127.0.0.1:{port}/rescore/{path}"
                    subprocess.run([*command, address], check=True, capture_output=True, timeout=120)
                    print(picture)
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


def _logged_in(console: Console) -> FastAPI:
    """The console as the API server mounts it, for a browser that can't log in."""
    token = console.client().cookies["_token"]
    outer = FastAPI()

    @outer.middleware("http")
    async def log_in(request: Request, call_next) -> Response:  # type: ignore[no-untyped-def]
        request.scope["headers"].append((b"authorization", f"Bearer {token}".encode()))
        answer: Response = await call_next(request)
        return answer

    outer.mount("/rescore", console.app)
    return outer


if __name__ == "__main__":
    sys.exit(main())
