"""Packages, their builds, and pins: append-only facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, select

from rescore.errors import NotFoundError
from rescore.manifest import Manifest
from rescore.sha256 import Sha256
from rescore.spec import ModelSpec
from rescore.store.database import Database, call, where_of
from rescore.store.records import Package, Pin
from rescore.store.schema.tables import approval_rule as approval_rule_table
from rescore.store.schema.tables import build as build_table
from rescore.store.schema.tables import package as package_table
from rescore.store.schema.tables import pin as pin_table

__all__ = ["RULE", "Packages", "Pins", "find_package"]

#: Who decides where no person does: the promotion rule that the model declares. The role that runs models
#: may pin by it alone.
RULE = "rule"


class Packages:
    """Which packages are registered."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        model: str,
        version: str,
        sha256: str,
        manifest: Manifest,
        uri: str,
        *,
        built: Mapping[str, Any] | None = None,
    ) -> None:
        """Register a package and a build of it; registering it again adds only that build.

        Parameters
        ----------
        model, version, sha256 : str
            The package.
        manifest : Manifest
            What its file says about itself.
        uri : str
            Where the archive holds it.
        built : mapping, optional
            What the file can't say, since other builds of the same bytes would say it otherwise:
            ``code_revision``, ``image``, ``at``, ``trained_by``. Read back as the manifest's ``built``: the
            last build from committed code, or the last one if there is none. The bytes are the same.

        Raises
        ------
        StoreError
            The version is taken by another package, or the package has another version already.
        """
        built = None if built is None else dict(built)
        with self._database.transaction() as connection:
            call(connection, "add_package", model, version, sha256, manifest.of_file(), uri, built)

    def of_model(self, model: str, last: int | None = None) -> list[Package]:
        """The model's packages, oldest first; only the latest so many."""
        with self._database.transaction() as connection:
            return _of_model(connection, model, last)

    def all(self) -> list[Package]:
        """The packages of all models, oldest first."""
        query = _packages().order_by(package_table.c.created_at, package_table.c.version)
        with self._database.transaction() as connection:
            return [_package(row) for row in connection.execute(query)]

    def find(self, model: str, reference: str) -> Package:
        """The model's package of a version (``1.0.3``) or of a sha256 (``sha256:…``).

        Raises
        ------
        NotFoundError
            There is none; the error lists those there are.
        """
        with self._database.transaction() as connection:
            return find_package(connection, model, reference)


class Pins:
    """Which package scores, since when, by whose decision."""

    def __init__(
        self, database: Database, as_person: Database | None = None, as_owner: Database | None = None
    ) -> None:
        self._database = database
        self._as_person = as_person or database
        self._as_owner = as_owner or database

    def add(
        self,
        model: str,
        version: str,
        sha256: str,
        *,
        who: str,
        why: str,
        evidence: Mapping[str, Any] | None = None,
    ) -> int:
        """Decide that a package scores from now on; rolling back is a new pin, too.

        Returns
        -------
        int
            The pin's id.

        Raises
        ------
        NotFoundError
            No such package.
        FourEyesError
            The model declares four eyes, and there is no second person.
        StoreError
            The version has another sha256, or it is not said who or why.
        """
        by = self._database if who == RULE else self._as_person
        with by.transaction() as connection:
            package = (model, version, sha256)
            if who == RULE:
                (pin_id,) = call(connection, "pin_by_rule", *package, why, dict(evidence or {}))
            else:
                (pin_id,) = call(connection, "add_pin", *package, who, why, dict(evidence or {}))
        return int(pin_id)

    def declare(self, spec: ModelSpec) -> None:
        """Let the store know that the model's packages need four eyes, if they do.

        Whoever runs models may tell it so. That a model needs them no longer, only the owner may say:
        :meth:`relax`.
        """
        if spec.promotion.approval == "four_eyes":
            with self._database.transaction() as connection:
                call(connection, "require_four_eyes", spec.name)

    def relax(self, spec: ModelSpec) -> bool:
        """Let the store know that the model's packages need four eyes no longer, if they don't.

        Returns
        -------
        bool
            Whether they needed them before.

        Raises
        ------
        StoreError
            The login is not the store's owner.
        """
        if spec.promotion.approval == "four_eyes":
            return False
        with self._database.transaction() as connection:
            needed = call(connection, "needs_four_eyes", spec.name)[0]
        if needed:
            with self._as_owner.transaction() as connection:
                connection.execute(insert(approval_rule_table).values(model=spec.name, four_eyes=False))
        return bool(needed)

    def refuse_own(self, model: str, sha256: str, who: str) -> None:
        """Refuse who may not approve the package, as a pin of theirs would be.

        Raises
        ------
        FourEyesError
            The model declares four eyes, and they trained it, nobody knows who did, or they are a rule.
        """
        with self._database.transaction() as connection:
            call(connection, "refuse_own_approval", model, sha256, who)

    def current(self, model: str) -> Pin | None:
        """The model's last pin, None before the first."""
        with self._database.transaction() as connection:
            found = _pins(connection, model, limit=1)
        return found[0] if found else None

    def of_model(self, model: str) -> list[Pin]:
        """All pins of the model, newest first."""
        with self._database.transaction() as connection:
            return _pins(connection, model)


def find_package(connection: Connection, model: str, reference: str) -> Package:
    """The model's package of a version or of a sha256; see :meth:`Packages.find`."""
    column = package_table.c.sha256 if reference.startswith("sha256:") else package_table.c.version
    query = _packages().where(package_table.c.model == model, column == reference)
    row = connection.execute(query).one_or_none()
    if row is None:
        known = [package.version for package in _of_model(connection, model)]
        raise NotFoundError(
            f"{model} has no package {reference}",
            where=where_of(connection, "package"),
            expected=f"one of: {', '.join(known[-10:]) or '(none: train first)'}",
            fix=f"`rescore packages list {model}`",
        )
    return _package(row)


def _of_model(connection: Connection, model: str, last: int | None = None) -> list[Package]:
    query = _packages().where(package_table.c.model == model)
    query = query.order_by(package_table.c.created_at.desc(), package_table.c.version.desc())
    return [_package(row) for row in connection.execute(query.limit(last))][::-1]


def _pins(connection: Connection, model: str, limit: int | None = None) -> list[Pin]:
    query = select(pin_table).where(pin_table.c.model == model).order_by(pin_table.c.pin_id.desc())
    return [
        Pin(**{**row._mapping, "sha256": Sha256(row.sha256)})
        for row in connection.execute(query.limit(limit))
    ]


def _packages() -> Select[Any]:
    """Packages, each with its last build from committed code, else its last build."""
    revision = build_table.c.built["code_revision"].astext
    committed = func.coalesce((revision != "unknown") & ~revision.endswith("+dirty"), False)
    built = (
        select(build_table.c.built)
        .where(
            build_table.c.model == package_table.c.model,
            build_table.c.sha256 == package_table.c.sha256,
        )
        .order_by(committed.desc(), build_table.c.build_id.desc())
        .limit(1)
        .scalar_subquery()
    )
    return select(package_table, built.label("built"))


def _package(row: Row[Any]) -> Package:
    facts = dict(row._mapping)
    built = facts.pop("built")
    manifest = Manifest.from_dict(facts["manifest"] | ({} if built is None else {"built": built}))
    return Package(**(facts | {"sha256": Sha256(row.sha256), "manifest": manifest}))
