"""The page in the Airflow UI: closed without a login, readable with one."""

from __future__ import annotations

import httpx
import pytest

from tests.airflow.stack import PATIENCE, Harbour, without_role

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning"),
]


@pytest.fixture(scope="module")
def url(harbour: Harbour) -> str:
    return f"{harbour.stack.airflow().url}/rescore"


def read(address: str, token: str | None = None, *, cookie: bool = False) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token and not cookie else {}
    cookies = {"_token": token} if token and cookie else {}
    with httpx.Client(headers=headers, cookies=cookies, trust_env=False, timeout=PATIENCE) as client:
        return client.get(address)


@pytest.mark.parametrize(
    "path",
    ["/", "/score_tides", "/score_nothing", "/score_tides/comparisons/1", "/score_tides/comparisons/x"],
)
def test_every_page_is_closed(harbour: Harbour, url: str, path: str) -> None:
    token = harbour.stack.airflow().token()
    assert read(url + path).status_code == 401
    assert read(url + path, without_role(harbour, token)).status_code == 403
    assert read(url + path, token[:-6] + "AAAAAA").status_code == 403


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"])
def test_nothing_describes_the_app(harbour: Harbour, url: str, path: str) -> None:
    assert read(url + path).status_code in {401, 404}
    assert read(url + path, harbour.stack.airflow().token()).status_code == 404


def test_it_only_reads(harbour: Harbour, url: str) -> None:
    headers = {"Authorization": f"Bearer {harbour.stack.airflow().token()}"}
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = httpx.request(method, f"{url}/", headers=headers, trust_env=False, timeout=PATIENCE)
        assert answer.status_code == 405, method


def test_the_login_of_the_ui_opens_it(harbour: Harbour, url: str) -> None:
    page = read(f"{url}/", harbour.stack.airflow().token(), cookie=True)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "tides" in page.text
    for elsewhere in ("http://", "https://", "<script", "src="):
        assert elsewhere not in page.text


def test_a_comparison_of_another_model_is_not_shown(harbour: Harbour, url: str) -> None:
    token = harbour.stack.airflow().token()
    answer = read(f"{url}/score_tides/comparisons/999999", token)
    assert answer.status_code == 404
    assert "there is no comparison 999999" in answer.text


def test_the_ui_has_it_in_its_navigation(harbour: Harbour) -> None:
    plugins = harbour.client.request("GET", "plugins")["plugins"]
    mine = [plugin for plugin in plugins if plugin["name"] == "rescore"]
    assert len(mine) == 1
    assert [view["destination"] for view in mine[0]["external_views"]] == ["nav", "dag", "dag_run"]
    assert harbour.client.request("GET", "plugins/importErrors")["import_errors"] == []
