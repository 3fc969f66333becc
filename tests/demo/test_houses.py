"""The houses as a source, and the model of their prices: what is known when, set aside, and learnt."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from threadpoolctl import threadpool_limits

from rescore import source
from rescore.authoring import check_extract, check_labels
from rescore.demo import houses
from rescore.demo.house_walkthrough import FIRST_DUE, IOWA, KNOWN, TRAINED_AS_OF
from rescore.errors import SourceSchemaError
from rescore.folder import ModelFolder, load_model
from rescore.interval import Interval
from rescore.local import LocalPostgres
from rescore.model.code_tree import code_tree, write_tree
from rescore.model.runtime.frames import Features
from rescore.validation import validate
from tests.demo.conftest import MODELS, execute

#: The last run that is due: it scores the houses that are sold in July 2010.
LAST = FIRST_DUE.replace(year=2010, month=7)


@pytest.fixture(scope="module")
def ames_url(postgres_server: LocalPostgres) -> str:
    url = postgres_server.create_database("ames_source")
    houses.load(url)
    return url


@pytest.fixture(scope="module")
def house_price() -> ModelFolder:
    return load_model(MODELS, "house_price")


def due(folder: ModelFolder, year: int, month: int) -> Interval:
    """The interval whose run is due on the first of a month: the houses that are sold in it."""
    return folder.spec.schedule.schedule().interval_ending(FIRST_DUE.replace(year=year, month=month))


def test_every_sale_is_there_with_its_dirt(ames_url: str) -> None:
    assert execute(ames_url, "SELECT count(*), count(DISTINCT pid), min(price), max(price) FROM ames.listing "
                   "JOIN ames.sale USING (listing_id)") == [(2_930, 2_930, 12_789, 755_000)]  # fmt: skip
    odd = "SELECT listing_id, garage_year, year_built, year_remodelled FROM ames.listing WHERE "
    assert execute(ames_url, odd + "garage_year > 2011") == [(2_261, 2_207, 2_006, 2_007)]
    assert execute(ames_url, odd + "year_remodelled < year_built") == [(851, 2_002, 2_002, 2_001)]
    assert execute(ames_url, "SELECT count(*) FROM ames.sale WHERE sale_type = 'WD '") == [(2_536,)]
    assert execute(ames_url, "SELECT count(*) FROM ames.listing WHERE lot_frontage IS NULL") == [(490,)]


def test_a_house_is_listed_the_month_before_and_its_deed_is_recorded_weeks_after(ames_url: str) -> None:
    [(early, late)] = execute(
        ames_url,
        """SELECT min(month_sold - (listed_at AT TIME ZONE 'America/Chicago')::date),
                  max(month_sold - (listed_at AT TIME ZONE 'America/Chicago')::date)
           FROM ames.listing JOIN ames.sale USING (listing_id)""",
    )
    assert 1 < early <= late < 31
    [(first, last)] = execute(
        ames_url,
        """SELECT min((recorded_at AT TIME ZONE 'America/Chicago')::date - closed_on),
                  max((recorded_at AT TIME ZONE 'America/Chicago')::date - closed_on) FROM ames.sale""",
    )
    assert (first, last) == (10, 45)


def test_loading_again_changes_nothing_and_foreign_tables_stay(ames_url: str) -> None:
    assert houses.load(ames_url).already
    execute(ames_url, "CREATE SCHEMA other")
    execute(ames_url, "CREATE TABLE other.sale (a int)")
    with pytest.raises(SourceSchemaError, match="tables that the houses' loader did not make"):
        houses.load(ames_url, schema="other")


def test_labels_are_known_when_the_delay_says_and_not_before(ames_url: str, house_price: ModelFolder) -> None:
    month = due(house_price, 2008, 5)
    every = source.labels(ames_url, house_price, [month], KNOWN).num_rows
    assert every == 83
    at_the_end = source.labels(ames_url, house_price, [month], month.end + house_price.spec.target.delay)
    assert at_the_end.num_rows == every
    assert source.labels(ames_url, house_price, [month], month.end).num_rows == 0
    assert (
        0 < source.labels(ames_url, house_price, [month], FIRST_DUE.replace(month=6, day=15)).num_rows < every
    )


@pytest.mark.parametrize("column", ["sale_type", "sale_condition"])
def test_what_is_known_with_the_sale_only_is_caught_as_a_feature(
    ames_url: str, house_price: ModelFolder, column: str
) -> None:
    month = due(house_price, 2009, 6)
    assert [one for one in check_extract(ames_url, house_price, month) if one.status == "failed"] == []
    rows = source.probe(ames_url, house_price, month, month.end, limit=999)
    assert [one for one in check_labels(ames_url, house_price, month, rows) if one.status == "failed"] == []
    joined = house_price.extract_sql.replace("l.zoning,", f"s.{column} AS zoning,").replace(
        "FROM ames.listing l", "FROM ames.listing l LEFT JOIN ames.sale s USING (listing_id)"
    ).replace("SELECT l.listing_id", "SELECT listing_id")  # fmt: skip
    [failed] = [
        one
        for one in check_extract(ames_url, replace(house_price, extract_sql=joined), month)
        if one.status == "failed"
    ]
    assert "would have other values in zoning" in failed.what


@pytest.mark.parametrize(("year", "month", "listing"), [(2007, 9, 2_261), (2009, 4, 851)])
def test_a_row_that_can_not_be_true_is_set_aside_and_the_others_are_scored(
    ames_url: str, house_price: ModelFolder, tmp_path: Path, year: int, month: int, listing: int
) -> None:
    interval = due(house_price, year, month)
    frozen = source.extract(ames_url, house_price, interval, interval.end, tmp_path / "rows.parquet")
    rows = source.read_frozen(tmp_path / "rows.parquet", frozen.digest.root)
    checked = validate(rows, house_price)
    aside = {int(position) for position in checked.quarantined}
    assert [rows["listing_id"][position].as_py() for position in sorted(aside)] == [listing]
    assert checked.success


def _snapshot(url: str, folder: ModelFolder, months: list[Interval], path: Path) -> pa.Table:
    made = source.snapshot(
        url, folder, months, KNOWN if months[-1].end > TRAINED_AS_OF else TRAINED_AS_OF, path
    )
    return source.read_frozen(made.path, made.digest.root)


def test_it_predicts_each_half_year_within_a_fifteenth_of_a_decade(
    ames_url: str, house_price: ModelFolder, tmp_path: Path
) -> None:
    """Fitted to 2006 and 2007 as known on 1 March 2008; the error is log10 of expected to real price."""
    spec = house_price.spec
    schedule = spec.schedule.schedule()
    window = schedule.last_intervals(TRAINED_AS_OF - spec.target.delay, spec.training.intervals)
    fitted_to = _snapshot(ames_url, house_price, window, tmp_path / "train.parquet")
    assert fitted_to.num_rows == 625 + 694
    features = Features.learn({one.name: one.kind for one in spec.features}, fitted_to)
    write_tree(code_tree(house_price), tmp_path / "tree")
    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1):
        patch.syspath_prepend(str(tmp_path / "tree"))
        estimator = import_module("house_price.pipeline").build(
            spec.training.hyperparameters, spec.training.seed
        )
        estimator.fit(features.frame(features.conform(fitted_to)), fitted_to["price"].to_numpy())
        months = list(schedule.intervals(window[-1].end, schedule.interval_ending(LAST).end))
        later = _snapshot(ames_url, house_price, months, tmp_path / "later.parquet")
        expected = estimator.predict(features.frame(features.conform(later)))
    for name in [name for name in sys.modules if name.split(".")[0] == "house_price"]:
        del sys.modules[name]
    error = np.log10(expected / later["price"].to_numpy())
    sold = [moment.astimezone(IOWA) for moment in later["interval_end"].to_pylist()]
    halves = np.array([(one.year, one.month > 6) for one in sold])
    for half in sorted({tuple(one) for one in halves.tolist()}):
        mine = (halves == half).all(axis=1)
        assert 0.04 < float(np.sqrt(np.mean(error[mine] ** 2))) < 0.07, half
