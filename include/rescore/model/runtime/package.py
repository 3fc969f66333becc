"""A package on disk: its manifest, its files checked, its scorer, its golden rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from .artifact import load_artifact
from .environment import check_environment, numeric_environment
from .errors import FileDigestError, GoldenError, ScoreError
from .frames import Features
from .lookups import with_lookups
from .scoring import Scorer, Target

__all__ = ["InstalledPackage", "golden_table", "ulps"]

_DATA = "_data"


@dataclass(frozen=True)
class InstalledPackage:
    """The files of one package version, as unpacked or as pip installed them.

    Attributes
    ----------
    root : Path
        The package's folder, the one that holds ``_runtime``.
    """

    root: Path

    @classmethod
    @cache
    def at(cls, root: Path) -> InstalledPackage:
        """The package of this folder, loaded once a process."""
        return cls(root)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """``manifest.json``."""
        return json.loads((self.root / _DATA / "manifest.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]

    @property
    def label(self) -> str:
        """Name and version, for messages."""
        return f"{self.manifest['name']} {self.manifest['version']}"

    @cached_property
    def data(self) -> Mapping[str, bytes]:
        """What training made, by file name, from files of which every one is as the manifest says.

        Each file is read once, and these bytes are what is used.

        Raises
        ------
        FileDigestError
            Names the first file that differs or is missing.
        """
        data = {}
        for name, expected in self.manifest["files"].items():
            path = self.root.parent / name
            content = path.read_bytes() if path.is_file() else None
            found = "no file" if content is None else f"sha256:{hashlib.sha256(content).hexdigest()}"
            if content is None or found != expected:
                raise FileDigestError(
                    f"{name} of {self.label} is not what its manifest says: found {found}",
                    expected=expected,
                    fix="install the package again",
                    file=name,
                    found=found,
                )
            if path.parent.name == _DATA:
                data[path.name] = content
        return data

    @cached_property
    def golden(self) -> dict[str, Any]:
        """Synthetic rows with the score and label of each."""
        return json.loads(self.data["golden.json"])  # type: ignore[no-any-return]

    @cached_property
    def scorer(self) -> Scorer:
        """The fitted pipeline, after environment, files and golden rows were checked.

        Raises
        ------
        EnvironmentError_, FileDigestError, GoldenError
            What the package proves about itself does not hold.
        """
        plain = self.unproved_scorer
        try:
            faster = replace(plain, estimator=with_lookups(plain.estimator))
            self._check_golden(faster)
        except Exception:  # whether it was for the look-ups, the estimator itself says next
            self._check_golden(plain)
            return plain
        return faster

    @cached_property
    def unproved_scorer(self) -> Scorer:
        """The fitted pipeline, whatever its golden rows give here: on another numeric environment.

        To measure how far scores differ there, never to publish any.

        Raises
        ------
        EnvironmentError_, FileDigestError
            Other library versions, or a changed file.
        """
        check_environment(self.label, self.manifest["requirements"])
        estimator = load_artifact(self.data["model.skops"], self.manifest["artifact"]["types"])
        return Scorer(
            estimator,
            Features.from_json(self.manifest["features"]),
            Target.from_json(self.manifest["target"]),
        )

    @cached_property
    def evaluation_scorer(self) -> Scorer:
        """The fit on the rows before the hold-out, whose metrics the manifest holds.

        The whole package is checked first, as :attr:`scorer` does.

        Raises
        ------
        ScoreError
            The package has none: its metrics can't be measured again.
        """
        final = self.scorer
        recorded = (self.manifest.get("evaluation") or {}).get("artifact")
        if recorded is None:
            raise ScoreError(
                f"{self.label} does not hold the fit that its metrics were measured on",
                expected="a package trained by a release of Rescore that keeps it",
                fix="train the model anew",
            )
        estimator = load_artifact(self.data["evaluation.skops"], recorded["types"])
        return Scorer(estimator, Features.from_json(recorded["features"]), final.target)

    def _check_golden(self, scorer: Scorer) -> None:
        golden = self.golden
        expected = np.array([float.fromhex(score) for score in golden["score"]], dtype=np.float64)
        scores = scorer.scores(golden_table(golden, scorer.features))
        found = scores["score"].to_numpy()
        distance = ulps(expected, found)
        if not distance.any():
            self._check_golden_labels(golden, scores)
            return
        row = int(np.flatnonzero(distance)[0])
        recorded, here = self.manifest["environment"], json.loads(json.dumps(numeric_environment()))
        other = [key for key in recorded if recorded[key] != here.get(key)]
        raise GoldenError(
            f"{self.label} does not give its golden scores: {int((distance > 0).sum()):,} of "
            f"{len(expected):,} differ, by up to {int(distance.max()):,} ULP; the first is row {row}, "
            f"found {found[row].hex()}",
            expected=expected[row].hex(),
            fix="score on the numeric environment it was trained in; here differ: " + ", ".join(other)
            if other
            else "restore the package; the numeric environment is the same as in training",
            row=row,
            expected_score=expected[row].hex(),
            found_score=found[row].hex(),
            differing=int((distance > 0).sum()),
            max_ulps=int(distance.max()),
            environment={key: {"expected": recorded[key], "found": here.get(key)} for key in other},
        )

    def _check_golden_labels(self, golden: Mapping[str, Any], scores: pa.Table) -> None:
        found = scores["label"].to_pylist() if "label" in scores.column_names else None
        if found != golden["label"]:
            pairs = enumerate(zip(golden["label"], found or (), strict=False))
            row, label = next(
                ((row, label) for row, label in pairs if label[0] != label[1]), (0, (None, None))
            )
            raise GoldenError(
                f"{self.label} does not give its golden labels: the first other one is row {row}, {label[1]}",
                expected=str(label[0]),
                fix="restore the package; its golden scores are the same",
                row=row,
                expected_label=label[0],
                found_label=label[1],
            )

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Score a person's frame.

        Parameters
        ----------
        frame : pd.DataFrame
            At least the model's features, in any order.

        Returns
        -------
        pd.DataFrame
            ``score`` and, unless it is a regression, ``label``; the index is the frame's.
        """
        scorer = self.scorer
        scores: pd.DataFrame = scorer.scores(scorer.features.from_pandas(frame)).to_pandas()
        scores.index = frame.index
        return scores


def golden_table(golden: dict[str, Any], features: Features) -> pa.Table:
    """The golden rows as conformed columns; datetimes are held as microseconds since 1970 UTC."""
    types = {
        "numeric": pa.float64(),
        "boolean": pa.bool_(),
        "datetime": pa.timestamp("us", tz="UTC"),
    }
    columns = {
        name: pa.array(golden["rows"][name], types.get(kind, pa.string()))
        for name, kind in features.kinds.items()
    }
    return features.conform(pa.table(columns))


def ulps(expected: np.ndarray[Any, Any], found: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """How many doubles lie between two, per element; 0 only for equal bits (0.0 and -0.0: 1).

    The distance is that of the bit patterns read as sign-magnitude integers; see Dawson,
    "Comparing floating point numbers", 2012. As float64, since it may exceed int64.
    """
    distance: np.ndarray[Any, Any] = np.abs(_rank(expected) - _rank(found))
    return distance


def _rank(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    bits = np.ascontiguousarray(values, dtype=np.float64).view(np.int64)
    magnitude = (bits & np.int64(0x7FFFFFFFFFFFFFFF)).astype(np.longdouble)
    rank: np.ndarray[Any, Any] = np.where(bits < 0, -magnitude - 1, magnitude)
    return rank
