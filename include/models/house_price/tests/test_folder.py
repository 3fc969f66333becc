"""What `rescore check` runs for this model: no database, seconds."""

from pathlib import Path

import pytest

from rescore.folder import load_model
from rescore.validation import load_suite

FOLDER = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def folder():
    return load_model(FOLDER.parent, FOLDER.name)


def test_no_feature_is_read_off_the_sale(folder):
    sql = " ".join(line.partition("--")[0] for line in folder.extract_sql.splitlines())
    for told_too_late in ("ames.sale", "price", "sale_type", "sale_condition"):
        assert told_too_late not in sql


def test_every_table_is_read_as_known(folder):
    for text in (folder.extract_sql, folder.labels_sql):
        sql = " ".join(line.partition("--")[0] for line in text.splitlines())
        assert sql.count("recorded_at <= :as_of") == sql.count("ames.")


def test_the_suite_is_about_declared_columns_with_severities(folder):
    suite = load_suite(folder)
    assert {one.severity for one in suite.expectations} == {"critical", "warning", "info"}
