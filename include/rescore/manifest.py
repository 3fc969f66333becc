"""What a package says of itself, as a value: :mod:`rescore.model` writes it, everybody else reads it here.

Every field has a default, since packages of any release are read, adopted ones among them. A manifest
that was read is written with the fields that it had and no others, so that it stays what its file holds.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import ConfigDict, Field

from rescore.document import Document, Part
from rescore.json_values import json_value
from rescore.sha256 import Sha256

__all__ = [
    "Artifact",
    "Built",
    "Code",
    "Environment",
    "Evaluation",
    "Feature",
    "Fold",
    "Lineage",
    "Manifest",
    "Metrics",
    "Output",
    "Target",
    "Training",
]

#: Metrics by name; None where one is undefined on the rows it was measured on. Whole numbers stay whole,
#: so that what is read is written alike.
Metrics = dict[str, int | float | None]


class _Said(Part):
    """A piece of a manifest; only what was said is written."""

    model_config = ConfigDict(populate_by_name=True)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-serialisable values, with the fields that were read or given and no others."""
        written: dict[str, Any] = json_value(self.model_dump(mode="json", by_alias=True, exclude_unset=True))
        return written


class Feature(_Said):
    """A feature, in the order in which the pipeline takes them.

    Attributes
    ----------
    name : str
        Its column.
    kind : str
        numeric, boolean or categorical.
    dtype : str
        What the pipeline is given.
    levels : tuple of str or None
        The values of a categorical one that training saw.
    required : bool
        Whether a row without it is set aside.
    unit, description : str
        As ``model.yaml`` declares them.
    """

    name: str
    kind: str = ""
    dtype: str = ""
    levels: tuple[str, ...] | None = None
    required: bool = False
    unit: str = ""
    description: str = ""


class Target(_Said):
    """What is predicted: its column, kind and, unless it is a regression, its labels as text."""

    name: str = ""
    kind: str = ""
    labels: tuple[str, ...] = ()


class Output(_Said):
    """What consumers read: name, unit and meaning of a score."""

    name: str = ""
    unit: str = ""
    meaning: str = ""


class Training(_Said):
    """How it was fitted.

    Attributes
    ----------
    rows : int or None
        Rows with a label; None where nobody here knows.
    intervals, holdout_intervals, folds : int or None
        Of the training window, of its end that was held out, and of the cross-validation.
    reproducible : bool
        False of an adopted model, with a ``note`` that says so.
    adopted_from : dict or None
        File, digest and format of an adopted model.
    """

    rows: int | None = None
    intervals: int | None = None
    holdout_intervals: int | None = None
    folds: int | None = None
    reproducible: bool = True
    note: str = ""
    adopted_from: dict[str, Any] | None = None


class Fold(_Said):
    """Rows that a fit had not seen, and how good it was on them.

    Attributes
    ----------
    rows : int or None
        How many.
    start, last_interval : str
        Where the first and the last of their intervals begin; ISO 8601. ``start`` is stored as ``from``.
    metrics : dict of str to number or None
        See :func:`rescore.performance.point_metrics`.
    """

    rows: int | None = None
    start: str = Field(default="", alias="from")
    last_interval: str = ""
    metrics: Metrics = {}


class Evaluation(Fold):
    """The hold-out, the folds, and what each feature adds on rows that were not seen.

    Attributes
    ----------
    artifact : dict or None
        The fit on the rows before the hold-out, if the package keeps it.
    """

    artifact: dict[str, Any] | None = None
    folds: tuple[Fold, ...] = ()
    importance: dict[str, int | float] = {}


class Lineage(_Said):
    """Where the rows of training came from.

    Attributes
    ----------
    snapshot_digest : str or None
        Of the frozen rows with a label.
    window : str
        The intervals they are of.
    as_of : str
        What was known by then; ISO 8601.
    snapshot : dict or str
        Details of the freezing.
    code_revision : str or None
        Of packages that older releases built.
    """

    snapshot_digest: str | None = None
    window: str = ""
    as_of: str = ""
    snapshot: dict[str, Any] | str = {}
    code_revision: str | None = None

    @property
    def digests(self) -> tuple[Sha256, ...]:
        """Of the frozen tables: rows with a label, then, if there are any, rows without one."""
        details = self.snapshot if isinstance(self.snapshot, dict) else {}
        found = (self.snapshot_digest, details.get("unlabelled_digest"))
        return tuple(Sha256(digest) for digest in found if digest is not None)


class Code(_Said):
    """Digests of the model folder's files."""

    digest: str = ""
    files: dict[str, str] = {}
    git_blobs: dict[str, str] = {}


class Environment(_Said):
    """What the bits of scores depend on, as it was when the package was built."""

    python: str = ""
    machine: str = ""
    packages: dict[str, str] = {}


class Artifact(_Said):
    """The fitted estimator.

    Attributes
    ----------
    sha256 : str
        Of its file.
    types : tuple of str
        Types beside those of the format that it may be made of.
    keeps_rows : list
        Attributes that hold rows of training, declared by name.
    """

    sha256: str = ""
    types: tuple[str, ...] = ()
    keeps_rows: list[Any] = []


class Built(_Said):
    """What is true of one build alone, so it stands in the store, beside the manifest of the file.

    Attributes
    ----------
    code_revision, image, at : str or None
        Of the code that trained, of the container, and when (ISO 8601).
    trained_by : str or None
        Who trained or adopted it; ``schedule`` if nobody did in person.
    """

    code_revision: str | None = None
    image: str | None = None
    at: str | None = None
    trained_by: str | None = None


class Manifest(_Said, Document):
    """A whole manifest. ``built`` is never in a package's file; the store adds it.

    **Bump rule of** ``FORMAT``, the layout of a package and its manifest: any change that an older
    ``_runtime`` or an older reader would misread makes a new number; packages of every older number stay
    readable, since each carries the runtime that reads it.
    """

    FORMAT: ClassVar[int] = 1

    name: str = ""
    version: str = ""
    owner: str = ""
    description: str = ""
    features: tuple[Feature, ...] = ()
    target: Target = Target()
    output: Output = Output()
    pipeline: dict[str, Any] = {}
    selection: dict[str, Any] = {}
    hyperparameters: dict[str, Any] = {}
    seed: int | None = None
    training: Training = Training()
    metrics: Metrics = {}
    evaluation: Evaluation = Evaluation()
    environment: Environment = Environment()
    lineage: Lineage = Lineage()
    code: Code = Code()
    requirements: dict[str, str] = {}
    locked: dict[str, str] = {}
    artifact: Artifact = Artifact()
    files: dict[str, str] = {}
    built: Built = Built()

    @property
    def feature_names(self) -> list[str]:
        """The features' columns, in order."""
        return [feature.name for feature in self.features]

    def of_file(self) -> dict[str, Any]:
        """What the package's file holds: all but ``built``."""
        return {key: value for key, value in self.to_dict().items() if key != "built"}
