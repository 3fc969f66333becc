"""No word of the clock in text that becomes a moment: put together, from a column, from JSON."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from rescore.errors import SourceQueryError, SpecError
from rescore.folder import ModelFolder
from rescore.source import extract, labels, read_frozen, words_in_columns
from tests.source.conftest import DAY, LABELS, MakeModel, Source
from tests.source.test_refusals import selecting

TYPES = """
CREATE DOMAIN deadline AS date CHECK (VALUE > '1900-01-01');
CREATE TYPE noted AS (said text, note text);
CREATE TYPE promise AS (said text, due date);
CREATE VIEW put_together AS SELECT parcel, (lower('TO') || 'day')::date AS due FROM parcel;
CREATE VIEW from_a_column AS SELECT parcel, note::date AS due FROM parcel;
CREATE FUNCTION due() RETURNS date STABLE LANGUAGE sql AS 'SELECT concat(''n'', ''ow'')::date';
"""


def freeze(source: Source, folder: ModelFolder) -> list[object]:
    """What ``promised`` is in each row."""
    frozen = extract(source.url, folder, DAY, DAY.end, folder.path / "frozen.parquet")
    return list(read_frozen(frozen.path, frozen.digest.root).column("promised").to_pylist())


WITH_A_WORD = [
    "('n' || 'ow')::date",
    "CAST('to' || chr(100) || 'ay' AS timestamptz)::date",
    "date(concat('n', 'ow'))",
    "timestamptz(format('%s%s', 'n', 'ow'))::date",
    "reverse('won')::timestamp::date",
    "lower('NOW')::date",
    "upper('now ')::time::text::interval::text::date",
    "left('nowhere', 3)::date",
    "translate('mow', 'm', 'n')::timestamp AT TIME ZONE 'UTC'",
    "(SELECT string_agg(each, '') FROM unnest(ARRAY['n', 'ow']) each)::date",
    "(ARRAY['x', 'now'])[2]::date",
    "(CASE WHEN parcel >= 0 THEN 'n' ELSE 'm' END || 'ow')::date",
    "COALESCE(note, 'x')::date",
    "note::date",
    "note::varchar(9)::timestamptz(0)::date",
    "CAST(note AS date)",
    "CAST(CAST(note AS text) AS timestamptz)::date",
    'parcel.note::"timestamptz"::date',
    "(SELECT (whole).note::date FROM (SELECT ROW('said', note)::noted AS whole) x)",
    "(jsonb_build_array(note)->>0)::date",
    "max(note) OVER (PARTITION BY parcel)::date",
    "(note COLLATE \"C\")::date",
    "substring(note FROM 1)::date",
    "trim(BOTH ' ' FROM note)::date",
    "note::deadline::date",
    "upper(('[2024-01-01,' || note || ')')::daterange)",
    "(('{' || note || '}')::date[])[1]",
    "(('(said,' || note || ')')::promise).due",
    "/* é */ (   note  -- ü\n )\n ::\n date",
    "CASE note::date WHEN note::date THEN note::date END",
]  # fmt: skip


def test_a_word_of_the_clock_fails_the_cast_that_meets_it(source: Source, make_model: MakeModel) -> None:
    source.run(TYPES)
    source.send(2)
    source.run("UPDATE parcel SET note = ' nOw'")
    for expression in WITH_A_WORD:
        with pytest.raises((SourceQueryError, SpecError)) as caught:
            freeze(source, make_model(selecting(promised=f"({expression})::date")))
        assert "clock" in caught.value.what, expression
        assert re.search(":as_of|literal", caught.value.fix or ""), expression


WITHOUT_ONE = [
    ("note::date", "2024-03-09"),
    ("date(note)", "2024-03-09"),
    ("NULLIF(trim(note), '')::timestamptz::date", " 2024-03-09 23:00+00"),
    ("(note || '-09')::date", "2024-03"),
    ("CAST(substr(note, 1, 10) AS date)", "2024-03-09, Monday"),
    ("upper(('[2024-01-01,' || note || ')')::daterange)", "2024-03-09"),
    ("(('(said,' || note || ')')::promise).due", "2024-03-09"),
    ("(jsonb_build_object('due', note)->>'due')::date", "9 March 2024"),
    ("(:as_of::date + 7)::timestamptz::date", "nowhere"),
    ("(sent_at + interval '8 days')::date", "yesterday"),
    ("'2024-03-09'::text::date", "now"),
    ("to_date(note, 'YYYY-MM-DD')", "2024-03-09"),
    ("(ARRAY(SELECT each::date FROM unnest(ARRAY[note]) each)::timestamptz[])[1]::date", "2024-03-09"),
]


def test_moments_in_text_are_read_as_they_are(source: Source, make_model: MakeModel) -> None:
    source.run(TYPES)
    source.send(1)
    for expression, text in WITHOUT_ONE:
        source.run("UPDATE parcel SET note = %s", text)
        [promised] = freeze(source, make_model(selecting(promised=expression)))
        assert str(promised) in {"2024-03-09", "2024-03-09 00:00:00"}, expression


NOT_GUARDED = [
    ("(ARRAY[note]::date[])[1]", "an array of text"),
    ("(jsonb_populate_record(NULL::promise, to_jsonb(note))).due", "jsonb_populate_record"),
    ("(SELECT due FROM jsonb_to_record(to_jsonb(note)) AS x(due date))", "the column due of a record"),
    ("(SELECT due FROM XMLTABLE('/a' PASSING (note::xml) COLUMNS due date))", "the column due of XMLTABLE"),
    ("(ROW('said', note)::promise).due", "a row that is cast"),
    ("JSON_VALUE(to_jsonb(note), '$' RETURNING date)", "a function of JSON"),
    ("JSON_QUERY(to_jsonb(note), '$' RETURNING deadline)::date", "a function of JSON"),
    ("upper('[2024-01-01,now)'::daterange)", "the moment"),
    ("(SELECT max(due) FROM put_together)", "text that is put together"),
    ("due()", "text that is put together"),
]


def test_what_cannot_be_guarded_is_refused_before_it_runs(source: Source, make_model: MakeModel) -> None:
    source.run(TYPES)
    for expression, named in NOT_GUARDED:
        with pytest.raises(SpecError) as caught:
            freeze(source, make_model(selecting(promised=expression)))
        assert caught.value.what.startswith(named)
        assert "extract.sql line 1, column " in (caught.value.where or "")


def test_labels_are_guarded_too(source: Source, make_model: MakeModel) -> None:
    source.send(2)
    late = "SELECT depot, parcel, sent_at < ('to' || 'day')::timestamptz AS late\n"
    folder = make_model(labels=LABELS.replace("SELECT depot, parcel, late\n", late))
    with pytest.raises(SourceQueryError, match="names the present"):
        labels(source.url, folder, [DAY], DAY.end + timedelta(days=3))


OBJECTS = """
CREATE VIEW due_view AS SELECT parcel, note::date AS due FROM parcel;
CREATE VIEW trimmed_view AS
    SELECT p.parcel, NULLIF(btrim(p.note), '')::timestamptz::date AS due FROM parcel p;
CREATE VIEW outer_view AS SELECT parcel, due FROM trimmed_view;
CREATE VIEW joined_view AS SELECT p.parcel, (o.said || p.note)::date AS due
    FROM parcel p JOIN (SELECT 'n' AS said) o ON true;
CREATE FUNCTION first_due() RETURNS date STABLE LANGUAGE sql AS 'SELECT min(note::date) FROM parcel';
CREATE FUNCTION read_date(text) RETURNS date STABLE LANGUAGE sql AS 'SELECT $1::date';
"""


def test_text_that_a_view_or_a_function_casts_is_searched_for_words_of_the_clock(
    source: Source, make_model: MakeModel
) -> None:
    source.run(OBJECTS)
    source.send(3)
    source.run("UPDATE parcel SET note = ' 2024-03-09'")
    searched = [
        *(f"(SELECT max(due) FROM {view})" for view in ("due_view", "trimmed_view", "outer_view")),
        "first_due()",
    ]
    for expression in searched:
        folder = make_model(selecting(promised=expression))
        assert [str(one) for one in freeze(source, folder)] == ["2024-03-09"] * 3
    source.run("UPDATE parcel SET note = 'ToDay' WHERE parcel = 1")
    for expression in searched:
        with pytest.raises(
            SpecError, match=r"parcel\.note is cast to a moment, and has such words"
        ) as caught:
            freeze(source, make_model(selecting(promised=expression)))
        assert "inside the " in (caught.value.where or "")
    for expression in ("(SELECT max(due) FROM joined_view)", "read_date(note)"):
        with pytest.raises(SpecError, match="text that is no column of a relation there"):
            freeze(source, make_model(selecting(promised=expression)))


def test_text_that_cannot_be_searched_is_refused_inside(
    source: Source, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.run(OBJECTS)
    source.send(20_000)
    source.run("UPDATE parcel SET note = '2024-03-09'")
    folder = make_model(selecting(promised="(SELECT max(due) FROM due_view)"))
    monkeypatch.setattr(words_in_columns, "_MAX_TIME", timedelta(milliseconds=1))
    with pytest.raises(SpecError, match=r"parcel\.note is cast to a moment, and could not be searched"):
        freeze(source, folder)
    monkeypatch.undo()
    source.run("ALTER TABLE parcel ENABLE ROW LEVEL SECURITY")
    with pytest.raises(SpecError, match="row security hides some of its text"):
        freeze(source, folder)
