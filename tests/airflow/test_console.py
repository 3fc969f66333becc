"""The console: what its pages say, and who may read them; on a real server: ``test_page``."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from uuid import uuid4

import psycopg2
import pytest
from airflow.models.dagrun import DagRun
from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from fastapi.routing import APIRoute
from hypothesis import given
from hypothesis import strategies as st

from rescore.local import LocalPostgres
from rescore.pipeline import Context
from rescore.sha256 import bytes_sha256
from rescore.store import Store
from rescore_airflow.page import create_page
from rescore_airflow.page.approvals import Approval, open_approvals
from rescore_airflow.page.model import model_values
from tests.airflow.console import KINDS, Console, prepare_airflow
from tests.fuzz.hostile import MARKUP, fuzzed, hostile_texts, unsafe_characters
from tests.shared.fleet import FEATURES, Fleet, model_folder
from tests.shared.logins import set_up_store, store_settings
from tests.shared.superuser import as_administrator
from tests.shared.waiting import until

pytestmark = pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")

DAYS = 20


@pytest.fixture(scope="module")
def console(postgres_server: LocalPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """Eight models of 20 days: one is late, one had an outage, one is held, three have alarms."""
    home = tmp_path_factory.mktemp("console")
    url = postgres_server.create_database("console", template="rescore_template")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESCORE_MODELS", str(home / "models"))
        patch.setenv("RESCORE_HOME", str(home))
        for name, value in store_settings(postgres_server, url).items():
            patch.setenv(name, value)
        patch.setattr("rescore_airflow.connections._airflow_connection", lambda connection_id: None)
        set_up_store(postgres_server, url).close()
        store = Store(as_administrator(url))  # passes over triggers to fill it
        fleet = Fleet(store, home / "models")
        names = fleet.fill(8, DAYS)
        prepare_airflow([f"{kind}_{name}" for name in names for kind in KINDS] + ["other"])
        asked = [Approval(f"train_{names[0]}", "manual__1", "approve", "a package", datetime.now(UTC))]
        app = create_page(approvals=lambda dag_ids: [one for one in asked if one.dag_id in dag_ids])
        yield Console(app, store, fleet, home / "models", names)
        store.close()


def rows(page: str) -> list[str]:
    """The models in the order of the lines."""
    return re.findall(r'<td class="name"[^>]*><a href="score_(\w+)">', page)


def test_every_route_is_for_those_who_may_read_the_dag_alone(console: Console) -> None:
    name = console.names[0]
    run_id = console.store.runs.latest(name, 1)[0].run_id
    [comparison] = console.store.comparisons.of_model(name)
    known = {
        "dag_id": f"score_{name}",
        "run_id": run_id,
        "feature": "wind",
        "version": "1.0.1",
        "comparison_id": str(comparison.comparison_id),
        "dag_run": "manual__1",
    }
    routes = [route for route in console.app.routes if isinstance(route, APIRoute)]
    assert len(routes) == len(console.app.routes), "nothing is mounted that this test does not see"
    for route in routes:
        path = re.sub(r"\{(\w+)(:path)?\}", lambda found: known[found[1]], route.path)
        assert route.methods == {"GET"}, (
            f"{path}: a form that changes something needs a guard against forgery"
        )
        for role, expected in (("anonymous", {401}), (None, {403})):
            answer = console.client(role).get(path)
            assert answer.status_code in expected, (path, role)
            assert answer.headers["content-type"].startswith("text/html"), (path, role)
            assert name not in answer.text, (path, role)
        for role in ("viewer", "admin"):
            assert console.client(role).get(path).status_code in {200, 303}, (path, role)
        for method in ("post", "put", "patch", "delete"):
            assert getattr(console.client("admin"), method)(path).status_code == 405, (path, method)


def test_a_forged_token_opens_nothing(console: Console) -> None:
    client = console.client("admin")
    token = client.cookies["_token"]
    client.cookies.set("_token", token[:-6] + "AAAAAA")
    assert client.get("/").status_code == 403


@pytest.mark.parametrize("path", ["/nothing", "/score_nothing", "/docs", "/openapi.json", "/a/b/c/d"])
def test_what_is_not_there_is_a_page_too(console: Console, path: str) -> None:
    answer = console.client().get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "Not found" in answer.text
    home = re.findall(r'href="((?:\.\./)*(?:\./)?)">Models', answer.text)
    assert home == ["../" * (path.count("/") - 1) or "./"]


def test_a_word_where_a_number_belongs_is_not_found(console: Console) -> None:
    answer = console.client().get(f"/score_{console.names[0]}/comparisons/x")
    assert answer.status_code == 404 and "<h1>Not found" in answer.text


@fuzzed
@given(st.data())
def test_a_hostile_address_is_not_found(console: Console, data: st.DataObject) -> None:
    paths = [route.path for route in console.app.routes if isinstance(route, APIRoute)]
    known = {"{dag_id}": f"score_{console.names[0]}", "{dag_run:path}": "manual__1"}
    parts = data.draw(st.sampled_from(paths)).split("/")
    hostile = [
        data.draw(st.one_of(hostile_texts, st.just(known.get(one, one)))) if "{" in one else one
        for one in parts
    ]
    asked = data.draw(
        st.dictionaries(
            st.sampled_from(["show", "q", "sort", "all", "run", "against"]), hostile_texts, max_size=3
        )
    )

    def quoted(text: str) -> str:
        return quote(text, safe="", errors="surrogatepass")

    query = "&".join(f"{name}={quoted(text)}" for name, text in asked.items())
    answer = console.client().get("/".join(map(quoted, hostile)) + "?" + query)
    assert answer.status_code in {200, 303, 404}, answer.text
    assert MARKUP not in answer.text
    assert unsafe_characters(answer.text) == set()
    if answer.status_code == 303:
        assert not answer.headers["location"].startswith(("//", "http", "/\\"))
    else:
        assert answer.headers["content-type"].startswith("text/html")


def test_nothing_comes_from_elsewhere_and_no_script_runs(console: Console) -> None:
    name = console.names[1]
    run_id = console.store.runs.latest(name, 1)[0].run_id
    for path in ("/", f"/score_{name}", f"/score_{name}/runs/{run_id}", f"/score_{name}/features/wind",
                 f"/score_{name}/packages/1.0.1"):  # fmt: skip
        answer = console.client().get(path)
        assert "default-src 'none'" in answer.headers["content-security-policy"], path
        for elsewhere in ("http://", "https://", "<script", " src=", "onclick"):
            assert elsewhere not in answer.text, path
        assert answer.text.count("<h1>") == 1, path


def test_the_worst_comes_first_and_counts_are_filters(console: Console) -> None:
    page = console.get("/")
    ordered = rows(page)
    assert ordered[:2] == [console.names[7], console.names[5]], "the outage, then what is held"
    assert ordered[2] == console.names[3], "late"
    assert "8 models" in page
    for concern, said in (
        ("outage", "1 outage"),
        ("held", "1 held"),
        ("approval", "1 approval waits"),
    ):
        assert (
            f'title="What to do: docs/guides/runbooks.md#{concern}" href="?show={concern}">{said}</a>' in page
        )
    late = set(rows(console.get("/?show=late")))
    assert console.names[3] in late, "and, some time after it was due, what was stopped or held"
    assert late <= {console.names[number] for number in (3, 5, 7)}
    assert rows(console.get("/?show=held")) == [console.names[5]]
    assert rows(console.get("/?show=approval")) == [console.names[0]]
    assert rows(console.get("/?q=HOUSE logist")) == []
    assert rows(console.get("/?q=loan risk")) == ["loan_default"]
    assert rows(console.get("/?sort=name")) == sorted(console.names)
    assert "No model fits" in console.get("/?q=nothing%20at%20all")


def test_alarms_are_filters_words_in_the_line_and_sentences_on_the_models_page(console: Console) -> None:
    page = console.get("/")
    for concern, count, model, said in (
        ("performance", "1 performance alarm", 2, "Performance: Alarm since 2026-01-05 03:00 UTC"),
        ("labels", "1 without new labels", 4, "Labels: nothing was measured (does monitor_house_price run?)"),
        (
            "alarm",
            "1 drift alarm",
            1,
            "Drift: Alarm since 2026-01-05 03:00 UTC (evidence 812, alarm from 365; even",
        ),
    ):
        name = console.names[model]
        assert f'href="?show={concern}">{count}</a>' in page
        assert rows(console.get(f"/?show={concern}")) == [name]
        assert f'<td class="state" title="{said}' in console.get(f"/?show={concern}")
        on_its_page = re.sub("</?time[^>]*>", "", console.get(f"/score_{name}"))
        assert said.replace("2026-01-05 03:00 UTC", "5 Jan 2026 04:00") in on_its_page, "on the model's clock"
    in_order = [name for name in rows(page) if name in {console.names[number] for number in (1, 2, 4)}]
    assert in_order == [console.names[number] for number in (2, 4, 1)], "what consumers feel comes first"
    assert '<span class="chip alarm"' in page and '<span class="also quiet">drifted</span>' in page


def test_a_filter_keeps_what_was_searched_and_sorted(console: Console) -> None:
    page = console.get("/?q=a&sort=name&show=late")
    assert 'href="?show=outage&amp;q=a&amp;sort=name"' in page
    assert 'href="?q=a&amp;sort=name"' in page, "all models"
    assert '<input type="hidden" name="show" value="late">' in page


def test_what_somebody_searches_is_only_text(console: Console) -> None:
    page = console.get("/?q=%22%3E%3Cscript%3E&show=%3Cb%3E&sort=%3Cb%3E")
    assert "<script>" not in page and "<b>" not in page


def test_a_strip_says_its_days_in_words(console: Console) -> None:
    page = console.get(f"/?q={console.names[7]}")
    strip = re.search(r'class="strip" role="img" aria-label="([^"]+)"', page)
    assert strip is not None
    assert re.search(r"1 outage \(\d+ \w+\)", strip[1]) and "1 gap" in strip[1]


def test_a_model_that_ended_years_ago_shows_the_days_up_to_its_last_run(console: Console) -> None:
    name = console.names[7]
    ctx = Context.from_environment()
    long_after = datetime.now(UTC) + timedelta(days=3 * 365)
    values = model_values(ctx, ctx.model(name).spec, now=long_after, approvals={}, everything=False)
    calendar = values["calendar"]
    assert calendar.stopped
    assert sum(day.runs for day in calendar.days) > DAYS // 2
    assert "gap" not in {day.state for day in calendar.days[-3:]}


def test_a_model_links_its_days_its_flags_and_its_runs(console: Console) -> None:
    name = console.names[7]
    page = console.get(f"/score_{name}")
    outage = console.store.runs.latest(name, 1)[0]
    assert f'class="outage" href="./score_{name}/runs/{outage.run_id}"' in page
    assert "superseded" in page
    assert "wind, visibility are missing in 100 % of rows" in page
    assert f'href="./score_{name}/features/wind?run={outage.run_id}"' in page
    first = re.findall(rf'<th scope="row"><a href="./score_{name}/features/(\w+)"', page)
    assert set(first[:2]) <= {"wind", "visibility", "weight"}, "what was flagged or broken comes first"
    assert len(first) < len(FEATURES) and f"All {len(FEATURES) + 1} features" in page
    assert len(re.findall(r'<th scope="row">', console.get(f"/score_{name}?all=1"))) == len(FEATURES) + 1
    assert "on the hold-out it was 0.813" in page, "the picture's finding in words"
    assert "betters auc by .012" in page and "grace" in page


def test_a_calm_window_has_no_dark_cell(console: Console) -> None:
    """A season moves a feature's effect in windows that are ok; the cell's shade is how unusual that is."""
    page = console.get(f"/score_{console.names[0]}?all=1")
    dark = re.findall(r'<td class="h4([^"]*)"', page)
    assert all("flagged" in more or "broken" in more for more in dark)


def test_a_run_shows_its_way_from_the_source_to_consumers(console: Console) -> None:
    name = console.names[7]
    published = console.store.runs.published(name, last=1)[0]
    page = console.get(f"/score_{name}/runs/{published.run_id}")
    assert published.publication is not None
    for shown in (
        published.input_digest,
        published.score_digest,
        published.package_sha256,
        published.query_sha256,
    ):
        assert str(shown) in page
    assert f"number {published.publication.sequence}" in page
    assert re.search(r"\b(1 row|[\d,]+ rows): carrier has no value", page)
    assert f'href="../../../dags/score_{name}/runs/scheduled__' in page
    assert "extract</a>" in page, "the log of the task"
    stopped = console.get(f"/score_{name}/runs/{console.store.runs.latest(name, 1)[0].run_id}")
    assert f"publish_{name}" in stopped and "To publish it all the same" in stopped


def test_a_proof_and_a_superseded_run_are_said(console: Console) -> None:
    name = console.names[1]
    [again] = [one for one in console.store.overview.outcomes({name: datetime(2020, 1, 1, tzinfo=UTC)})[name]
               if one.publications > 1]  # fmt: skip
    console.store.reports.record_reproduction(again.run_id, "identical", {"scope": "run"})
    assert "identical" in console.get(f"/score_{name}/runs/{again.run_id}")
    [before] = [
        one for one in console.store.runs.latest(name, interval=again.interval) if one.run_id != again.run_id
    ]
    assert "Superseded" in console.get(f"/score_{name}/runs/{before.run_id}")


def test_a_run_of_another_model_is_not_shown(console: Console) -> None:
    one, other = console.names[:2]
    run_id = console.store.runs.latest(other, 1)[0].run_id
    for path in (
        f"/score_{one}/runs/{run_id}",
        f"/score_{one}/features/wind?run={run_id}",
        f"/score_{one}/runs/x",
    ):
        answer = console.client().get(path)
        assert answer.status_code == 404, path


def test_a_package_says_what_changed_and_what_it_scored(console: Console) -> None:
    page = console.get(f"/score_{console.names[0]}/packages/1.0.1")
    assert "<del>200</del>" in page and "<ins>400</ins>" in page
    assert "published runs" in page and "betters auc by .012" in page
    assert "It is the first package" in console.get(f"/score_{console.names[0]}/packages/1.0.0")
    for fact in (
        bytes_sha256(b"second"),
        'title="2026-01-01 00:00 UTC">1 Jan 2026 01:00</time> to <time',
        "<dt>As of</dt>",
        "<dt>Rows</dt>",
    ):
        assert fact in page
    assert "<ins>200</ins>" in console.get(f"/score_{console.names[0]}/packages/1.0.0?against=1.0.1")


def test_airflow_leads_to_a_model_and_to_the_run_that_a_dag_run_made(console: Console) -> None:
    name = console.names[2]
    run = console.store.runs.latest(name, 1)[0]
    assert run.airflow is not None
    client = console.client()
    answer = client.get(f"/dags/score_{name}/runs/{run.airflow['run_id']}")
    assert (
        answer.status_code == 303 and answer.headers["location"] == f"../../../score_{name}/runs/{run.run_id}"
    )
    assert client.get(f"/dags/train_{name}").headers["location"] == f"../score_{name}"
    assert client.get(f"/dags/train_{name}/runs/manual__1").headers["location"] == f"../../../score_{name}"
    assert client.get("/dags/other").status_code == 404


def test_inside_airflows_frame_no_link_leads_out_of_it(console: Console) -> None:
    """The frame refuses them, so a link would be one that does nothing."""
    name = console.names[2]
    assert f'href="./../dags/train_{name}"' in console.get(f"/score_{name}")
    framed = console.get(f"/score_{name}", **{"Sec-Fetch-Dest": "iframe"})
    assert "../dags/" not in framed and f"train_{name}" in framed


def test_one_clock_and_utc_on_hover(console: Console) -> None:
    latest = console.store.overview.last_published(console.names)[console.names[0]]
    page = console.get(f"/score_{console.names[0]}")
    assert "Europe/Berlin" in page
    assert f'title="{latest.interval.end:%Y-%m-%d %H:%M} UTC">' in page
    assert re.search(r'UTC">\d+ \w+ 04:00</time>', page), "the schedule's own hour"


def test_a_wrong_folder_is_a_line_and_a_page_of_its_own(console: Console) -> None:
    model_folder(console.models, "broken")
    folder = console.models / "broken"
    try:
        (folder / "extract.sql").write_bytes(b"-- caf\xe9")
        prepare_airflow(["score_broken"])
        assert rows(console.get("/"))[0] == "broken"
        answer = console.client().get("/score_broken")
        assert answer.status_code == 503 and "extract.sql is not UTF-8" in answer.text
    finally:
        shutil.rmtree(folder)


def test_questions_of_dags_that_one_may_not_read_are_not_counted(console: Console) -> None:
    model_folder(console.models, "apart")
    prepare_airflow(["score_apart"])  # of its other DAGs Airflow lets nobody read anything
    asked: set[str] = set()

    def approvals(dag_ids: Collection[str]) -> list[Approval]:
        asked.update(dag_ids)
        return []

    try:
        other = replace(console, app=create_page(approvals=approvals))
        other.get("/")
        other.get("/score_apart")
    finally:
        shutil.rmtree(console.models / "apart")
    assert {one for one in asked if one.endswith("_apart")} == {"score_apart"}
    assert f"train_{console.names[0]}" in asked


def test_a_store_that_is_not_migrated_says_what_to_do(
    console: Console, owned_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESCORE_DATABASE_URL", owned_database)
    answer = console.client().get("/")
    assert answer.status_code == 503
    assert "rescore store migrate" in answer.text


def test_requests_share_one_connection(console: Console) -> None:
    for _ in range(5):
        console.get(f"/score_{console.names[0]}")
    connection = psycopg2.connect(console.store.database.libpq_url)
    console.store.close()
    connection.autocommit = True

    def shared() -> bool:  # a request that has not given its connection back yet makes it two
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rescore'"
                " AND datname = current_database()"
            )
            return bool(cursor.fetchone() in {(1,), (2,)})

    until(
        shared, "one connection of all requests, or two"
    )  # the server takes a moment to let the closed ones go
    connection.close()


def test_questions_that_wait_are_read_from_airflow(console: Console) -> None:
    from airflow.utils.session import create_session

    dag_id, asked = f"train_{console.names[3]}", datetime.now(UTC) - timedelta(hours=1)
    with create_session() as session:
        run = DagRun(dag_id=dag_id, run_id="manual__approve", run_type="manual")
        session.add(run)
        session.flush()
        for state, answered in (("awaiting_input", None), ("awaiting_input", asked), ("failed", None)):
            session.execute(
                TaskInstance.__table__.insert().values(
                    id=(ti := uuid4()),
                    dag_id=dag_id,
                    run_id="manual__approve",
                    task_id=f"approve_{state}_{answered is None}",
                    map_index=-1,
                    state=state,
                    pool="default_pool",
                    pool_slots=1,
                    custom_operator_name="",
                )
            )
            session.add(
                HITLDetail(
                    ti_id=ti, options=["Approve"], subject="a package", params={}, responded_at=answered
                )
            )
    found = open_approvals([dag_id, "train_nothing"])
    assert [(one.dag_id, one.dag_run, one.task_id) for one in found] == [
        (dag_id, "manual__approve", "approve_awaiting_input_True")
    ]
    assert open_approvals([]) == []


def test_a_comparison_is_a_page_of_the_console_in_its_themes_and_loads_no_drawing_library(
    console: Console,
) -> None:
    name = console.names[0]
    [comparison] = console.store.comparisons.of_model(name)
    page = console.get(f"/score_{name}/comparisons/{comparison.comparison_id}")
    assert (
        f'href="../../score_{name}#packages"' in page and f'href="../../score_{name}/packages/1.0.1"' in page
    )
    assert "prefers-color-scheme: dark" in page and "By the declared rule" in page
    said = re.findall(r'role="img" aria-label="([^"]+)"', page)
    assert len(said) == 4, "every picture says its finding"
    assert any("judged segments" in one for one in said) and any(" of 30 days" in one for one in said)
    drawn = re.search(r"<style>.*</style>", page, re.DOTALL)
    assert drawn is not None
    assert not re.search(r"#[0-9a-fA-F]{6}", page.replace(drawn[0], "")), "colours are the theme's alone"
