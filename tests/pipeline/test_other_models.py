"""Models of other domains, dropped in as folders, run from training to reproduction as they are.

``meter_load``: a regression keyed by text and date, on versioned rows (valid_from, valid_to), with a
subject, a datetime feature and a transformer in a module of its own; mornings in Berlin.
``ticket_queue``: free text into three classes; days without a row are published as empty.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg2
import pytest

from rescore import performance, pipeline
from rescore.interval import Interval
from rescore.local import LocalPostgres
from rescore.pipeline.compare.shadow import outcomes_of_both
from rescore.settings import Settings
from tests.shared.logins import set_up, store_settings

FIXTURES = Path(__file__).parents[1] / "data" / "other_models"
BERLIN = ZoneInfo("Europe/Berlin")


@dataclass
class Desk:
    """A context over one database with all the sources."""

    ctx: pipeline.Context
    url: str

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(self.url)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def due(self, model: str, moment: datetime) -> Interval:
        return self.ctx.model(model).spec.schedule.schedule().interval_ending(moment)


def lost_beside_itself(desk: Desk, model: str, run_id: str, as_of: datetime, loss: str) -> list[float]:
    """The mean loss of what a run published, and of its very package as a challenger in the shadow."""
    folder, run = desk.ctx.model(model), desk.ctx.store.runs.scored(run_id)
    both = outcomes_of_both(desk.ctx, folder, run, run.package_sha256, as_of)
    assert both is not None
    kind = folder.spec.target.kind
    return [float(performance.realised_losses(loss, kind, one, one.known).mean()) for one in both]


@pytest.fixture(scope="module")
def desk(postgres_server: LocalPostgres, tmp_path_factory: pytest.TempPathFactory) -> Any:
    url = postgres_server.create_database("other_models")
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        for source in sorted((FIXTURES / "sources").glob("*.sql")):
            cursor.execute(source.read_text(encoding="utf-8"))
    connection.close()
    settings = Settings.from_environment(
        {
            "RESCORE_HOME": str(tmp_path_factory.mktemp("other_models")),
            "RESCORE_MODELS": str(FIXTURES / "models"),
            **store_settings(postgres_server, url, "grid", "desk"),
        }
    )
    made = Desk(pipeline.Context.from_environment(settings), url)
    set_up(made.ctx, "grid", "desk")
    yield made
    made.ctx.store.close()


@pytest.fixture(scope="module")
def trained(desk: Desk) -> Callable[[str, datetime], dict[str, Any]]:
    """Train and pin a model once."""
    packages: dict[str, dict[str, Any]] = {}

    def train(model: str, as_of: datetime) -> dict[str, Any]:
        if model not in packages:
            packages[model] = pipeline.train_model(desk.ctx, model, as_of=as_of)
            pipeline.pin(desk.ctx, model, packages[model].version, who="tester", why="first")
        return packages[model]

    return train


@pytest.mark.slow
def test_a_regression_on_versioned_rows(
    desk: Desk, trained: Callable[[str, datetime], dict[str, Any]]
) -> None:
    package = trained("meter_load", datetime(2024, 3, 15, 6, tzinfo=BERLIN))
    assert package.version == "0.4.0"
    morning = desk.due("meter_load", datetime(2024, 3, 31, 6, tzinfo=BERLIN))
    assert morning.duration == timedelta(hours=23)  # the clocks went forward that night
    done = pipeline.score_interval(desk.ctx, "meter_load", morning)

    columns = dict(
        desk.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = 'scores.meter_load'::regclass AND attnum > 0"
        )
    )
    assert (columns["meter"], columns["day"]) == ("text", "date")
    [(meters, days, wrong)] = desk.execute(
        "SELECT count(DISTINCT meter), count(DISTINCT day), count(*) FILTER (WHERE day <> '2024-03-31') "
        "FROM scores.meter_load"
    )
    [(without,)] = desk.execute(
        "SELECT count(*) FROM generate_series(1, 40) n WHERE (89 * 7 + n) % 53 = 0"
    )  # a required feature, yesterday's reading, is missing: rejected, not scored
    assert (meters, days, wrong) == (40 - without, 1, 0)
    assert pipeline.reproduce_run(desk.ctx, done.run_id).verdict == "identical"
    measured = pipeline.measure_run(desk.ctx, done.run_id, morning.end + timedelta(days=3))
    assert measured.labelled > 30
    assert measured.measure("rmse").value < 3
    expected = measured.estimated["rmse"]  # by training's out-of-fold residuals, before a label was known
    assert expected.low < measured.measure("rmse").value < expected.high
    lost = lost_beside_itself(desk, "meter_load", done.run_id, morning.end + timedelta(days=3), "rmse")
    assert lost == pytest.approx([measured.measure("rmse").value ** 2] * 2)


def test_a_correction_made_later_is_not_seen(desk: Desk) -> None:
    """The tariff of 1 February is not known on the morning of 31 January, and a late reading not at all."""
    from rescore import source

    folder = desk.ctx.model("meter_load")
    for day, tariffs in (((1, 31), {"home", "shop", "farm"}), ((2, 2), {"home", "farm"})):
        interval = desk.due("meter_load", datetime(2024, *day, 6, tzinfo=BERLIN))
        rows = source.probe(desk.url, folder, interval, interval.end)
        assert rows.num_rows == 40
        assert set(rows["tariff"].to_pylist()) == tariffs


@pytest.mark.slow
def test_text_into_classes_and_days_without_rows(
    desk: Desk, trained: Callable[[str, datetime], dict[str, Any]]
) -> None:
    package = trained("ticket_queue", datetime(2024, 4, 13, tzinfo=ZoneInfo("UTC")))
    assert package.version == "3.1.0"
    friday = desk.due("ticket_queue", datetime(2024, 4, 20, tzinfo=ZoneInfo("UTC")))
    done = pipeline.score_interval(desk.ctx, "ticket_queue", friday)
    assert done.rows == 30
    scored = desk.execute("SELECT ticket, label, score FROM scores.ticket_queue ORDER BY ticket")
    assert all(ticket > 2**32 and 1 / 3 <= score <= 1 for ticket, _, score in scored)
    assert {label for _, label, _ in scored} == {"billing", "outage", "other"}
    assert pipeline.reproduce_run(desk.ctx, done.run_id).verdict == "identical"
    measured = pipeline.measure_run(desk.ctx, done.run_id, friday.end + timedelta(days=2))
    assert measured.measure("accuracy").value > 0.8
    lost = lost_beside_itself(desk, "ticket_queue", done.run_id, friday.end + timedelta(days=2), "accuracy")
    assert lost == pytest.approx([1 - measured.measure("accuracy").value] * 2)

    saturday = desk.due("ticket_queue", datetime(2024, 4, 21, tzinfo=ZoneInfo("UTC")))
    empty = pipeline.score_interval(desk.ctx, "ticket_queue", saturday)
    assert empty.rows == 0
    [(published,)] = desk.execute(
        "SELECT count(*) FROM scores.ticket_queue WHERE event_time >= '2024-04-20Z'"
    )
    assert published == 0
