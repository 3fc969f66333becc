"""The store's fixed tables, as SQLAlchemy sees them.

What creates them is ``migrations/``; a test compares the two. The schema is written ``rescore`` here and
becomes the configured one through the engine's ``schema_translate_map``. Per-model tables are typed by
the model's key and live in ``score_table.py``.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from rescore.store.identifiers import SCHEMA

__all__ = [
    "approval_rule",
    "attempt",
    "build",
    "chain",
    "claim",
    "comparison",
    "current_publication",
    "drift",
    "due",
    "measured_interval",
    "metadata",
    "model",
    "moment",
    "package",
    "performance",
    "pin",
    "publication",
    "reproduction",
    "retirement",
    "retraining",
    "run",
    "run_state",
    "shard",
    "signature",
    "snapshot",
    "staging",
    "timetable",
    "validation",
]

metadata = MetaData(schema=SCHEMA)


def moment(name: str, *, default: bool = False) -> Column[object]:
    """A column of a moment, by default the clock's when the row is written."""
    return Column(
        name,
        DateTime(timezone=True),
        nullable=False,
        server_default=func.clock_timestamp() if default else None,
    )


def _interval() -> list[Column[object]]:
    return [moment("interval_start"), moment("interval_end")]


def _of_run() -> Column[object]:
    return Column("run_id", UUID(as_uuid=False), ForeignKey(f"{SCHEMA}.run.run_id"), primary_key=True)


model = Table(
    "model",
    metadata,
    Column("name", Text, primary_key=True),
    Column("key_columns", JSONB, nullable=False),
    Column("event_time", Text, nullable=False),
    Column("labelled", Boolean, nullable=False),
    Column("probabilities", JSONB, nullable=False),
    Column("views_format", Integer, nullable=False),
    moment("created_at", default=True),
)

snapshot = Table(
    "snapshot",
    metadata,
    Column("snapshot_id", BigInteger, Identity(always=True), primary_key=True),
    Column("model", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("digest", Text, nullable=False),
    *_interval(),
    moment("as_of"),
    Column("rows", BigInteger, nullable=False),
    Column("uri", Text, nullable=False),
    Column("details", JSONB, nullable=False),
    moment("created_at", default=True),
    UniqueConstraint("model", "kind", "digest", "interval_start", "interval_end", "as_of"),
    Index("snapshot_digest_idx", "digest"),
    Index("snapshot_unlabelled_idx", text("(details ->> 'unlabelled_digest')")),
)

package = Table(
    "package",
    metadata,
    Column("model", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("sha256", Text, nullable=False),
    Column("manifest", JSONB, nullable=False),
    Column("uri", Text, nullable=False),
    moment("created_at", default=True),
    UniqueConstraint("model", "sha256"),
    UniqueConstraint("model", "version", "sha256"),
)

_package_file = [f"{SCHEMA}.package.model", f"{SCHEMA}.package.sha256"]
_package_reference = [f"{SCHEMA}.package.model", f"{SCHEMA}.package.version", f"{SCHEMA}.package.sha256"]

build = Table(
    "build",
    metadata,
    Column("build_id", BigInteger, Identity(always=True), primary_key=True),
    Column("model", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("built", JSONB, nullable=False),
    moment("recorded_at", default=True),
    ForeignKeyConstraint(["model", "sha256"], _package_file),
    Index("build_package_idx", "model", "sha256"),
)

pin = Table(
    "pin",
    metadata,
    Column("pin_id", BigInteger, Identity(always=True), primary_key=True),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("evidence", JSONB, nullable=False),
    moment("pinned_at", default=True),
    ForeignKeyConstraint(["model", "version", "sha256"], _package_reference),
    Index("pin_model_pin_id_idx", "model", "pin_id"),
)

approval_rule = Table(
    "approval_rule",
    metadata,
    Column("rule_id", BigInteger, Identity(always=True), primary_key=True),
    Column("model", Text, nullable=False),
    Column("four_eyes", Boolean, nullable=False),
    moment("declared_at", default=True),
    Index("approval_rule_model_idx", "model", "rule_id"),
)

retirement = Table(
    "retirement",
    metadata,
    Column("retirement_id", BigInteger, Identity(always=True), primary_key=True),
    Column("model", Text, nullable=False),
    Column("retired", Boolean, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    moment("decided_at", default=True),
    Index("retirement_model_idx", "model", "retirement_id"),
)

claim = Table(
    "claim",
    metadata,
    Column("model", Text, primary_key=True),
    Column("interval_start", DateTime(timezone=True), primary_key=True),
    Column("interval_end", DateTime(timezone=True), primary_key=True),
    Column("fence", BigInteger, nullable=False),
    Column("run_id", UUID(as_uuid=False), nullable=False),
    moment("claimed_at", default=True),
)

run = Table(
    "run",
    metadata,
    Column("run_id", UUID(as_uuid=False), primary_key=True),
    Column("model", Text, nullable=False),
    *_interval(),
    moment("as_of"),
    Column("fence", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    moment("claimed_at", default=True),
    Column("forked_from", UUID(as_uuid=False), ForeignKey(f"{SCHEMA}.run.run_id")),
    Column("input_digest", Text),
    Column("input_uri", Text),
    Column("query_sha256", Text),
    Column("rows_extracted", BigInteger),
    Column("rows_scored", BigInteger),
    Column("rows_quarantined", BigInteger, nullable=False, server_default="0"),
    Column("rows_rejected", BigInteger, nullable=False, server_default="0"),
    Column("package_version", Text),
    Column("package_sha256", Text),
    Column("score_digest", JSONB),
    Column("code_revision", Text),
    Column("environment", JSONB, nullable=False),
    Column("airflow", JSONB),
    Column("error", JSONB),
    Column("binding", Text),
    ForeignKeyConstraint(["model", "package_version", "package_sha256"], _package_reference),
    UniqueConstraint("model", "interval_start", "interval_end", "fence"),
    Index("run_model_claimed_at_idx", "model", "claimed_at"),
    Index("run_input_digest_idx", "input_digest", postgresql_where=text("input_digest IS NOT NULL")),
)

attempt = Table(
    "attempt",
    metadata,
    Column("model", Text, primary_key=True),
    Column("interval_start", DateTime(timezone=True), primary_key=True),
    Column("interval_end", DateTime(timezone=True), primary_key=True),
    Column("fence", BigInteger, primary_key=True, autoincrement=False),
    Column("run_id", UUID(as_uuid=False), ForeignKey(f"{SCHEMA}.run.run_id"), nullable=False),
    Column("begun_in", Text, nullable=False),
    moment("at", default=True),
    Index("attempt_run_id_idx", "run_id"),
)

run_state = Table(
    "run_state",
    metadata,
    Column("run_id", UUID(as_uuid=False), ForeignKey(f"{SCHEMA}.run.run_id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("state", Text, nullable=False),
    moment("at", default=True),
)

staging = Table(
    "staging",
    metadata,
    Column("table_name", Text, primary_key=True),
    Column("run_id", UUID(as_uuid=False), ForeignKey(f"{SCHEMA}.run.run_id"), nullable=False),
    Column("fence", BigInteger, nullable=False),
    moment("begun_at", default=True),
    Column("shard", Integer),
    Index("staging_run_id_idx", "run_id"),
)

shard = Table(
    "shard",
    metadata,
    Column("run_id", UUID(as_uuid=False), ForeignKey(f"{SCHEMA}.run.run_id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("fence", BigInteger, nullable=False),
    Column("first_row", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("input_digest", Text, nullable=False),
    Column("package_version", Text, nullable=False),
    Column("package_sha256", Text, nullable=False),
    Column("environment", JSONB, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("digest", JSONB),
    Column("begun_at", DateTime(timezone=True)),
    Column("done_at", DateTime(timezone=True)),
)

timetable = Table(
    "timetable",
    metadata,
    Column("model", Text, primary_key=True),
    Column("schedule", Text, nullable=False),
    moment("known_until"),
    Column("ends", Boolean, nullable=False),
    moment("declared_at", default=True),
)

due = Table(
    "due",
    metadata,
    Column("model", Text, primary_key=True),
    Column("interval_start", DateTime(timezone=True), primary_key=True),
    Column("interval_end", DateTime(timezone=True), primary_key=True),
    moment("due_at"),
    Column("published", Boolean, nullable=False, server_default=false()),
    Index("due_unpublished_idx", "model", "interval_start", postgresql_where=text("NOT published")),
)

publication = Table(
    "publication",
    metadata,
    Column("sequence", BigInteger, Identity(always=True), primary_key=True),
    Column("run_id", UUID(as_uuid=False), ForeignKey(f"{SCHEMA}.run.run_id"), nullable=False, unique=True),
    Column("model", Text, nullable=False),
    *_interval(),
    Column("fence", BigInteger, nullable=False),
    moment("published_at"),
    Column("reason", Text),
    Column("released_by", Text),
    Index("publication_interval_idx", "model", "interval_start", "interval_end", "sequence", unique=True),
)

validation = Table(
    "validation",
    metadata,
    _of_run(),
    Column("success", Boolean, nullable=False),
    Column("report", JSONB, nullable=False),
    moment("at", default=True),
)

drift = Table(
    "drift",
    metadata,
    _of_run(),
    Column("verdict", Text, nullable=False),
    Column("sentence", Text, nullable=False),
    Column("report", JSONB, nullable=False),
    moment("at", default=True),
)

measured_interval = Table(
    "measured_interval",
    metadata,
    Column("model", Text, primary_key=True),
    Column("interval_start", DateTime(timezone=True), primary_key=True),
    Column("interval_end", DateTime(timezone=True), primary_key=True),
)

performance = Table(
    "performance",
    metadata,
    Column("performance_id", BigInteger, Identity(always=True), primary_key=True),
    Column("run_id", UUID(as_uuid=False), ForeignKey(f"{SCHEMA}.run.run_id"), nullable=False),
    moment("as_of"),
    Column("label_coverage", Double),
    Column("metrics", JSONB, nullable=False),
    moment("at", default=True),
    Index("performance_run_id_idx", "run_id"),
)

reproduction = Table(
    "reproduction",
    metadata,
    Column("reproduction_id", BigInteger, Identity(always=True), primary_key=True),
    Column("run_id", UUID(as_uuid=False), ForeignKey(f"{SCHEMA}.run.run_id"), nullable=False),
    Column("verdict", Text, nullable=False),
    Column("details", JSONB, nullable=False),
    moment("at", default=True),
    Index("reproduction_run_id_idx", "run_id"),
)

retraining = Table(
    "retraining",
    metadata,
    Column("retraining_id", BigInteger, Identity(always=True), primary_key=True),
    Column("model", Text, nullable=False),
    moment("as_of"),
    Column("reason", Text, nullable=False),
    Column("asked_by", Text, nullable=False),
    moment("asked_at", default=True),
    Index("retraining_model_idx", "model", "as_of"),
)

comparison = Table(
    "comparison",
    metadata,
    Column("comparison_id", BigInteger, Identity(always=True), primary_key=True),
    Column("model", Text, nullable=False),
    Column("champion_sha256", Text, nullable=False),
    Column("challenger_sha256", Text, nullable=False),
    Column("snapshot_digest", Text, nullable=False),
    Column("report", JSONB, nullable=False),
    moment("at", default=True),
    ForeignKeyConstraint(
        ["model", "champion_sha256"], [f"{SCHEMA}.package.model", f"{SCHEMA}.package.sha256"]
    ),
    ForeignKeyConstraint(
        ["model", "challenger_sha256"], [f"{SCHEMA}.package.model", f"{SCHEMA}.package.sha256"]
    ),
    Index("comparison_challenger_idx", "model", "challenger_sha256"),
)

signature = Table(
    "signature",
    metadata,
    Column("signature_id", BigInteger, Identity(always=True), primary_key=True),
    Column("model", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("bundle", JSONB, nullable=False),
    Column("who", Text, nullable=False),
    moment("signed_at", default=True),
    ForeignKeyConstraint(["model", "sha256"], _package_file),
    Index("signature_package_idx", "model", "sha256"),
)

chain = Table(
    "chain",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("about", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("entry", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("digest", Text, nullable=False, unique=True),
    Index("chain_about_idx", "about", "key", "number"),
)

current_publication = Table(
    "current_publication",
    metadata,
    Column("run_id", UUID(as_uuid=False), ForeignKey(f"{SCHEMA}.run.run_id"), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("model", Text, nullable=False),
    *_interval(),
    moment("published_at"),
    Column("package_version", Text),
    Column("verdict", Text),
    Column("reason", Text),
    Column("released_by", Text),
    Column("keys_known", Boolean, nullable=False),
    UniqueConstraint("model", "interval_start", "interval_end"),
    Index("current_publication_keys_idx", "model", postgresql_where=text("NOT keys_known")),
)
