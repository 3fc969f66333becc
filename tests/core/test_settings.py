"""Where things are, read from an environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from rescore.errors import SettingsError
from rescore.settings import Settings


def test_defaults_lie_under_the_current_folder() -> None:
    settings = Settings.from_environment({})
    assert settings.home == Path.cwd() / "var"
    assert settings.models == Path.cwd() / "include" / "models"
    assert settings.archive == str(Path.cwd() / "var" / "archive")
    assert (settings.database_url, settings.store_schema, settings.consumer_schema) == (
        None,
        "rescore",
        "scores",
    )
    assert settings.connections == {}


def test_everything_can_be_set() -> None:
    settings = Settings.from_environment(
        {
            "RESCORE_HOME": "/srv/rescore",
            "RESCORE_MODELS": "/srv/models",
            "RESCORE_DATABASE_URL": "postgresql://db/x",
            "RESCORE_ARCHIVE": "s3://bucket/x",
            "RESCORE_STORE_SCHEMA": "ml",
            "RESCORE_CONSUMER_SCHEMA": "published",
            "RESCORE_CONNECTION_FLIGHTS": "postgresql://db/flights",
            "RESCORE_CONNECTION_EMPTY": "",
            "RESCORE_ENVIRONMENTS": "/srv/environments",
            "RESCORE_LOCK": "/srv/requirements.txt",
            "RESCORE_SIGNING_PUBLIC_KEY": "/srv/key.pub",
            "OTHER": "thing",
        }
    )
    assert settings.home == Path("/srv/rescore")
    assert settings.environments == Path("/srv/environments")
    assert settings.lock == Path("/srv/requirements.txt")
    assert settings.signing_public_key == Path("/srv/key.pub")
    assert settings.models == Path("/srv/models")
    assert settings.database_url == "postgresql://db/x"
    assert settings.archive == "s3://bucket/x"
    assert (settings.store_schema, settings.consumer_schema) == ("ml", "published")
    assert settings.connections == {"flights": "postgresql://db/flights"}


@pytest.mark.parametrize("name", ["Rescore", "a-b", "1a", 'x"; DROP TABLE y; --', "a" * 64])
def test_a_schema_is_a_plain_identifier(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({"RESCORE_STORE_SCHEMA": name})
    assert caught.value.where == "environment variable RESCORE_STORE_SCHEMA"


@pytest.mark.parametrize("connection_id", ["my-shop", "My.Shop", "my_shop"])
def test_a_connection_is_found_by_a_name_that_a_shell_exports(connection_id: str) -> None:
    settings = Settings.from_environment({"RESCORE_CONNECTION_MY_SHOP": "postgresql://shop/db"})
    assert settings.connection_url(connection_id) == "postgresql://shop/db"
    with pytest.raises(SettingsError, match="'my-other' is not configured") as caught:
        settings.connection_url("my-other")
    assert "RESCORE_CONNECTION_MY_OTHER" in str(caught.value)
