"""What libpq reads is what every driver gets, and no error shows a piece of a URL."""

from __future__ import annotations

from urllib.parse import quote

import psycopg2.extensions
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, make_url

from rescore.errors import SettingsError
from rescore.postgres_url import PostgresUrl

WHERE = "environment variable SOME_URL"
#: What can be in a password: anything but NUL, which no string of C holds.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12)


def parse(text: str) -> PostgresUrl:
    return PostgresUrl.parse(text, where=WHERE)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"])
def test_every_spelling_of_the_scheme_is_the_same(scheme: str) -> None:
    url = parse(f"{scheme}://u:p@h:5/d?application_name=postgres://")
    assert url.parameters == {
        **{"user": "u", "password": "p", "host": "h", "port": "5", "dbname": "d"},
        "application_name": "postgres://",
    }
    assert url.sqlalchemy().drivername == "postgresql+psycopg2"


@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("postgresql://u:p@h:5/d", "u@h:5/d"),
        ("postgresql://u:p@h/d", "u@h:5432/d"),
        ("host=h dbname=d user='a b' password='x y'", "a b@h:5432/d"),
        ("postgresql://u:p@h1:1,h2:2/d?target_session_attrs=read-write", "u@h1:1,h2:2/d"),
        ("host=h1,h2 port=7 dbname=d", "@h1:7,h2:7/d"),
        ("postgresql:///d?host=/run/pg", "@/run/pg:5432/d"),
        ("postgresql://u@[::1]:6/d", "u@::1:6/d"),
        ("postgresql:///d", "@local socket:5432/d"),
        ("service=shop", "@local socket:5432/"),
    ],
)
def test_people_see_where_it_is_and_sqlalchemy_passes_on_what_libpq_reads(text: str, people: str) -> None:
    url = parse(text)
    assert str(url) == people
    _, passed = create_engine(url.sqlalchemy()).dialect.create_connect_args(url.sqlalchemy())
    single_port = {**url.parameters, "port": "7,7"} if "port=7" in text else url.parameters
    assert {name: str(value) for name, value in passed.items()} == single_port
    assert psycopg2.extensions.parse_dsn(url.dsn) == url.parameters


@settings(deadline=None)
@given(password=TEXTS, user=TEXTS, database=TEXTS, option=TEXTS)
@example(password="a b", user="u", database="d", option="-c statement_timeout=0")
@example(password="p@ss/w%rd#1?", user="u", database="d", option="+ +")
def test_escaped_text_reaches_every_driver_as_it_was(
    password: str, user: str, database: str, option: str
) -> None:
    user_part, password_part, name, options = (
        quote(text, safe="") for text in (user, password, database, option)
    )
    url = parse(f"postgresql://{user_part}:{password_part}@h:5/{name}?options={options}")
    expected = {"user": user, "password": password, "host": "h", "port": "5", "dbname": database}
    expected["options"] = option
    assert url.parameters == expected
    assert psycopg2.extensions.parse_dsn(url.dsn) == expected
    _, passed = create_engine(url.sqlalchemy()).dialect.create_connect_args(url.sqlalchemy())
    assert {**passed, "port": str(passed["port"])} == expected
    written = url.sqlalchemy().render_as_string(hide_password=False)
    assert make_url(written) == url.sqlalchemy()  # as Airflow is given it


@settings(deadline=None)
@given(password=TEXTS)
@example(password="p@ss/w%rd#1")
@example(password="1/s3cret?user=x")
@example(password="12/w")
@example(password="p@ss")
def test_an_unescaped_password_is_read_whole_or_refused_without_a_piece_of_it(password: str) -> None:
    text = f"postgresql://odd:{password}@db.example:5432/shop"
    try:
        url = parse(text)
    except SettingsError as error:
        assert error.where == WHERE
        assert "%2F" in str(error)
        assert str(error) == str(_any_refusal())
        assert error.__context__ is None
        assert error.__cause__ is None
    else:
        assert str(url) == "odd@db.example:5432/shop"
        assert set(url.parameters) == {"user", "password", "host", "port", "dbname"}


def _any_refusal() -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        parse("what is this")
    return caught.value


@pytest.mark.parametrize(
    "text",
    [
        *("", "postgresql://", "what is this", "http://h/se/cret", "postgresql://me:se/cret@h/x"),
        *("postgresql://h/x?colour=red", "postgresql://odd:p@ss/w%rd#1@localhost:5432/shop"),
        *(
            "host= password='secret",
            "host= password=secret dbname=x",
            "host=h password='se cret",
            "postgresql://me:se@cret@h/x",
            "postgresql://h:cret/x",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(text)
    assert "cret" not in str(caught.value)
    assert str(caught.value) == str(_any_refusal())


def test_a_url_shows_no_password_when_it_is_printed() -> None:
    url = parse("postgresql://u:s3cret@h/d?sslpassword=hush")
    for text in (str(url), repr(url), f"{url}"):
        assert "s3cret" not in text
        assert "hush" not in text
    assert "s3cret" not in str(url.sqlalchemy())


def test_defaults_give_way_to_the_url() -> None:
    url = parse("postgresql://h/d?connect_timeout=3").with_defaults(connect_timeout="10", user="u")
    assert (url.parameters["connect_timeout"], url.parameters["user"]) == ("3", "u")
    assert url.with_database("e").parameters["dbname"] == "e"


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("postgresql://u:secret@db.example.org/x", "postgres://db.example.org:5432"),
        ("postgresql://u@[::1]:55/x", "postgres://[::1]:55"),
        ("postgresql:///x?host=/var/run/postgresql", "postgres://localhost:5432"),
    ],
)
def test_lineage_names_a_server_without_its_login(url: str, server: str) -> None:
    assert PostgresUrl.parse(url, where="a test").server == server
