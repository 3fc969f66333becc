"""A source whose rows are updated in place: it trains on what was frozen, and says what was rewritten."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest

from rescore import authoring, pipeline, source
from rescore.authoring.checks.leakage import check_rewritten
from rescore.cli import main
from rescore.errors import NotFoundError, ParameterError
from rescore.interval import Interval
from rescore.settings import Settings
from tests.shared.logins import set_up, store_settings

NAMES = ("HOME", "MODELS", "DATABASE_URL", "CONNECTION_SOURCE")
NO_HISTORY = "the source keeps no history (known_by: none): only frozen rows prove what was scored"
FIRST = datetime(2024, 3, 1, tzinfo=UTC)
SOURCE = """
CREATE TABLE public.visit (id bigint PRIMARY KEY, at timestamptz NOT NULL, x int, z float8, bought boolean);
INSERT INTO visit
SELECT n, timestamptz '2024-03-01Z' + n * interval '15 minutes', (n * 7) % 40, cos(n),
       (n * 7) % 40 + n % 13 > 25
FROM generate_series(0, 96 * 12 - 1) n;
"""


@pytest.fixture
def visits(postgres_server, database_url, tmp_path):
    connection = psycopg2.connect(database_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(SOURCE)
    ctx = pipeline.Context.from_environment(
        Settings.from_environment(
            {
                "RESCORE_HOME": str(tmp_path),
                "RESCORE_MODELS": str(tmp_path / "models"),
                **store_settings(postgres_server, database_url, "source"),
            }
        )
    )
    set_up(ctx, "public")
    authoring.new_model(ctx, "visit", "public.visit", target="bought")
    yield ctx, connection
    ctx.store.close()
    connection.close()


def day(number: int) -> Interval:
    return Interval(FIRST + timedelta(days=number), FIRST + timedelta(days=number + 1))


@pytest.mark.slow
def test_training_uses_what_was_frozen_and_check_names_what_was_rewritten(visits):
    ctx, connection = visits
    assert not ctx.model("visit").spec.source.known_by.reproducible_from_source
    with pytest.raises(ParameterError, match="no frozen input"):
        pipeline.train_model(ctx, "visit", as_of=day(8).end)
    for number in range(8):  # without a pin a run stops after freezing its rows
        with pytest.raises(NotFoundError, match="no package of visit is pinned") as caught:
            pipeline.score_interval(ctx, "visit", day(number))
        assert "its rows are frozen, and training counts them" in caught.value.fix
    before = pipeline.train_snapshot(ctx, "visit", as_of=day(8).end)

    with connection.cursor() as cursor:
        cursor.execute("UPDATE visit SET x = x + 1000 WHERE id IN (100, 101, 200)")
    assert pipeline.train_snapshot(ctx, "visit", as_of=day(8).end) == before
    package = pipeline.train_model(ctx, "visit", as_of=day(8).end)
    pipeline.pin(ctx, "visit", package.version, who="tester", why="first")
    lineage = ctx.store.packages.find("visit", package.sha256).manifest.lineage
    assert lineage.snapshot["from"] == "frozen_inputs"
    rows = source.read_frozen(ctx.archive.get_input(before), before)
    assert max(rows["x"].to_pylist()) < 1000

    done = pipeline.score_interval(ctx, "visit", day(8))
    assert pipeline.reproduce_run(ctx, done.run_id).verdict == "identical"
    found = pipeline.rewritten(ctx, "visit", last=9).changed
    assert [(run.interval, late.changed, late.changed_columns) for run, late in found] == [
        (day(1), 2, ("x",)),
        (day(2), 1, ("x",)),
    ]
    assert "changed id=100" in found[0][1].examples
    warned = [one for one in authoring.check_model(ctx, "visit", day(8)) if one.name == "rows rewritten"]
    assert [one.status for one in warned] == ["warning"]
    assert "changed in x" in warned[0].what

    said = pipeline.history(ctx, "visit", last=9)
    assert "of the last 9 runs it has rewritten 2" in said
    assert f"{day(2)}: 1 changed in x, 0 more, 0 fewer" in said
    assert "it still gives those of the last 3 runs" in pipeline.history(ctx, "visit")


def test_a_source_without_history_is_said_wherever_the_model_is_shown(visits, monkeypatch, capsys):
    ctx, connection = visits
    with pytest.raises(NotFoundError, match="no package of visit is pinned"):
        pipeline.score_interval(ctx, "visit", day(0))
    settings = ctx.settings
    values = settings.home, settings.models, settings.database_url, settings.connection_url("source")
    for name, value in zip(NAMES, values, strict=True):
        monkeypatch.setenv(f"RESCORE_{name}", str(value))
    assert _status(capsys) == f"{NO_HISTORY}; it still gives those of the last 1 run"

    with connection.cursor() as cursor:
        cursor.execute("UPDATE visit SET x = x + 1000 WHERE id = 7")
    assert "it has rewritten 1: " in _status(capsys)
    assert "1 changed in x, 0 more, 0 fewer" in _status(capsys)

    assert str(pipeline.history(ctx, "visit", last=0)).startswith(NO_HISTORY), "as the page says it"

    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE visit RENAME TO moved")
    assert "can't be seen now" in _status(capsys)


def test_rows_of_another_query_are_not_held_against_the_source(visits):
    """A feature that the folder has since was in no frozen row; nothing was rewritten by that."""
    ctx, _ = visits
    for number in range(2):
        with pytest.raises(NotFoundError, match="no package of visit is pinned"):
            pipeline.score_interval(ctx, "visit", day(number))
    folder = ctx.model("visit")
    extract, declared = folder.path / "extract.sql", folder.path / "model.yaml"
    extract.write_text(folder.extract_sql.replace("\nFROM", ',\n  t."z" + 1 AS "more"\nFROM', 1))
    declared.write_text(
        declared.read_text().replace("features:\n", "features:\n  - {name: more, kind: numeric}\n")
    )
    with pytest.raises(NotFoundError, match="no package of visit is pinned"):
        pipeline.score_interval(ctx, "visit", day(2))
    found = pipeline.rewritten(ctx, "visit")
    assert (found.compared, found.changed, found.other_query) == (1, (), 2)
    checked = check_rewritten(ctx, ctx.model("visit"))
    assert checked.status == "ok"
    assert "not compared: 2 froze rows of another extract.sql" in checked.what

    ctx.archive.get_input(ctx.store.runs.with_input("visit", last=1)[0].input_digest).unlink()
    found = pipeline.rewritten(ctx, "visit")
    assert (found.compared, found.other_query, found.gone) == (0, 2, 1)
    said = pipeline.history(ctx, "visit", last=3)
    assert said.startswith(NO_HISTORY) and "of 1 the frozen rows are gone" in said


def _status(capsys):
    with suppress(SystemExit):
        main(["status", "--json"])
    [row] = json.loads(capsys.readouterr().out)
    return row["history"]
