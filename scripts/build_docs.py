"""Build the documentation as a site: ``make docs``. Any warning, and any file of another host, is an error.

The pages are copied into ``var/docs/pages``, the reference is written beside them from the code, and Sphinx
makes ``var/docs/site`` of both. Open ``index.html`` in there: no server is needed, and no network.
"""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
sys.path.insert(0, str(CHECKOUT))

from rescore.local import LocalPostgres  # noqa: E402
from rescore.store import Store  # noqa: E402
from scripts.reference import PAGES, consumer_views  # noqa: E402

#: Pages beside the folder ``docs``, and other files that pages link to.
BESIDE = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "LICENSE")
#: What a browser would fetch: scripts, styles, fonts and pictures of another host.
_FETCHED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(?:https?:)?//[^"'> ]+
    | <link\b[^>]*\brel=["']?(?:stylesheet|preload|preconnect|icon)[^>]*href=["']?(?:https?:)?//[^"'> ]+
    | (?:url\(|@import\s)["']?(?:https?:)?//[^"')]+""",
    re.VERBOSE | re.IGNORECASE,
)


def main() -> int:
    """Copy, write, build, check."""
    logging.disable(logging.INFO)  # the migrations of a store say each step
    target = CHECKOUT / "var" / "docs"
    pages = target / "pages"
    copy_pages(pages)
    write_reference(pages / "docs" / "reference")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "--builder",
        "html",
        "--fail-on-warning",
        "--keep-going",
        "--quiet",
    ]
    command += ["--conf-dir", str(pages / "docs"), "--doctree-dir", str(target / "doctrees")]
    shutil.rmtree(target / "site", ignore_errors=True)
    built = subprocess.run([*command, str(pages), str(target / "site")], check=False)
    if built.returncode != 0:
        return built.returncode
    if foreign := fetched_elsewhere(target / "site"):
        print("fetched from other hosts:", *foreign, sep="\n  ", file=sys.stderr)
        return 1
    (target / "site" / "index.html").write_text(
        '<meta http-equiv="refresh" content="0; url=docs/index.html">\n'
    )
    print(f"built {target / 'site' / 'index.html'}")
    return 0


def copy_pages(pages: Path) -> None:
    """Copy the sources as they lie in the checkout, so that links between them hold; list the records."""
    shutil.rmtree(pages, ignore_errors=True)
    shutil.copytree(CHECKOUT / "docs", pages / "docs")
    for name in BESIDE:
        shutil.copy2(CHECKOUT / name, pages / name)
    records = sorted(path.stem for path in (pages / "docs" / "decisions").glob("[0-9]*.md"))
    listed = "\n".join(records)
    (pages / "docs" / "decisions" / "index.md").write_text(
        "# Decision records\n\nWhat was chosen, why, what follows from it, and what was measured.\n\n"
        f"```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n"
    )
    # A folder is no page; its list is.
    readme = pages / "README.md"
    readme.write_text(readme.read_text().replace("](docs/decisions/)", "](docs/decisions/index.md)"))


def write_reference(folder: Path) -> None:
    """Write each page of the reference; that of the views from a store of its own."""
    folder.mkdir(parents=True)
    for name, write in PAGES.items():
        (folder / name).write_text(write())
    with tempfile.TemporaryDirectory(prefix="rescore-docs-") as home:
        postgres = LocalPostgres(Path(home), tied=True, settings={"fsync": "off"})
        postgres.start()
        try:
            with Store(postgres.create_database("docs")) as store:
                store.schema.migrate()
                (folder / "views.md").write_text(consumer_views(store))
        finally:
            postgres.stop()


def fetched_elsewhere(site: Path) -> list[str]:
    """What the pages and styles of a site would fetch from other hosts."""
    return [
        f"{path.relative_to(site)}: {found}"
        for path in sorted(site.rglob("*"))
        if path.suffix in {".html", ".css"}
        for found in _FETCHED.findall(path.read_text())
    ]


if __name__ == "__main__":
    sys.exit(main())
