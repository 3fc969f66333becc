"""The console in the Airflow UI: its routes, and who may read them.

Read-only, and behind Airflow's login. Airflow leaves the routes of a plugin open to everyone, so
every route here names who may read it, and the app has no documentation routes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.exceptions import HTTPException as HTTPError

from rescore.errors import NotFoundError, RescoreError
from rescore.report import read_model_states
from rescore.shown_text import shown
from rescore_airflow.connections import SharedContext
from rescore_airflow.declarations import declared
from rescore_airflow.page.approvals import Approval, open_approvals
from rescore_airflow.page.home import home_values
from rescore_airflow.page.model import model_values
from rescore_airflow.page.package import package_values
from rescore_airflow.page.rendering import Links, Rendering
from rescore_airflow.page.run import feature_values, run_values

if TYPE_CHECKING:
    from rescore.pipeline import Context
    from rescore.spec import ModelSpec

__all__ = ["create_page"]

#: A model's DAGs, each of which asks for approvals of its own.
_KINDS = ("score", "train", "publish", "monitor")

_OF_A_MODEL = ", ".join(f"{kind}_MODEL" for kind in _KINDS)

_TITLES = {401: "Log in first", 403: "Not for you", 404: "Not found", 405: "Only to be read"}


class _Pages:
    """The pages, over one context for all requests."""

    def __init__(self, approvals: Callable[[Collection[str]], list[Approval]]) -> None:
        self._shared = SharedContext()
        self._render = Rendering()
        self._approvals = approvals

    def home(
        self, request: Request, user: GetUserDep, show: str = "", q: str = "", sort: str = ""
    ) -> HTMLResponse:
        """Every model whose scoring DAG the user may read."""
        ctx, now = self._shared.get(), datetime.now(UTC)
        readable = get_auth_manager().get_authorized_dag_ids(user=user, method="GET")
        names = [name for name in ctx.models() if f"score_{name}" in readable]
        waiting = self._waiting(names, readable)
        found = read_model_states(
            ctx.store, {name: _declared(name) for name in names}, now=now, approvals=waiting
        )
        values = home_values(found, show=show, q=q.strip(), sort=sort)
        return self._html(request, "home.html", now=now, **values)

    def _waiting(self, names: Sequence[str], readable: Collection[str]) -> Counter[str]:
        """How many approvals each model waits for, of the DAGs that the user may read."""
        dags = {f"{kind}_{name}": name for name in names for kind in _KINDS}
        asked = self._approvals([dag_id for dag_id in dags if dag_id in readable])
        return Counter(dags[one.dag_id] for one in asked)

    def model(
        self,
        request: Request,
        user: GetUserDep,
        dag_id: str,
        everything: Annotated[bool, Query(alias="all")] = False,
    ) -> HTMLResponse:
        """One model, named by its scoring DAG; the check of access reads ``dag_id`` from the path."""
        ctx, now = self._shared.get(), datetime.now(UTC)
        name = _model_of(dag_id, ctx)
        readable = get_auth_manager().get_authorized_dag_ids(user=user, method="GET")
        waiting = self._waiting([name], readable)
        values = model_values(ctx, declared(name), now=now, approvals=waiting, everything=everything)
        return self._html(request, "model.html", **values)

    def run(self, request: Request, dag_id: str, run_id: str) -> HTMLResponse:
        """One run of the model whose scoring DAG is named."""
        ctx = self._shared.get()
        values = run_values(ctx, declared(_model_of(dag_id, ctx)), run_id, now=datetime.now(UTC))
        return self._html(request, "run.html", **values)

    def feature(self, request: Request, dag_id: str, feature: str, run: str | None = None) -> HTMLResponse:
        """One feature of the model whose scoring DAG is named, in a run's window or the latest."""
        ctx = self._shared.get()
        values = feature_values(ctx, declared(_model_of(dag_id, ctx)), feature, run)
        return self._html(request, "feature.html", **values)

    def package(
        self, request: Request, dag_id: str, version: str, against: str | None = None
    ) -> HTMLResponse:
        """One package of the model whose scoring DAG is named."""
        ctx = self._shared.get()
        values = package_values(ctx, declared(_model_of(dag_id, ctx)), version, against)
        return self._html(request, "package.html", now=datetime.now(UTC), **values)

    def of_dag(self, request: Request, dag_id: str) -> Response:
        """From a page of Airflow's about a DAG to the page of its model."""
        kind, _, name = dag_id.partition("_")
        if kind not in _KINDS or name not in self._shared.get().models():
            raise HTTPException(404, f"{dag_id} is no DAG of a model; the DAGs of a model are {_OF_A_MODEL}")
        return RedirectResponse(Links.of(request).model(name), 303)

    def of_dag_run(self, request: Request, dag_id: str, dag_run: str) -> Response:
        """From a page of Airflow's about a DAG run to the run that it made, else to its model."""
        kind, _, name = dag_id.partition("_")
        found = self._shared.get().store.overview.of_dag_run(dag_id, dag_run)
        if found is None or kind not in _KINDS:
            return self.of_dag(request, dag_id)
        return RedirectResponse(Links.of(request).run(name, found), 303)

    def comparison(self, request: Request, dag_id: str, comparison_id: int) -> HTMLResponse:
        """One comparison of two packages of the model whose scoring DAG is named."""
        from rescore.comparison import ComparisonReport
        from rescore.report import comparison_values

        ctx = self._shared.get()
        model_name = _model_of(dag_id, ctx)
        comparison = ctx.store.comparisons.get(comparison_id)
        if comparison.model != model_name:  # the right to read one model is none to read another's
            raise HTTPException(404, f"there is no comparison {comparison_id}")
        values = comparison_values(ComparisonReport.from_dict(comparison.report))
        return self._html(request, "comparison.html", recorded_at=comparison.recorded_at, **values)

    def _html(self, request: Request, template: str, **values: Any) -> HTMLResponse:
        links = Links.of(request)
        return self._render.html(template, links=links, framed=links.framed, **values)

    def refused(self, request: Request, error: Exception) -> Response:
        """Why a page is not shown: no login, no right, no such thing."""
        assert isinstance(error, HTTPError)  # noqa: S101 - it is registered for these alone
        title = _TITLES.get(error.status_code, f"Error {error.status_code}")
        return self._problem(request, title, str(error.detail), error.status_code)

    def misread(self, request: Request, error: Exception) -> Response:
        """An address that no page has."""
        return self._problem(request, _TITLES[404], "there is no page of this address", 404)

    def problem(self, request: Request, error: Exception) -> Response:
        """What the store or the settings refuse."""
        missing = isinstance(error, NotFoundError)
        title = _TITLES[404] if missing else "Rescore can't be read"
        return self._problem(request, title, str(error), 404 if missing else 503)

    def _problem(self, request: Request, title: str, said: str, status_code: int) -> HTMLResponse:
        home = Links.of(request).home
        return self._render.html("problem.html", status_code=status_code, title=title, said=said, home=home)


def _declared(model_name: str) -> ModelSpec | RescoreError:
    try:
        return declared(model_name)
    except RescoreError as error:
        return error


def _model_of(dag_id: str, ctx: Context) -> str:
    model_name = dag_id.removeprefix("score_")
    if not dag_id.startswith("score_") or model_name not in ctx.models():
        raise HTTPException(404, f"there is no scoring DAG {dag_id}")
    return model_name


def _is_legible(request: Request) -> None:
    """Refuse an address with what can't be shown, or stored: no page has it, and a page would repeat it."""
    texts = [request.scope["path"], *(text for pair in request.query_params.multi_items() for text in pair)]
    if any(shown(text) != text for text in texts):
        raise HTTPException(404, "there is no page of this address")


def create_page(approvals: Callable[[Collection[str]], list[Approval]] = open_approvals) -> FastAPI:
    """The app that the API server mounts at ``/rescore``.

    Parameters
    ----------
    approvals : callable, optional
        DAG ids to what waits for an answer there. Default: Airflow's own tables.
    """
    app = FastAPI(title="Rescore", docs_url=None, redoc_url=None, openapi_url=None)
    pages = _Pages(approvals)
    routes: dict[str, Callable[..., Response]] = {
        "/": pages.home,
        "/{dag_id}": pages.model,
        "/{dag_id}/runs/{run_id}": pages.run,
        "/{dag_id}/features/{feature:path}": pages.feature,
        "/{dag_id}/packages/{version}": pages.package,
        "/dags/{dag_id}": pages.of_dag,
        "/dags/{dag_id}/runs/{dag_run:path}": pages.of_dag_run,
        "/{dag_id}/comparisons/{comparison_id}": pages.comparison,
    }
    guards = [Depends(_is_legible), Depends(requires_access_dag("GET"))]
    for path, answer in routes.items():
        app.get(path, dependencies=guards, response_class=HTMLResponse)(answer)
    app.add_exception_handler(RescoreError, pages.problem)
    app.add_exception_handler(HTTPError, pages.refused)
    app.add_exception_handler(RequestValidationError, pages.misread)
    return app
