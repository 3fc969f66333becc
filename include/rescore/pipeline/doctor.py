"""Whether this set-up can score: what is there, what is missing, and what to do. Nothing is written."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from typing import Literal

from rescore import source
from rescore.airflow_version import check_airflow_version
from rescore.errors import NotFoundError, RescoreError
from rescore.pipeline.context import Context
from rescore.shown_text import number_of

__all__ = ["Finding", "examine"]

#: The latest published runs of each model whose frozen input the archive has to hold.
LOOKED_AT = 3
#: Less free space than this (bytes) is said.
LITTLE_SPACE = 2 * 1024**3


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes
    ----------
    about : str
        What was looked at: ``versions``, ``store``, ``source bank``, ``model loans``, …
    state : str
        ``ok``, ``warning`` (works, but look at it) or ``fault`` (something can't be done).
    said : str
        What was found, in a sentence.
    fix : str
        What to do; empty if nothing is to be done.
    """

    about: str
    state: Literal["ok", "warning", "fault"]
    said: str
    fix: str = ""


def examine(ctx: Context) -> Iterator[Finding]:
    """Look at versions, Airflow, store, rights, folders, sources, published intervals and archive.

    A check that fails is a finding, not an error, so that all of them are made.

    Parameters
    ----------
    ctx : Context
        The set-up.
    """
    yield _versions()
    yield _checked("airflow", "this environment", _airflow)
    yield _space(ctx)
    store = _checked("store", "the store's schema", lambda: _store(ctx))
    yield store
    for name in ctx.models():
        yield _checked(f"model {name}", "its folder", partial(_model, ctx, name))
    if not ctx.models():
        yield Finding(
            "models",
            "warning",
            f"there is no model folder in {ctx.settings.models}",
            "draft one, as the guide 'Add a model' shows",
        )
    for connection, models in _connections(ctx).items():
        said = f"read by {', '.join(models)}"
        yield _checked(f"source {connection}", said, partial(_source, ctx, models[0]))
    if store.state != "fault":
        # A folder's name may be bytes that no text is: the store knows no such model.
        for name in filter(str.isprintable, ctx.models()):
            yield _checked(f"scores of {name}", "what consumers see", partial(_scores, ctx, name))
            yield _checked(f"archive of {name}", "what its scores stand on", partial(_archive, ctx, name))


def _checked(about: str, what: str, check: Callable[[], Finding | str]) -> Finding:
    try:
        found = check()
    except RescoreError as error:
        said = f"{error.what} ({error.where})" if error.where else error.what
        return Finding(about, "fault", said, error.fix or "")
    return found if isinstance(found, Finding) else Finding(about, "ok", f"{what}: {found}")


def _versions() -> Finding:
    names = ("numpy", "scikit-learn", "pyarrow", "apache-airflow")
    found = []
    for name in names:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    said = f"rescore {metadata.version('rescore')}, Python {platform.python_version()}, {', '.join(found)}"
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding("versions", "warning", said, "Rescore is tested on Python 3.11 to 3.13")
    return Finding("versions", "ok", said)


def _airflow() -> Finding | str:
    version = check_airflow_version()
    if version is None:
        return "no Airflow, so runs are started from this command line alone"
    entries = metadata.entry_points()
    missing = [
        group
        for group in ("airflow.plugins", "apache_airflow_provider")
        if not any(entry.value.startswith("rescore_airflow.") for entry in entries.select(group=group))
    ]
    if missing:
        return Finding(
            "airflow",
            "warning",
            f"Airflow {version} finds no entry point of ours in {' and '.join(missing)}",
            "install the wheel with pip in this environment; a folder on the path registers nothing",
        )
    return f"Airflow {version}, where our plugin and provider are registered"


def _space(ctx: Context) -> Finding:
    home = ctx.settings.home
    place = next(folder for folder in (home, *home.parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    said = f"{free / 1024**3:,.0f} GiB free where {home} is"
    if free < LITTLE_SPACE:
        return Finding("disk", "warning", said, "a run needs room for its rows twice: make some")
    return Finding("disk", "ok", said)


def _store(ctx: Context) -> Finding | str:
    server = ctx.store.schema.server_version()
    version = ctx.store.schema.version()
    if version is None:
        return Finding(
            "store",
            "fault",
            f"{ctx.store.database.where} has no tables of ours",
            "run `rescore store migrate`",
        )
    ctx.store.overview.last_published([])  # the tables are of a version that this code knows
    login = ctx.store.roles.login()
    said = f"{ctx.store.database.where}, Postgres {server}, schema {version}"
    if login.superuser:
        return Finding(
            "store",
            "warning",
            f"{said}, as the superuser {login.user}, whom the database refuses nothing",
            "fine on one's own machine; elsewhere connect as a member of rescore_run",
        )
    roles = ["the tables' owner"] * login.owner + list(login.member_of)
    return f"{said}, as {login.user} ({', '.join(roles) or 'of no role of ours'})"


def _model(ctx: Context, name: str) -> Finding | str:
    spec = ctx.model(name).spec
    pinned = ctx.store.pins.current(name)
    if pinned is None:
        return Finding(
            f"model {name}", "warning", "no package is pinned, so it can't score", f"`rescore retrain {name}`"
        )
    return f"{number_of(len(spec.features), 'feature')}; {pinned.version} is pinned"


def _connections(ctx: Context) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in ctx.models():
        try:
            found.setdefault(ctx.model(name).spec.source.connection, []).append(name)
        except RescoreError:
            continue  # said with the model
    return found


def _source(ctx: Context, name: str) -> str:
    folder = ctx.model(name)
    return source.describe_server(ctx.source_url(folder), folder.spec.source)


def _scores(ctx: Context, name: str) -> Finding | str:
    """Whether consumers see each moment of the model's in one interval only."""
    twice = ctx.store.publications.overlapping(name)
    if twice:
        shown = ", ".join(map(str, twice[:LOOKED_AT]))
        return Finding(
            f"scores of {name}",
            "warning",
            f"{number_of(len(twice), 'published interval overlaps', 'published intervals overlap')} "
            "others, of "
            f"another schedule: keys come more than once in scores.{name}. They begin with {shown}",
            "what was published stays as it is, and nothing new can overlap; let who owns the schema make a "
            f"view for consumers to read instead: {ctx.store.publications.view_of_rows_once(name)}",
        )
    return "no two published intervals share a moment"


def _archive(ctx: Context, name: str) -> Finding | str:
    """Whether the archive has, unchanged, the pinned package and the frozen inputs of the latest runs."""
    pinned = ctx.store.pins.current(name)
    if pinned is not None:
        ctx.archive.get_package(pinned.sha256)
    runs = ctx.store.runs.published(name, last=LOOKED_AT)
    gone, buried = [], ctx.store.erasures.of_frozen()
    for run in runs:
        try:
            if run.input_digest in buried and run.input_digest not in ctx.archive.inputs():
                ctx.frozen_table(run.input_digest)  # what an erasure left of it
            else:
                ctx.archive.get_input(run.input_digest)
        except NotFoundError:
            gone.append(str(run.interval))
    if gone:
        return Finding(
            f"archive of {name}",
            "warning",
            f"the frozen input of {len(gone)} of the last {number_of(len(runs), 'run')} is gone: "
            f"{', '.join(gone)}",
            "it went by retention, or look for the folder or bucket that RESCORE_ARCHIVE named before",
        )
    package = "no package" if pinned is None else f"package {pinned.version}"
    return (
        f"{package} and the frozen inputs of the last "
        f"{number_of(len(runs), 'run is', 'runs are')} there, unchanged"
    )
