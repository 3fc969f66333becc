"""Who trains a package does not approve it, where the model declares four eyes: kept by the database."""

from __future__ import annotations

import psycopg2
import pytest

from rescore.errors import FourEyesError, StoreError
from rescore.manifest import Manifest
from rescore.spec import ModelSpec
from rescore.store import Store
from rescore.store.packages.registry import RULE
from rescore.who import SCHEDULE
from tests.store.builders import make_spec, sha
from tests.store.logins import Logins

FILE = sha("trained")
PACKAGE = ("loans", "1.0.1", FILE)


def declaring(approval: str) -> ModelSpec:
    spec = make_spec()
    return spec.model_copy(update={"promotion": spec.promotion.model_copy(update={"approval": approval})})


@pytest.fixture
def trained(logins: Logins, store: Store) -> Store:
    """A package that the login of runs registered for ada, of a model that declares four eyes."""
    with Store(logins.url("run")) as runs:
        runs.pins.declare(declaring("four_eyes"))
        runs.packages.add(*PACKAGE, Manifest(), "file:///x", built={"trained_by": "ada"})
    return store


@pytest.mark.parametrize("who", ["ada", " Ada\n", "ADA", RULE])
def test_who_trained_it_and_a_rule_approve_nothing(trained: Store, who: str) -> None:
    pins = trained.pins.of_model("loans")
    with pytest.raises(FourEyesError) as caught:
        trained.pins.add(*PACKAGE, who=who, why="I like it")
    assert caught.value.what.startswith("ada trained loans 1.0.1, and ")
    assert f"{who} " in caught.value.what
    assert caught.value.data == {"trained_by": ["ada"], "approved_by": who}
    with pytest.raises(FourEyesError):
        trained.pins.refuse_own("loans", FILE, who)
    assert trained.pins.of_model("loans") == pins


def test_a_second_person_approves(trained: Store) -> None:
    trained.pins.add(*PACKAGE, who="grace", why="compared")
    assert trained.pins.current("loans").who == "grace"  # type: ignore[union-attr]


def test_whoever_trained_it_once_does_not_approve_it(trained: Store, logins: Logins) -> None:
    """Other builds of the same bytes, by others or by nobody, take nothing back."""
    with Store(logins.url("run")) as runs:
        for who in ("grace", SCHEDULE, None):
            runs.packages.add(*PACKAGE, Manifest(), "file:///x", built={"trained_by": who})
    for who in ("ada", "grace"):
        with pytest.raises(FourEyesError, match=rf"ada, grace, schedule trained .* and {who} would"):
            trained.pins.add(*PACKAGE, who=who, why="I like it")
    trained.pins.add(*PACKAGE, who="zoe", why="compared")


PIN = "SELECT rescore.add_pin('loans', '1.0.1', '{}', '{}', 'compared', '{{}}')"
BUILD = (
    "SELECT rescore.add_package('loans', '1.0.1', '{}', '{{}}', 'file:///x', '{{\"trained_by\": \"{}\"}}')"
)


def test_one_login_does_not_train_and_approve_under_two_names(trained: Store, logins: Logins) -> None:
    """Whoever may release may also do what runs do."""
    login = f"release_{logins.suffix}"
    for statements in (
        [BUILD.format(FILE, "zoe") + ";" + PIN.format(FILE, "grace")],  # before the chain has it
        [BUILD.format(FILE, "zoe"), PIN.format(FILE, "grace")],
    ):
        with pytest.raises(
            psycopg2.Error, match=f"the login {login} trained loans .* name of grace"
        ) as caught:
            for statement in statements:
                logins.run("release", statement)
        assert caught.value.pgcode == "RS011"
    trained.pins.add(*PACKAGE, who="grace", why="compared")  # by another login


def test_a_login_does_not_approve_what_its_own_name_trained(trained: Store, logins: Logins) -> None:
    login = f"release_{logins.suffix}"
    with Store(logins.url("run")) as runs:
        runs.packages.add(*PACKAGE, Manifest(), "file:///x", built={"trained_by": login.upper()})
    with pytest.raises(psycopg2.Error, match=f"the login {login} trained"):
        logins.run("release", PIN.format(FILE, "grace"))


@pytest.mark.parametrize("built", [None, {"code_revision": "abc"}, {"trained_by": " "}])
def test_a_package_of_nobody_is_not_approved(trained: Store, built: dict[str, str] | None) -> None:
    package = ("loans", "1.0.2", sha("unknown"))
    trained.packages.add(*package, Manifest(), "file:///y", built=built)
    with pytest.raises(FourEyesError, match=r"nobody knows who trained loans 1\.0\.2, which grace would"):
        trained.pins.add(*package, who="grace", why="compared")


def test_the_login_of_runs_makes_the_rule_no_weaker(trained: Store, logins: Logins) -> None:
    calls = {
        "SELECT rescore.pin_by_rule('loans', '1.0.1', '%s', 'x', '{}')": "RS011",
        "INSERT INTO rescore.approval_rule (model, four_eyes) VALUES ('loans', false)": "42501",
        "UPDATE rescore.build SET built = '{}'": "42501",
        "DELETE FROM rescore.approval_rule": "42501",
        "SELECT rescore.add_pin('loans', '1.0.1', '%s', 'grace', 'x', '{}')": "42501",
    }
    for role in ("run", "release"):
        for statement, code in calls.items():
            if role == "release" and "add_pin" in statement:
                statement = statement.replace("grace", "ada")  # noqa: PLW2901
                code = "RS011"  # noqa: PLW2901
            with pytest.raises(psycopg2.Error) as refused:
                logins.run(role, statement.replace("%s", FILE))
            assert refused.value.pgcode == code, (role, statement)
    with Store(logins.url("run")) as runs, pytest.raises(StoreError, match="permission denied"):
        runs.pins.relax(declaring("required"))


def test_the_owner_lets_it_go_and_the_chain_tells(trained: Store) -> None:
    assert not trained.pins.relax(declaring("four_eyes"))
    trained.pins.declare(declaring("four_eyes"))  # known already: no second row
    assert trained.pins.relax(declaring("auto"))
    assert not trained.pins.relax(declaring("auto"))
    trained.pins.add(*PACKAGE, who="ada", why="nobody else is left")
    with trained.database.transaction() as connection:
        told = connection.exec_driver_sql(
            "SELECT entry::jsonb->'row'->>'four_eyes' FROM rescore.chain WHERE about = 'approval_rule'"
            " ORDER BY number"
        )
        assert list(told.scalars()) == ["true", "false"]
