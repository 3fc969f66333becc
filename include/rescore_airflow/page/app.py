"""The page in the Airflow UI: per model the pin, how fresh the scores are, and the last runs.

Read-only, and behind Airflow's login. Airflow leaves the routes of a plugin open to everyone, so
every route here names who may read it, and the app has no documentation routes.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from rescore.errors import NotFoundError, RescoreError
from rescore_airflow.connections import SharedContext
from rescore_airflow.page.overview import model_overview, model_pictures

if TYPE_CHECKING:
    from rescore.pipeline import Context

__all__ = ["create_page"]

#: Runs per model on the page of all models, and on the page of one.
FEW, MANY = 5, 50

_HEADERS = {
    # One style element and images within the page: no script, nothing from elsewhere.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class _Pages:
    """The pages, over one context for all requests."""

    def __init__(self) -> None:
        self._shared = SharedContext()
        self._templates = Environment(
            loader=PackageLoader("rescore_airflow.page"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
        )

    def all_models(self, user: GetUserDep) -> HTMLResponse:
        """Every model whose scoring DAG the user may read."""
        ctx = self._shared.get()
        readable = get_auth_manager().get_authorized_dag_ids(user=user, method="GET")
        models = [
            model_overview(ctx, name, FEW, now=datetime.now(UTC))
            for name in ctx.models()
            if f"score_{name}" in readable
        ]
        return self._render("overview.html", models=models, pictures=[], one=False)

    def one_model(self, dag_id: str) -> HTMLResponse:
        """One model, named by its scoring DAG; the check of access reads ``dag_id`` from the path."""
        ctx = self._shared.get()
        model = model_overview(ctx, _model_of(dag_id, ctx), MANY, now=datetime.now(UTC))
        pictures = [] if model.problem else model_pictures(ctx, model.name)
        return self._render("overview.html", models=[model], pictures=pictures, one=True)

    def one_comparison(self, dag_id: str, comparison_id: int) -> HTMLResponse:
        """One comparison of two packages of the model whose scoring DAG is named."""
        from rescore.report import comparison_html

        ctx = self._shared.get()
        model_name = _model_of(dag_id, ctx)
        try:
            comparison = ctx.store.comparisons.get(comparison_id)
        except NotFoundError as error:
            raise HTTPException(404, error.what) from None
        if comparison.model != model_name:  # the right to read one model is none to read another's
            raise HTTPException(404, f"there is no comparison {comparison_id}")
        return HTMLResponse(comparison_html(comparison.report), headers=_HEADERS)

    def problem(self, request: Request, error: Exception) -> HTMLResponse:
        """Why nothing can be shown."""
        return self._render("problem.html", status_code=503, error=error)

    def _render(self, name: str, *, status_code: int = 200, **values: Any) -> HTMLResponse:
        text = self._templates.get_template(name).render(**values)
        return HTMLResponse(text, status_code=status_code, headers=_HEADERS)


def _model_of(dag_id: str, ctx: Context) -> str:
    model_name = dag_id.removeprefix("score_")
    if not dag_id.startswith("score_") or model_name not in ctx.models():
        raise HTTPException(404, f"there is no scoring DAG {dag_id}")
    return model_name


def create_page() -> FastAPI:
    """The app that the API server mounts at ``/rescore``."""
    app = FastAPI(title="Rescore", docs_url=None, redoc_url=None, openapi_url=None)
    pages = _Pages()
    routes: dict[str, Callable[..., HTMLResponse]] = {
        "/": pages.all_models,
        "/{dag_id}": pages.one_model,
        "/{dag_id}/comparisons/{comparison_id}": pages.one_comparison,
    }
    for path, answer in routes.items():
        app.get(path, dependencies=[Depends(requires_access_dag("GET"))])(answer)
    app.add_exception_handler(RescoreError, pages.problem)
    return app
