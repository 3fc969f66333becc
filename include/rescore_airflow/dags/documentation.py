"""What the UI shows beside a DAG or a task: purpose, inputs, outputs, and what to do when it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rescore.shown_text import number_of

if TYPE_CHECKING:
    from rescore.spec import ModelSpec

__all__ = ["monitor", "publish", "score", "train"]

READY = """\
Checks what the run asks for, then waits until the source says that the interval is fully loaded.
It waits without holding a worker. **Failed?** The log ends with a wrong Param or interval, or with
how long the source was asked without success: see why the load is late, then clear this task."""
RETRAIN = "Starts the training DAG if the Param `retrain` says so, else it is skipped."
EXTRACT = """\
Freezes the interval's rows, as known by `as_of`, in one database snapshot, and returns the run's id.
**Failed?** Duplicate keys, a changed column or an empty interval have to be corrected in the source; clear
this task afterwards. A database that is down is tried again by itself."""
VALIDATE = """\
Runs the expectation suites on the frozen rows. Rows that fail row by row are set aside, with key and
reason. **Failed?** The log names the expectation and its figures. Nothing has been published."""
SCORE = """\
Scores the rows that passed with the pinned package; the scores are staged, invisible to consumers.
**Failed?** No package is pinned (see the training DAG), or the package is not what was pinned."""
SPLIT = """\
Cuts the rows that passed into shards of about `scoring.shard_rows` rows, and settles which package scores
all of them. Clearing it begins the scoring anew. **Failed?** No package is pinned (see the training DAG), or
it is not what was pinned."""
SCORE_SHARD = """\
Scores one shard and stages its scores, invisible to consumers. **Failed?** Clear this mapped task alone: what
the others staged stays. A worker of another kind of processor scores none: the task is tried again, maybe
elsewhere; clear `split` to plan for this kind, or give the model a queue of its own."""
JOIN = """\
Makes what the shards staged the run's scores, if every one is there once. **Failed?** The log names the
shards that are missing: clear them, then this task."""
DRIFT = """\
Compares rows and scores with training. **Failed?** An outage: a feature is missing or constant as
never in training. Nothing is published. Correct the source, then clear from `extract` on; or publish the
run all the same, with a reason: trigger `publish_<model>` with its id. Another error ends the run; of a model
that declares shards clear from `split` on."""
HOLD = """\
Runs if the model declares that a verdict like this holds publication: starts a run of
`publish_<model>`, where a person releases the scores or rejects them. Else it is skipped."""
RELEASE = """\
Publishes the run that the Params name, with the person's name and reason beside its scores. **Failed?**
It was rejected, nobody answered within `airflow.answer_within`, no reason was given, a later attempt has
taken the interval over, or the rows are not what was recorded: that last one nobody can override."""
MEASURE = """\
Measures the runs whose labels are due, and emits `monitor/<model>` with verdict, sentence, p-value, the
most unusual features and the performance of the last labelled week. **Failed?** `labels.sql`, or its
database; the scores stand."""
NOTIFY = """\
Tells who listens (`airflow.notify` in model.yaml, or the file that `RESCORE_NOTIFY` names) of new runs
at whose verdict the model acts, and of realised performance worse than its bound. **Failed?** A
notifier's arguments or its connection; clear this task."""
SHADOW = """\
Scores the rows of runs that were measured since with each challenger in the shadow (`promotion.shadow`),
and decides where its evidence suffices: tells who listens that a package waits, or pins by the rule.
**Failed?** The challenger's package can't run here, or its frozen rows are gone; withdraw it, or clear."""
RETRAIN_IF_DUE = """\
Starts `train_<model>` if the package is older than declared, or drift or performance ask for it; at most
once in `drift.retrain_every`, and never beside a training that is under way. Else it is skipped."""
PUBLISH = """\
Makes the staged scores the current ones in one transaction, checked against counts and digests.
**Failed?** A later attempt took the interval over, or something is not what was recorded."""
SNAPSHOT = "Freezes the training rows, each interval as of its own scoring moment, and returns the digest."
PACKAGE = "Fits twice in fresh processes, compares the bytes, and builds the package."
COMPARE = """\
Compares the package with the one that scores, on frozen rows that neither was fitted on, after both gave
their recorded metrics again. A comparison that is refused says why; the rule does not pass it then."""
APPROVAL = """\
Gets the approval that the model declares. If it waits, answer under **Required Actions**; without an
answer within `airflow.answer_within` the package stays a challenger."""
PIN = "Makes the package the one that scoring uses; who approved it, when and why is stored."
DELETE = """\
Deletes what is past its time and not needed; each deletion is a row of `rescore.deletion`. **Failed?** Clear
it: it goes on where it stopped."""
ANCHOR = """\
Keeps the head of the history in `RESCORE_ANCHORS`; skipped if that is not set. **Failed?** Another head
of the same number is kept there: run `rescore audit verify`, somebody has rewritten history."""
CHOOSE = "Chooses the published runs that the Params name, or a sample."
REPRODUCE_ONE = "Derives one run again. **Failed?** The log ends with the first difference."

REPRODUCE = """\
### Purpose
Prove that published scores can be derived again, bit for bit, from their frozen input and package.

### Inputs
Params name a run, a model's interval or day, or how many runs to sample; every day a sample is taken.

### Outputs
One verdict per run, stored: `identical`, `equal_within_ulp` (on another
numeric environment), `differs` or `not_rederivable`.

### Triage
A failed task is a run that is not identical; its log ends with what differs. Until it is explained,
its scores do not stand up."""
ERASE = """\
Says what would be erased, waits for an approval under **Required Actions**, and erases. **Failed?** It was
rejected, nobody answered within seven days, a legal hold stands in the way, or a file could not be reached:
clear it, it goes on where it stopped."""
ERASE_SUBJECT = """\
### Purpose
Erase a person from frozen rows, training snapshots, scores of all publications, and reports.

### Inputs
Params name the subject (`COLUMN=VALUE`) and the ground. Erase the person in the source first.

### Outputs
Tombstones that attest what is gone without saying whose it was; the packages that were trained on the person.

### Triage
The task needs the login of the store's owner (`RESCORE_OWNER_URL`). Clearing it is safe. Airflow
itself keeps the Params of this run: delete the DAG run afterwards."""
MAINTAIN = """\
### Purpose
Keep the store as the models declare under `retention`, and the history's head outside of it.

### Inputs
`retention` of every model folder; pins, publications, comparisons and legal holds.

### Outputs
Rows of `rescore.deletion`: what was deleted, how much, by which rule. A file in `RESCORE_ANCHORS`.

### Triage
`rescore retention run --dry-run` says what would go. What has to stay gets a legal hold:
`rescore retention hold MODEL --reason WHY`. Clearing a failed task is always safe."""


def score(spec: ModelSpec) -> str:
    """The document of ``score_<model>``."""
    consumers = "".join(
        f"\n- {consumer.who}"
        + (f", by {consumer.by}" if consumer.by else "")
        + (f"; if missing: {consumer.if_missing}" if consumer.if_missing else "")
        for consumer in spec.consumers
    )
    return f"""\
### Purpose
{spec.description or f"Scores of {spec.name}."} One run scores one interval of `{spec.schedule.cron}`
({spec.schedule.timezone}).

### Inputs
The source connection `{spec.source.connection}`, and the package pinned for `{spec.name}`.

### Outputs
`{spec.output.name}` ({spec.output.unit}): {spec.output.meaning}, in the view `scores.{spec.name}`.
{f"Read by:{consumers}" if consumers else ""}

### Triage
The failed task's log ends with what is wrong, where, and what to do. Nothing is published unless
`publish` succeeds; a cleared task takes the interval over from the attempt before. To score an
interval of the past, run a backfill, or trigger the DAG with `interval_start` and `interval_end`.
Owner: {spec.owner}."""


def monitor(spec: ModelSpec) -> str:
    """The document of ``monitor_<model>``."""
    return f"""\
### Purpose
Measure `{spec.name}` and act on its verdicts: on new scores, and every day for labels that arrived since.

### Inputs
The asset `scores/{spec.name}`, and the labels of connection `{spec.source.connection}`.

### Outputs
Realised performance in the store, and the asset event `monitor/{spec.name}` with the verdict.

### Triage
A failure changes no score. What a verdict does is declared in model.yaml: on drift
`{spec.drift.on_drift}` from `{spec.drift.acts_on}` on, on an outage `{spec.drift.on_outage}`.
Owner: {spec.owner}."""


def publish(spec: ModelSpec) -> str:
    """The document of ``publish_<model>``."""
    return f"""\
### Purpose
Publish a run of `{spec.name}` that is held, or was stopped as an outage, all the same.

### Inputs
Params name the run and the reason. Without a reason somebody is asked under **Required Actions**.

### Outputs
The scores in `scores.{spec.name}`, with the person's name and reason beside them.

### Triage
Whoever may run this DAG may release this model's scores: grant it as you would that. Scores that are not
what was recorded, or of an interval that was claimed again, can't be released. Owner: {spec.owner}."""


def train(spec: ModelSpec) -> str:
    """The document of ``train_<model>``."""
    return f"""\
### Purpose
Train `{spec.name}` on {number_of(spec.training.intervals, "interval")}, package it, and make scoring use it.

### Inputs
The source connection `{spec.source.connection}`; Params narrow the window and the moment by which
labels were known.

### Outputs
A package by its digest, and, once approved (`{spec.promotion.approval}`), a pin with who and why.

### Triage
`snapshot` fails on the source's data, `package` on the pipeline's code. A rejected or unanswered
approval skips `pin`: scoring goes on with the package it has. Owner: {spec.owner}."""
