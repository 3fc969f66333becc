"""What ``rescore check`` answers where there is little to look at: no failure that says another thing."""

from __future__ import annotations

import re

import pytest

from rescore import authoring
from tests.authoring.test_check import DAY, _source
from tests.shared.logins import set_up


@pytest.fixture
def call(postgres_server, database_url, tmp_path):
    ctx, folder, connection = _source(postgres_server, database_url, tmp_path)
    set_up(ctx, "public")
    with connection.cursor() as cursor:
        yield ctx, folder, cursor
    connection.close()
    ctx.store.close()


def declare(folder, pattern, text):
    path = folder.path / "model.yaml"
    written, times = re.subn(pattern, text, path.read_text())
    assert times == 1
    path.write_text(written)


def test_nan_is_the_same_row_and_labels_that_are_not_due_are_no_fault(call):
    ctx, folder, cursor = call
    cursor.execute("UPDATE call SET x = 'NaN' WHERE id = 3")
    declare(folder, r"delay: \w+", "delay: 20000d")
    checks = {one.name: one for one in authoring.check_model(ctx, "call", DAY)}
    assert checks["extract"].status == "ok", checks["extract"]
    assert checks["training rows"].status == "skipped"
    assert "missed is known 20000d later" in checks["training rows"].what
    # The source has them at once, whatever is declared, and that is the only thing wrong with it.
    assert [name for name, one in checks.items() if one.status == "failed"] == ["leakage: labels"]


def test_before_the_first_run_is_due_that_is_what_it_says(call):
    ctx, folder, _ = call
    declare(folder, "start: [-0-9]+", "start: 2999-01-01")
    last = authoring.check_model(ctx, "call")[-1]
    assert (last.name, last.status) == ("extract", "failed")
    assert "no run of call is due yet; the first is due at 2999-01-0" in last.what
    assert "schedule.start" in last.fix


def test_ties_fail_a_check_and_sums_that_round_otherwise_are_a_warning(call):
    _, folder, _ = call
    path = folder.path / "extract.sql"
    before, event = path.read_text(), folder.spec.source.event_time
    url = call[0].connection("source")
    for taken, then, status, says in (
        ("c.x", "ORDER BY c.missed LIMIT 1", "failed", "break ties"),
        ("avg(c.x)", "", "warning", "avg(x ORDER BY x)"),
        ("avg(c.x ORDER BY c.x)", "", "ok", ""),
    ):
        x = f"(SELECT {taken} FROM public.call c WHERE c.recorded_at <= :as_of {then})"
        path.write_text(f"SELECT q.id, q.{event}, {x} AS x FROM (\n{before}\n) q")
        found = {one.name: one for one in authoring.check_extract(url, call[0].model("call"), DAY)}
        told = found["order of rows: extract.sql"]
        assert (told.status, says in told.fix) == (status, True), told
        assert found["leakage: extract"].status == "ok", found
