"""What each column of the consumers' views means: the comments that a database client shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rescore.store.identifiers import sql_template

__all__ = ["MODEL_COLUMNS", "VIEW_COMMENTS", "column_comments"]

_OF_RUN = {
    "rows_extracted": "Rows that the source had; extracted = scored + quarantined + rejected",
    "rows_scored": "Rows with a score",
    "rows_quarantined": "Rows set aside, as an expectation failed on them",
    "rows_rejected": "Rows that the model can not score",
    "validation": "passed or failed; NULL before it was decided",
    "verdict": "The interval compared with training: ok, drifted, consequential or outage",
    "sentence": "Why the verdict, for people",
    "reason": "Why it was published although it was an outage, held or stopped",
    "released_by": "The person who published it although it was held or stopped",
    "package_version": "Version of the model package that scored",
}
_INTERVAL = {
    "model": "The model: the name of its folder and of its views",
    "interval_start": "Begin of the interval, inclusive",
    "interval_end": "End of the interval, exclusive",
}

#: View over all models to what it is for, and its columns in order to what they mean.
VIEW_COMMENTS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "status": (
        "One row per model: may its scores be used, and why; the last interval published; the last attempt",
        {
            "model": _INTERVAL["model"],
            "interval_start": "Begin of the last interval published, inclusive",
            "interval_end": "End of the last interval published, exclusive: scores reach until here",
            "published_at": "When its scores became visible",
            "freshness": "How long ago that interval ended",
            **{name: _OF_RUN[name] for name in list(_OF_RUN)[:4]},
            "coverage": "Scored rows as a share of the extracted ones, 0 to 1",
            **{name: _OF_RUN[name] for name in ("validation", "verdict", "sentence", "reason")},
            "package_version": _OF_RUN["package_version"],
            "pinned_version": "Version of the package that the next run scores with",
            "attempt_interval_start": "Begin of the interval that was tried last",
            "attempt_interval_end": "End of the interval that was tried last",
            "attempt_state": "How far that attempt is: published, failed, stopped, or a state on the way",
            "attempt_at": "When it came there",
            "attempt_verdict": "Its verdict, published or not",
            "attempt_sentence": "Why that verdict",
            "run_id": "The run that made the scores; a row of runs",
            "released_by": _OF_RUN["released_by"],
            "attempt_run_id": "The run of the last attempt",
            "attempt_held": "Whether the last attempt waits for a person to release it",
            "due_at": "By when the next scores that are missing are due; NULL if none are, or unknown",
            "late": "Whether that moment has passed; NULL if the timetable is not known",
            "usable": "Published, not late or retired, no outage that nobody released, performance not worse",
            "why": "Why usable or not, in a sentence",
            "performance": "How the last labelled days came true: ok, worse, unknown_labels; NULL: unknown",
            "performance_sentence": "Why, for people",
            "retired_at": "When it was decided that the model scores no more; NULL while it is in use",
        },
    ),
    "runs": (
        "Every attempt that ended or waits for a person, with what made its scores",
        {
            **_INTERVAL,
            "run_id": "The attempt; also in the views of scores",
            "state": "published, failed, stopped (an outage), or held (a person has to release it)",
            "began_at": "When it claimed the interval",
            "ended_at": "When it came into its state",
            "as_of": "What the source had recorded by then was seen",
            "published_at": "When its scores became visible; NULL if they never did",
            "superseded_at": "When a later run of the interval took its place; NULL while they are current",
            "validation": _OF_RUN["validation"],
            "verdict": _OF_RUN["verdict"],
            "sentence": _OF_RUN["sentence"],
            "problem": "Why it is not published",
            "reason": _OF_RUN["reason"],
            "released_by": _OF_RUN["released_by"],
            **{name: _OF_RUN[name] for name in list(_OF_RUN)[:4]},
            "input_digest": "Content digest of the rows that were read",
            "query_sha256": "sha256 of the SQL that read them",
            "package_version": _OF_RUN["package_version"],
            "package_sha256": "sha256 of the package file",
            "training_digest": "Content digest of the rows that the package was trained on",
            "package_code_digest": "Digest of the code in the package: features, pipeline, SQL, declaration",
            "score_digest": "Content digest of the scores",
            "binding": "One digest over input, package and scores",
            "code_revision": "Revision of the code that ran; +dirty: with uncommitted changes",
            "environment": "Python, packages, processor and threads that it ran with",
            "pinned_by": "Who decided that the package scores",
            "pinned_why": "Why",
            "pinned_at": "When",
            "forked_from": "The attempt whose frozen input it continued from",
        },
    ),
    "gaps": (
        "Intervals that are due and have no publication, with the last attempt",
        {
            **_INTERVAL,
            "due_at": "By when its scores were due",
            "overdue": "How long ago that was",
            "attempt_state": "The last attempt: failed, stopped, held, or on its way; NULL: there was none",
            "attempt_run_id": "The run of the last attempt",
            "attempt_problem": "Why it is not published",
        },
    ),
}

#: Columns of the views of one model; ``score`` and the key have what the model itself says of them.
MODEL_COLUMNS: Mapping[str, str] = {
    "event_time": "The moment that the row is about, as the source says it",
    "label": "The class that the score stands for",
    "interval_start": _INTERVAL["interval_start"],
    "interval_end": _INTERVAL["interval_end"],
    "published_at": "When the score became visible",
    "superseded_at": "When a later publication took its place; NULL while it is current",
    "package_version": _OF_RUN["package_version"],
    "verdict": _OF_RUN["verdict"],
    "reason": _OF_RUN["reason"],
    "kind": "quarantined (an expectation failed on the row) or rejected (the model can not score it)",
    "run_id": "The run that made the row; a row of runs",
    "released_by": _OF_RUN["released_by"],
}


def column_comments(consumer_schema: str, view: str) -> Iterator[str]:
    """The COMMENT statements of one of ``VIEW_COMMENTS``."""
    about, columns = VIEW_COMMENTS[view]
    yield sql_template(f"COMMENT ON VIEW {{consumer}}.{view} IS '{about}'", consumer=consumer_schema)
    yield from _commented(columns.items(), consumer_schema, view)


def _commented(columns: Iterable[tuple[str, str]], consumer_schema: str, view: str) -> Iterator[str]:
    for name, meaning in columns:
        statement = f"COMMENT ON COLUMN {{consumer}}.{view}.{name} IS '{meaning}'"
        yield sql_template(statement, consumer=consumer_schema)
