"""Functions in PL/pgSQL are read as they run: no clock in what their variables become, and no chance."""
# ruff: noqa: E501 - functions and queries as they are written

from __future__ import annotations

import pytest

from rescore.errors import SpecError
from tests.source.conftest import MakeModel, Source
from tests.source.test_refusals import selecting
from tests.source.test_volatility import freeze


def plpgsql(body: str, arguments: str = "t text", returns: str = "date") -> str:
    return f"CREATE FUNCTION made({arguments}) RETURNS {returns} IMMUTABLE LANGUAGE plpgsql AS $body$ {body} $body$"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("BEGIN RETURN t::date; END", "comes in a variable"),
        ("BEGIN RETURN CAST(t AS timestamptz)::date; END", "comes in a variable"),
        ("BEGIN RETURN t; END", "comes in a variable"),
        ("BEGIN RETURN 'no' || t; END", "comes in a variable"),
        ("DECLARE d date := t; BEGIN RETURN d; END", "comes in a variable"),
        ("DECLARE d date; BEGIN d := t; RETURN d; END", "comes in a variable"),
        ("DECLARE d parcel.promised%TYPE; BEGIN d := lower(t); RETURN d; END", "comes in a variable"),
        ("DECLARE d date; BEGIN SELECT t INTO d; RETURN d; END", "comes in a variable"),
        ("DECLARE d date; n int; BEGIN SELECT 1, t INTO n, d; RETURN d; END", "cast to a moment"),
        ("BEGIN IF $1::date > '2024-01-01' THEN RETURN NULL; END IF; RETURN NULL; END", "comes in a variable"),
        ("DECLARE r record; BEGIN SELECT t AS x INTO r; RETURN r.x::date; END", "can't be followed"),
        ("DECLARE r parcel%ROWTYPE; BEGIN RETURN r.note::date; END", "comes in a variable"),
        ("DECLARE d date; BEGIN EXECUTE 'SELECT ''now''::date' INTO d; RETURN d; END", "EXECUTE"),
        ("DECLARE d date; BEGIN FOR d IN EXECUTE t LOOP RETURN d; END LOOP; RETURN d; END", "EXECUTE"),
        ("DECLARE d date; BEGIN FOR d IN SELECT p.note FROM parcel p ORDER BY p.parcel LOOP RETURN d; END LOOP;"
         " RETURN NULL; END", "cast to a moment"),
        ("BEGIN RETURN 'today'::date; END", "the moment 'today'"),
        ("BEGIN RETURN 'today'; END", "the moment 'today'"),
        ("DECLARE d date := 'now'; BEGIN RETURN d; END", "the moment 'now'"),
        ("BEGIN RETURN current_date; END", "current_date"),
        ("BEGIN RETURN (SELECT promised FROM parcel LIMIT 1); END", "LIMIT without ORDER BY"),
        ("BEGIN RETURN CASE t WHEN '' THEN NULL ELSE clock_timestamp() END; END", "clock_timestamp()"),
        ("DECLARE r parcel; BEGIN r.note := t; RETURN r.note::date; END", "can't be followed"),
        # A field of a row that is given a value: libpg_query can't read it.
        ("DECLARE r parcel%ROWTYPE; BEGIN r.note := t; RETURN r.note::date; END", "can't be read"),
    ],
)  # fmt: skip
def test_text_that_a_variable_holds_becomes_no_moment_unseen(
    source: Source, make_model: MakeModel, body: str, named: str
) -> None:
    source.run(plpgsql(body))
    with pytest.raises(SpecError) as caught:
        freeze(source, make_model(selecting(promised="made(note)")))
    assert named in caught.value.what
    assert "inside the function public.made" in (caught.value.where or "")
    assert caught.value.fix


@pytest.mark.parametrize(
    ("body", "arguments", "returns", "column"),
    [
        ("BEGIN RETURN date_trunc('month', t)::date; END", "t date", "date", "promised = made(promised)"),
        ("DECLARE d date := t; BEGIN d := d + 1; RETURN d; END", "t date", "date", "promised = made(promised)"),
        ("BEGIN RETURN $1; END", "date", "date", "promised = made(promised)"),
        ("BEGIN RETURN to_date(t, 'YYYY-MM-DD'); END", "t text", "date", "promised = made('2024-01-01')"),
        ("BEGIN RETURN t IN ('now', 'today'); END", "t text", "boolean", "made(note)"),
        ("BEGIN CASE t WHEN 1 THEN RETURN true; ELSE RETURN false; END CASE; END", "t int", "boolean", "made(size)"),
        ("DECLARE r parcel; BEGIN r.note := t; RETURN r.note = 'a'; END", "t text", "boolean", "made(note)"),
        ("DECLARE r parcel%ROWTYPE; BEGIN SELECT * INTO r FROM parcel ORDER BY parcel LIMIT 1;"
         " RETURN r.sent_at::date = t; END", "t date", "boolean", "made(promised)"),
        ("DECLARE s text := ''; x text; BEGIN FOREACH x IN ARRAY string_to_array(COALESCE(t, ''), ' ') LOOP s := s || x; END LOOP;"
         " RETURN s = ''; END", "t text", "boolean", "made(note)"),
        ("DECLARE n int := 0; x date := t; BEGIN WHILE x < '2024-03-20' LOOP IF extract(dow FROM x) NOT IN (0, 6) THEN"
         " n := n + 1; END IF; x := x + 1; END LOOP; RETURN n > 3; END", "t date", "boolean", "made(promised)"),
        ("BEGIN RETURN to_date(t, 'YYYY-MM-DD') IS NULL; EXCEPTION WHEN others THEN RETURN false; END",
         "t text", "boolean", "made(note)"),
        ("DECLARE v numeric; w parcel.weight%TYPE; BEGIN SELECT max(weight), max(size) INTO w, v FROM parcel"
         " WHERE promised <= t; IF FOUND AND v > 2 THEN RETURN w > v; ELSIF v IS NULL THEN RAISE NOTICE '% none', t;"
         " END IF; RETURN NULL; END", "t date", "boolean", "made(promised)"),
        ("DECLARE r record; n int := 0; BEGIN FOR r IN SELECT p.size, p.sent_at FROM parcel p ORDER BY p.parcel LOOP"
         " n := n + COALESCE(r.size, 0); CONTINUE WHEN r.sent_at > t; EXIT WHEN n > 100; END LOOP; RETURN n > 3; END",
         "t date", "boolean", "made(promised)"),
        ("#variable_conflict use_column\nBEGIN RETURN (SELECT bool_or(p.sent_at::date = $1) FROM parcel p); END",
         "t date", "boolean", "made(promised)"),
        ("DECLARE j jsonb := '{}'; v int[] := '{}'; BEGIN j['x'] := '3'; v[1] := 2; v[1:2] := ARRAY[1, 2];"
         " RETURN v[1] = 1; END", "t int", "boolean", "made(size)"),
        # A relation that is called like a variable.
        ("DECLARE n int := 1; BEGIN RETURN (SELECT n.sent_at::date = t FROM parcel n ORDER BY n.parcel LIMIT 1); END",
         "t date", "boolean", "made(promised)"),
        ("DECLARE n int := 0; i int; BEGIN FOR i IN 1..t LOOP n := n + i; END LOOP; RETURN n > 3; END",
         "t int", "boolean", "made(size)"),
    ],
)  # fmt: skip
def test_functions_that_depend_on_their_arguments_alone_pass(
    source: Source, make_model: MakeModel, body: str, arguments: str, returns: str, column: str
) -> None:
    source.run(plpgsql(body, arguments, returns))
    source.send(2)
    assert freeze(source, make_model(selecting(fragile=column))) == 2
